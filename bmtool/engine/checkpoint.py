"""Checkpoints: written whole or not at all, verified by sha256 before they are used.

    checkpoints/step-00000500/{model.safetensors, state.pt, manifest.json}      best, last: one-line text files

`model.safetensors` holds the weights to use (the moving average, where there is one); `state.pt` what resuming needs besides.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bmtool.base.files import fsync, read_json, sha256, write_json, write_text
from bmtool.engine import upgrades
from bmtool.errors import DataError, ResourceError

WEIGHTS, STATE, MANIFEST = "model.safetensors", "state.pt", "manifest.json"
Warn = Callable[[str], None]


class Checkpoints:
    """The checkpoints of one run directory; `renamed` are figures that have another name now (`RunDir.checkpoints` knows)."""

    def __init__(self, run: Path, warn: Warn, renamed: upgrades.Names | None = None):
        self.directory, self.warn, self.renamed = run / "checkpoints", warn, renamed or {}

    def save(self, name: str, weights: dict[str, Tensor], state: dict, metrics: dict[str, float]) -> None:
        """Write one checkpoint under `name`; an interrupted or failed write leaves nothing behind under that name."""
        working = self._aside(name)
        shutil.rmtree(working, ignore_errors=True)
        try:
            working.mkdir(parents=True)
            self._write(working, weights, state, metrics)
            self._put(working, name)
        except Exception as error:
            shutil.rmtree(working, ignore_errors=True)
            raise _as_resource_error(error, self.directory) from error
        if name.startswith("step-"):
            write_text(self.directory / "last", name + "\n")

    def _write(self, working: Path, weights: dict[str, Tensor], state: dict, metrics: dict[str, float]) -> None:
        save_file({key: value.detach().cpu().contiguous() for key, value in weights.items()}, working / WEIGHTS)
        torch.save(state, working / STATE)
        for part in (WEIGHTS, STATE):
            fsync(working / part)
        files = {part: sha256(working / part) for part in (WEIGHTS, STATE)}
        facts = {"format": upgrades.FORMAT, "step": state["step"], "metrics": metrics, "sha256": files}
        write_json(working / MANIFEST, facts)

    def _put(self, working: Path, name: str) -> None:
        """Rename what was written; a checkpoint that had the name steps aside before, and goes afterwards."""
        old = self._set_aside(name)
        working.rename(self.directory / name)
        fsync(self.directory)
        shutil.rmtree(old, ignore_errors=True)

    def _aside(self, name: str) -> Path:
        """Where a checkpoint is written: nobody takes it for one."""
        return self.directory / f".{name}.tmp"

    def _set_aside(self, name: str) -> Path:
        """Rename a checkpoint that is to be deleted, so that at no time half of it stands under its name."""
        going = self._aside(f"{name}.old")
        shutil.rmtree(going, ignore_errors=True)
        if (self.directory / name).exists():
            (self.directory / name).rename(going)
        return going

    def mark_best(self, name: str) -> None:
        write_text(self.directory / "best", name + "\n")

    def names(self) -> list[str]:
        """Every finished checkpoint, newest step last."""
        return sorted(path.name for path in self.directory.glob("step-*") if path.is_dir())

    def manifest(self, name: str) -> dict:
        """Its step, its validation figures by the names of today, and the sha256 of its files."""
        return upgrades.manifest(read_json(self.directory / name / MANIFEST), self.renamed)

    def digest(self, name: str) -> str:
        """The sha256 of its weights."""
        return self.manifest(name)["sha256"][WEIGHTS]

    def problem(self, name: str) -> str | None:
        """Why a checkpoint cannot be used; None if it is whole."""
        path = self.directory / name
        try:
            for part, digest in self.manifest(name)["sha256"].items():
                if not (path / part).is_file():
                    return f"{part} is missing"
                if sha256(path / part) != digest:
                    return f"{part} differs from its sha256"
        except (DataError, KeyError, TypeError, AttributeError) as error:
            return f"its {MANIFEST} is damaged ({error})"
        return None

    def newest(self) -> str | None:
        """The newest whole checkpoint, with a warning for each damaged one passed over; None when there is none at all.

        Raises DataError when there are checkpoints but all are damaged.
        """
        return self._first_whole(self.names()[::-1])

    def best(self) -> str:
        """The checkpoint that `best` names, or else the newest whole one; DataError when there is none."""
        pointed = [name for pointer in ("best", "last") if (name := self._pointer(pointer))]
        found = self._first_whole(list(dict.fromkeys([*pointed, *self.names()[::-1]])))
        if found is None:
            raise DataError(f"{self.directory.parent} holds no checkpoint yet: train it first")
        return found

    def _pointer(self, pointer: str) -> str | None:
        path = self.directory / pointer
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None

    def _first_whole(self, names: list[str]) -> str | None:
        for name in names:
            if (problem := self.problem(name)) is None:
                return name
            self.warn(f"checkpoint {name} cannot be used: {problem}; trying another")
        if names:
            raise DataError(f"every checkpoint in {self.directory} is damaged; delete them to start again")
        return None

    def weights(self, name: str) -> dict[str, Tensor]:
        return load_file(self.directory / name / WEIGHTS)

    def state(self, name: str) -> dict[str, Any]:
        saved = torch.load(self.directory / name / STATE, map_location="cpu", weights_only=True)
        return upgrades.state(saved, self.renamed)

    def prune(self, *, keep_last: int, best: list[str]) -> None:
        """Delete step checkpoints that are neither among the newest `keep_last` nor in `best`, and what a killed process left behind."""
        for name in self.names()[:-keep_last]:
            if name not in best:
                self._set_aside(name)
        for left in self.directory.glob(".*.tmp"):
            shutil.rmtree(left, ignore_errors=True)


def _as_resource_error(error: Exception, directory: Path) -> Exception:
    """A full disk shows as an OSError here and as other types from inside torch and safetensors."""
    if isinstance(error, OSError) or "No space left" in str(error) or "unexpected pos" in str(error):
        return ResourceError(
            f"cannot write a checkpoint to {directory}: {error}. "
            "The one before is untouched; free some space and run the same command again"
        )
    return error


def require_space(directory: Path, bytes_needed: int) -> None:
    """ResourceError when the disk under `directory` cannot hold `bytes_needed`."""
    free = shutil.disk_usage(directory).free
    if free < bytes_needed:
        raise ResourceError(
            f"checkpoints will need about {bytes_needed / 1e6:,.0f} MB, but {directory} has {free / 1e6:,.0f} MB free: "
            "free some space, or lower train.keep_last and train.keep_best"
        )
