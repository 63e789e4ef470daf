"""What metrics.jsonl says as curves: (step, value) by figure and by what it is of, such as train or valid."""

import math
from collections.abc import Iterable, Mapping

Points = list[tuple[int, float]]
Series = dict[str, dict[str, Points]]  # figure -> part -> points


def series(events: Iterable[Mapping]) -> Series:
    """Of events, in their order; what is no number is left out."""
    out: Series = {}
    for event in events:
        for name, value in event.items():
            part, _, figure = name.partition("/")
            if figure and isinstance(value, (int, float)) and math.isfinite(value):
                out.setdefault(figure, {}).setdefault(part, []).append((event["step"], value))
    return out
