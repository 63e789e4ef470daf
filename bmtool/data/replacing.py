"""A directory that is made whole beside the old one and then takes its place: what breaks off leaves the old one as it was."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bmtool.base.files import fsync, is_full, lock
from bmtool.base.units import few
from bmtool.errors import DataError, ResourceError


@contextmanager
def making(target: Path, busy: str) -> Iterator[Path]:
    """An empty directory beside `target`, for one process, that is gone when the block ends; `put` moves it to its place.

    ResourceError that says `busy` when another process makes the same, and when the disk is full. A `target` that a `put` had moved away
    comes back when that was killed, or could not end.
    """
    beside = target.with_name(f".{target.name}.making")
    with lock(beside, busy):
        try:
            _tidy(beside, target)
            (beside / "new").mkdir()
            yield beside / "new"
        except OSError as error:
            if not is_full(error):
                raise
            free = shutil.disk_usage(beside).free / 1e6
            raise ResourceError(
                f"no room to make {target}: {free:,.1f} MB are free ({error}); make room, and run the same command again"
            ) from error
        finally:
            _tidy(beside, target)


def _tidy(beside: Path, target: Path) -> None:
    """Bring back what stands in no other place, and remove the rest."""
    if (beside / "old").exists() and not target.exists():
        (beside / "old").rename(target)
    for name in ("new", "old"):
        if (beside / name).exists():
            shutil.rmtree(beside / name)


def require_own(target: Path, names: frozenset[str]) -> None:
    """DataError when `target` holds anything but `names`: it is replaced whole, and nobody else's files may go with it."""
    foreign = sorted(path.name for path in target.glob("*") if path.name not in names)
    if foreign:
        shown = few(foreign, 3)
        raise DataError(
            f"{target} holds what was not prepared here ({shown}): choose another directory, or move it away"
        )


def put(new: Path, target: Path) -> None:
    """Move what `making` gave to `target`. Two renames: one that ends between them is made good by `making`, this one or the next."""
    for path in new.iterdir():
        fsync(path)
    if target.exists():
        target.rename(new.with_name("old"))
    new.rename(target)
    fsync(target.parent)
