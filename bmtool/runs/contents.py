"""Everything that a run has to say, as JSON: what `runs show` prints and its page is made from."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from math import isfinite
from pathlib import Path
from statistics import median
from typing import Any

from bmtool.base.files import read_json
from bmtool.config.settings import settings
from bmtool.engine.kept import WEIGHTS
from bmtool.engine.record import Record
from bmtool.errors import DataError
from bmtool.measure.report import OWN, Report
from bmtool.runs.summary import DAMAGED, Best, best, summed_up

Warn = Callable[[str], None]
FACTS = (
    "command",
    "started",
    "versions",
    "platform",
    "git_commit",
    "device",
    "precision",
    "seed",
    "vocabulary",
    "fingerprint",
)
VALID = "valid/"


def contents(path: str | Path, warn: Warn, *, events: list[dict] | None = None) -> dict[str, Any]:
    """Of a run that can be read; DataError for another. `events` are those of its metrics.jsonl, where they have been read."""
    record = Record.open(path)
    held = summed_up(path)
    if held.state == DAMAGED:
        raise DataError(held.why)
    info, chosen = record.info(), best(record, warn)
    found = held.as_dict() | {
        "best_metric": (info["best"] or {}).get("metric", held.key),
        "data": {"name": held.data, "data_hash": held.data_hash, "prepared": info["prepared"]},
        "facts": {name: info[name] for name in FACTS if info.get(name) is not None},
        "changes": info.get("changes") or [],
        "settings": [setting._asdict() for setting in settings(record.config())],
        "best": chosen and chosen._asdict(),
        "checkpoints": list(_checkpoints(record, warn)),
        "evaluations": list(evaluations(record, chosen, warn)),
        "exports": [{"name": file.name, "bytes": file.stat().st_size} for file in sorted(record.exports.glob("*.onnx"))],
        "time": time_spent(record.events(warn) if events is None else events),
    }  # fmt: skip
    return plain(found)


def plain(value: Any) -> Any:
    """As JSON has it: null for what is no finite number."""
    if isinstance(value, dict):
        return {str(key): plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(held) for held in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _checkpoints(record: Record, warn: Warn) -> Iterator[dict[str, Any]]:
    kept = record.kept(warn)
    for name in dict.fromkeys([*kept.names(), *kept.candidates()]):
        try:
            manifest = kept.manifest(name)
            size = sum(file.stat().st_size for file in (kept.directory / name).iterdir())
        except (DataError, OSError) as error:
            warn(f"checkpoint {name} is passed over: {error}")
            continue
        yield {
            "name": name, "step": manifest["step"], "bytes": size, "metrics": manifest["metrics"], "weights": manifest["sha256"][WEIGHTS],
        }  # fmt: skip


def evaluations(record: Record, chosen: Best | None, warn: Warn) -> Iterator[dict[str, Any]]:
    """The reports in eval/; `is_current` says whether one is of the weights that are used now, None where it does not say."""
    for path in sorted(record.evaluations.glob("*.json"), key=lambda path: (path.stem != OWN, path.name)):
        try:
            report = read_json(path, Report, f"`bmtool evaluate {record.path}` measures it again")
        except DataError as error:
            warn(f"{error}; it is passed over")
            continue
        of = [one["weights"] for one in report.get("models", [])]
        is_current = None if not of or chosen is None else of == [chosen.weights]
        yield {"name": path.stem, "is_current": is_current} | report


# --- time ---


def time_spent(events: list[dict]) -> dict[str, Any]:
    """Seconds, by what they went into, and examples or inputs a second: of steps and of validations as far as the log tells them apart."""
    whole = max((event.get("elapsed_s", 0.0) for event in events), default=0.0)
    validating = sum(_validating(events))
    rates: dict[str, list[float]] = {}
    for event in events:
        for name, value in event.items():
            if name.endswith("_per_s"):
                rates.setdefault(name.partition("/")[2], []).append(value)
    typical = {name: round(median(values), 1) for name, values in rates.items()}
    return {"whole_s": round(whole, 2), "validating_s": round(min(validating, whole), 2), "per_second": typical}


def _validating(events: list[dict]) -> Iterator[float]:
    """Seconds of each validation: what lies between its line and the one before it, less the steps between them at their usual pace."""
    steps = [(now["step"] - was["step"], now.get("elapsed_s", 0.0) - was.get("elapsed_s", 0.0), _is_validation(now))
             for was, now in pairwise(events)]  # fmt: skip
    paces = [seconds / count for count, seconds, validates in steps if count > 0 and not validates]
    pace = median(paces) if paces else 0.0
    yield from (max(0.0, seconds - count * pace) for count, seconds, validates in steps if validates)


def _is_validation(event: dict) -> bool:
    return any(name.startswith(VALID) for name in event)
