"""The page of a run: one file that needs no other. The script in it shows what stands in it as JSON, and writes text only as text."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

from bmtool import registry
from bmtool.base.files import write_text
from bmtool.base.pages import known
from bmtool.engine.record import Record, data_hash
from bmtool.engine.series import Points, Series, series
from bmtool.errors import DataError
from bmtool.predict.values import Picture
from bmtool.runs.answers import answers
from bmtool.runs.contents import contents, plain

NAME = "report.html"
POINTS = 1000  # of a curve; of more every so manieth is shown
PICTURE_BYTES, ALL_BYTES = 2 << 20, 12 << 20  # of a picture, and of all
ENOUGH = 100_000  # examples of a split that are looked through for pictures
_DATA = '<script type="application/json" id="data">null</script>'
Warn = Callable[[str], None]


def write(path: str | Path, warn: Warn) -> Path:
    """Write the page of a run into it; returns where it lies. DataError for a run that cannot be read."""
    place = Record(path).path / NAME
    write_text(place, html(shown(path, warn)))
    return place


def template() -> str:
    """The page without anything to show: it asks the server that it came from."""
    return resources.files("bmtool.runs").joinpath("page.html").read_text("utf-8")


def html(data: dict[str, Any]) -> str:
    """The page that shows what `shown` gave."""
    page = template()
    policy = f"default-src 'none'; img-src data:; script-src {known(page, 'script')}; style-src {known(page, 'style')}; base-uri 'none'"
    held = json.dumps(plain(data), allow_nan=False).replace("<", "\\u003c")
    page = page.replace("<title>", f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<title>', 1)
    return page.replace(_DATA, _DATA.replace("null", held))


def shown(path: str | Path, warn: Warn) -> dict[str, Any]:
    """What `contents` gives, with curves, the answers of the evaluations and pictures."""
    record, found = Record.open(path), contents(path, warn)
    curves, inlined = series(record.events(warn)), _Inlined(warn)
    reports = [one | _answered(record, found["task"], one, inlined) for one in found["evaluations"]]
    # Curves are drawn by the page.
    others = [file for file in sorted(record.plots.glob("*.png")) if file.stem not in curves]
    return found | {"evaluations": reports, "series": thinned(curves), "pictures": list(inlined.files(others))}


def _answered(record: Record, task: str, report: dict[str, Any], inlined: "_Inlined") -> dict[str, Any]:
    """The answers of an evaluation and its pictures; what the page shows itself is no picture in it."""
    entry, name = registry.find(task), report["name"]
    said = answers(record.evaluations / f"{name}.predictions.jsonl", entry.gives, inlined.warn)
    seen = _seen(record, entry, report, [answer.get("input") for answer in said.worst], inlined) if said.worst else {}
    worst = [answer | {"picture": seen.get(answer.get("input"))} for answer in said.worst]
    replaced = {"confusion": bool(said.labels), "mistakes": bool(seen)}
    drawn = {f"{name}.{picture}.png" for picture, is_shown in replaced.items() if is_shown}
    files = [file for file in sorted(record.evaluations.glob(f"{name}.*.png")) if file.name not in drawn]
    return said._asdict() | {"worst": worst, "pictures": list(inlined.files(files))}


def thinned(curves: Series) -> Series:
    return {figure: {part: _thinned(points) for part, points in parts.items()} for figure, parts in curves.items()}


def _thinned(points: Points) -> Points:
    """The last one is always among them."""
    every = -(-len(points) // POINTS)
    return points[::-1][::every][::-1] if every > 1 else points


class _Inlined:
    """Pictures as data URIs, as long as there is room; what is left out is said."""

    def __init__(self, warn: Warn):
        self._left, self.warn = ALL_BYTES, warn

    def files(self, paths: Iterable[Path]) -> Iterator[dict[str, str]]:
        for path in paths:
            if source := self.source(path.read_bytes(), str(path)):
                yield {"name": path.stem.rpartition(".")[2].replace("_", " "), "source": source}

    def source(self, png: bytes, name: str) -> str | None:
        if len(png) > min(PICTURE_BYTES, self._left):
            self.warn(
                f"{name} is not in the page: it has {len(png) / 1e6:.1f} MB, and there is room for {self._left / 1e6:.1f} MB"
            )
            return None
        self._left -= len(png)
        return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _seen(
    record: Record, entry: registry.Entry, report: dict[str, Any], names: Sequence[Any], inlined: _Inlined
) -> dict[Any, str]:
    """Pictures of the inputs of these names, where the model takes images and the data that they are of are still there."""
    if entry.takes != "image" or not report.get("split"):
        return {}
    try:
        prepared = record.prepared()
        if data_hash(prepared) != report["data_hash"]:
            return {}
        examples = entry.load("examples").split(record.config().data, prepared, report["split"], [])
        wanted = (one for one in islice(examples, ENOUGH) if one.name in set(names))
        found = {one.name: inlined.source(Picture(one.raw / 255).png(), one.name) for one in islice(wanted, len(names))}
    except DataError:  # the data are gone: names say which they were
        return {}
    return {name: source for name, source in found.items() if source}
