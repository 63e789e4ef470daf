"""Before pass 3: what files to measure on protect."""

from pathlib import Path

import numpy as np

from bmtool.base.files import sha256
from bmtool.config.text import Clean
from bmtool.data.jobs import Job, facts
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.text.cleaning import clean
from bmtool.text.decode import read_lines
from bmtool.text.inventory import protected_files
from bmtool.text.passes.run import Run
from bmtool.text.protect import WHOLE, fingerprint
from bmtool.text.records import measured_texts
from bmtool.text.sources import File


def protect_pass(run: Run) -> Path | None:
    """The directory with the fingerprint of the protected files; DataError when one of them protects nothing."""
    files = protected_files(run.data)
    if not files:
        return None
    task, settings = run.task, run.data.clean
    contents = [(sha256(path), File(path).format) for path in files]
    at = run.place("protected", settings.model_dump(), task.columns, task.targets, contents)
    run.do("protecting", [Job(at, protect_job, (files, task.columns, task.targets, settings))])
    found = facts(at)
    for path, (lines, spans) in zip(files, found["protects"]):
        if not lines:
            raise DataError(f"data.protected: no usable line in {path}{_lost(found)}")
        if not spans:
            raise DataError(
                f"data.protected: {path} protects nothing: none of its lines, {lines:,} in all, has "
                f"{WHOLE} hanzi or {WHOLE // 2} words to know it by"
            )
    lines = sum(count for count, _ in found["protects"])
    run.console.say(f"protected: {lines:,} lines of {len(files)} files{_lost(found)}")
    return at


def _lost(found: dict) -> str:
    return "".join(f"; {count} x {reason}" for reason, count in found["dropped"].items())


def protect_job(
    directory: Path, files: list[Path], columns: tuple[str, ...], targets: tuple[str, ...], settings: Clean
) -> dict:
    """Fingerprint of the protected files, and for each its usable lines and what it gave to the fingerprint."""
    tally, protects = Tally(), []
    spans, wholes = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for path in files:
        file = File(path, pair=columns, targets=targets)
        lines = clean([line for _, line in read_lines(file, tally)], settings)
        given = fingerprint(measured_texts(lines, file.layout.column))
        spans.append(given[0])
        wholes.append(given[1])
        protects.append((len(lines), sum(map(len, given))))
    np.save(directory / "spans.npy", np.unique(np.concatenate(spans)))
    np.save(directory / "wholes.npy", np.unique(np.concatenate(wholes)))
    return {"protects": protects, "dropped": dict(tally.dropped)}
