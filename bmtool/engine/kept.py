"""The checkpoints of a run as they say themselves: names, figures, sha256. They are read here without torch; see `checkpoint`."""

import re
from collections.abc import Callable
from pathlib import Path

from typing_extensions import NotRequired, TypedDict

from bmtool.base.files import read_json
from bmtool.engine import upgrades

WEIGHTS, STATE, MANIFEST = "model.safetensors", "state.pt", "manifest.json"
BEST, LAST = "best", "last"  # pointers
SHARDS = "shards"  # the folder of what several processes share out; a file each
AVERAGED = "averaged"  # the checkpoint that is the mean of the best
_STEP = re.compile(r"step-([0-9]{8}|[1-9][0-9]{8,})")
Warn = Callable[[str], None]


class Manifest(TypedDict):
    """What a checkpoint says of itself: its validation figures, and the sha256 of its files."""

    format: int
    step: int
    metrics: dict[str, float]
    sha256: dict[str, str]
    elapsed_s: NotRequired[dict[str, float]]


def step_of(name: str) -> int:
    """Of a checkpoint of a step."""
    return int(name.removeprefix("step-"))


class Kept:
    """The checkpoints of one run directory; `renamed` are figures that have another name now (`Record` knows)."""

    def __init__(self, run: Path, warn: Warn, renamed: upgrades.Names | None = None):
        self.directory, self.warn, self.renamed = run / "checkpoints", warn, renamed or {}

    def names(self) -> list[str]:
        """Every finished checkpoint of a step, newest last."""
        found = {
            int(match[1]): path.name
            for path in self.directory.glob("step-*")
            if (match := _STEP.fullmatch(path.name)) and path.is_dir()
        }
        return [found[step] for step in sorted(found)]

    def manifest(self, name: str) -> dict:
        """Its step, its validation figures by the names of today, and the sha256 of its files."""
        return upgrades.manifest(
            read_json(self.directory / name / MANIFEST, Manifest, "delete the checkpoint"), self.renamed
        )

    def digest(self, name: str) -> str:
        """The sha256 of its weights."""
        return self.manifest(name)["sha256"][WEIGHTS]

    def step(self, name: str) -> int | None:
        """That a checkpoint is of; None of an average."""
        return None if name == AVERAGED else self.manifest(name)["step"]

    def candidates(self) -> list[str]:
        """What may be the best checkpoint, the likeliest first: what `best` and `last` name, then the newest ones."""
        pointed = [name for pointer in (BEST, LAST) if (name := self._pointer(pointer))]
        return list(dict.fromkeys([*pointed, *self.names()[::-1]]))

    def _pointer(self, pointer: str) -> str | None:
        """What a pointer names; None when there is none, and, with a warning, when it is no name of a checkpoint."""
        path = self.directory / pointer
        if not path.exists():
            return None
        if (name := _first_line(path)) == AVERAGED or _STEP.fullmatch(name):
            return name
        self.warn(f"{path} is damaged: it names no checkpoint of this run, and is passed over")
        return None


def _first_line(path: Path) -> str:
    """Of a small file; "" when it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(100).decode("ascii", "replace").strip()
    except OSError:
        return ""
