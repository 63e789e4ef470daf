"""Kit for interactions: who took what, and when. Reading, raw ids, splits, catalogues, histories. numpy only."""
