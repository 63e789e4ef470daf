"""Reports of evaluations: of which weights and data one is, under what name it is kept, whether an export may carry its figures."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bmtool.base.files import read_json
from bmtool.commands.loading import Loaded
from bmtool.commands.measuring import Source
from bmtool.data.prepared import described
from bmtool.errors import DataError
from bmtool.measure.report import OWN, Report, unfit

if TYPE_CHECKING:
    from bmtool.engine.run_dir import RunDir

STEM, DIGITS = 80, 8  # letters of a name, and of a hash in it
_PATTERN = re.compile(r"[*?\[\]{}]+")  # of --data that names several files; no shell should read it again


@dataclass(frozen=True)
class Subject:
    """What a report is of. `name`, that of its files, is the split alone for a run's own data, and holds their hash for any other."""

    name: str
    facts: dict[str, Any]

    def lines(self) -> list[str]:
        """For people."""
        models = "; ".join(
            one["model"] + (f" ({one['checkpoint']}, sha256 {one['weights'][:12]})" if one["weights"] else "")
            for one in self.facts["models"]
        )
        weighed = f"; weights {', '.join(map(str, self.facts['weight']))}" if self.facts["weight"] else ""
        split = f"split {self.facts['split']} of " if self.facts["split"] else ""
        unit = f", by {self.facts['unit']}" if self.facts["unit"] else ""
        return [
            f"Model: {models}{weighed}.",
            f"Data: {split}{self.facts['source']}{unit} (hash {self.facts['data_hash'][:12]}).",
        ]


def subject(loaded: Loaded, source: Source, weight: Sequence[float]) -> Subject:
    """Of an evaluation that has been fed."""
    models = [{"model": one.path, "checkpoint": one.checkpoint, "weights": one.weights} for one in loaded.all]
    facts: dict[str, Any] = {"model": loaded.name, "models": models, "weight": list(weight), "unit": source.unit}
    facts["left_out"] = sum(source.tally.dropped.values())
    if source.data is None:
        assert loaded.run is not None  # a model file has no splits, which a source refuses
        place = loaded.run.prepared()
        manifest = described(place)
        digest = manifest["data_hash"]
        is_own, title = digest == loaded.info["data_hash"], source.split
        sizes = {name: counted["examples"] for name, counted in manifest["splits"].items()}
        facts |= {"source": str(place), "split": source.split, "splits": sizes}
    else:
        digest, is_own, title = source.digest(), False, _PATTERN.sub("_", Path(source.data).resolve().stem[:STEM])
        facts |= {"source": source.data, "split": None}
    name = title if is_own else f"{title}-{digest[:DIGITS]}"
    name += f"-mean-of-{len(models)}" if len(models) > 1 else ""
    return Subject(name, {"data": name, "data_hash": digest} | facts)


class Carried(NamedTuple):
    """The figures that an export carries, and what they are of, or why there are none; the report that they stand in."""

    metrics: dict[str, Any]
    said: str
    report: Report | None = None


def carried(run: "RunDir", checkpoint: str, weights: str) -> Carried:
    """Those of the run's report on its own test split, when it is of its own data and of these very weights."""
    path = run.evaluations / f"{OWN}.json"
    again = f"`bmtool evaluate {run.path}` measures it"
    if not path.is_file():
        return Carried({}, f"no figures of a test: there is no {path}; {again}")
    try:
        report = read_json(path, Report, again)
        why = unfit(report, run.info()["data_hash"], weights)
        if not why:
            count = f"{report['examples']:,} examples of the {OWN} split, data {report['data_hash'][:12]}"
            return Carried(report["metrics"], f"the figures of {path}: {checkpoint} on {count}", report)
    except DataError as error:
        return Carried({}, f"no figures of a test: {error}")
    return Carried({}, f"no figures of a test: {path} {why}; {again}")
