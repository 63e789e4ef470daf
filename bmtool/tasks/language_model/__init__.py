"""Language models: what comes next, or what stands under a mask."""
