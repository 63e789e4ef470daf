"""Run directories under some folders."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from bmtool.errors import DataError

DEPTH = 5  # folders within each other that are looked into
MOST = 20_000  # folders that are looked into, all together
STUDY = "study.json"  # what `bmtool tune` says of its folder, which holds runs and is none
TRAIN_ONE = "train one with `bmtool pretrain CONFIG`"


def found(places: Sequence[str | Path]) -> list[Path]:
    """The runs at and under `places`, each once. DataError when a place is not there, too large to look through, or holds no run."""
    runs, left = dict[str, Path](), iter(range(MOST))
    for place in map(Path, places):
        if not place.is_dir():
            raise DataError(
                f"no such folder: {place}; runs are looked for in runs/ unless another is named: {TRAIN_ONE}"
            )
        runs |= {os.path.realpath(run): run for run in _under(place, DEPTH, left)}
    if not runs:
        raise DataError(f"no runs in {', '.join(map(str, places))} ({DEPTH} folders deep): {TRAIN_ONE}")
    return list(runs.values())


def is_run(path: Path) -> bool:
    """Whether a training began here, or tried to; one that has lost its run.json is still shown."""
    if (path / "run.json").is_file():
        return True
    has_begun = (path / "log.txt").is_file() and not (path / STUDY).is_file()
    return has_begun and ((path / ".lock").is_file() or (path / "checkpoints").is_dir())


def _under(place: Path, depth: int, left: Iterator[int]) -> Iterator[Path]:
    """Hidden folders, links to folders and what lies inside of a run are passed over."""
    if next(left, None) is None:
        raise DataError(
            f"more than {MOST:,} folders to look through, up to {place}: name the folder that holds the runs"
        )
    try:
        ends, inside = is_run(place), _folders(place) if depth else []
    except OSError as error:
        if depth == DEPTH:
            raise DataError(
                f"cannot look into {place}: {error.strerror}: name the folder that holds the runs"
            ) from error
        # It may be one: how it stands is said in its row.
        ends, inside = True, []
    if ends:
        yield place
        return
    for path in inside:
        yield from _under(path, depth - 1, left)


def _folders(place: Path) -> list[Path]:
    with os.scandir(place) as entries:
        inside = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return [place / name for name in sorted(inside) if not name.startswith(".")]
