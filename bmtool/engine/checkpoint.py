"""Checkpoints: written whole or not at all, verified by sha256 before they are used.

    checkpoints/step-00000500/{model.safetensors, state.pt, [shards/], manifest.json}      best, last: one-line text files

`model.safetensors` holds the weights to use (the moving average, where there is one); `state.pt` what resuming needs besides. Both are
functions of configuration and data, byte for byte; what tells the time stands in the manifest. `shards/` is written by `shard_files`:
its tensors are such functions, the order in its headers is not.
"""

import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bmtool.base.files import fsync, sha256, temporary, write_json, write_text
from bmtool.engine import upgrades
from bmtool.engine.kept import AVERAGED, BEST, LAST, MANIFEST, SHARDS, STATE, WEIGHTS, Kept
from bmtool.errors import DataError, ResourceError

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

__all__ = ["AVERAGED", "BEST", "LAST", "MANIFEST", "STATE", "WEIGHTS", "Checkpoints", "name_of", "require_space"]


def name_of(step: int) -> str:
    return f"step-{step:08d}"


class Begun(NamedTuple):
    """A checkpoint that is being written: where, and the sha256 of the files that are there."""

    path: Path
    sums: dict[str, str]


class Checkpoints(Kept):
    """The checkpoints of one run directory, written and used."""

    def begin(self, name: str) -> Path:
        """An empty directory in which the checkpoint `name` is written."""
        working = temporary(self.directory / name)
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir(parents=True)
        return working

    def save(  # noqa: PLR0913
        self, name: str, weights: dict[str, Tensor], state: dict, *, metrics: dict[str, float], elapsed_s: dict[str, float],
        begun: Begun | None = None,
    ) -> None:  # fmt: skip
        """Write one checkpoint under `name`; an interrupted or failed write leaves nothing behind under that name.

        `elapsed_s` holds all that tells the time, in seconds; `begun` is what has been written of it.
        """
        facts = {"format": upgrades.FORMAT, "step": state["step"], "metrics": metrics, "elapsed_s": elapsed_s}
        working = begun.path if begun else temporary(self.directory / name)
        try:
            if begun is None:
                self.begin(name)
            self._write(working, weights, state, facts | {"sha256": begun.sums if begun else {}})
            self._put(working, name)
        except Exception as error:
            shutil.rmtree(working, ignore_errors=True)
            raise as_resource_error(error, self.directory) from error

    def _write(self, working: Path, weights: dict[str, Tensor], state: dict, facts: dict[str, Any]) -> None:
        save_file({key: value.detach().cpu().contiguous() for key, value in weights.items()}, working / WEIGHTS)
        torch.save(_anew(state), working / STATE)
        for part in (WEIGHTS, STATE):
            fsync(working / part)
        files = {part: sha256(working / part) for part in (WEIGHTS, STATE)}
        write_json(working / MANIFEST, facts | {"sha256": files | facts["sha256"]})

    def _put(self, working: Path, name: str) -> None:
        """Rename what was written; a checkpoint that had the name steps aside before, and goes afterwards."""
        old = self._set_aside(name)
        working.rename(self.directory / name)
        fsync(self.directory)
        shutil.rmtree(old, ignore_errors=True)

    def _set_aside(self, name: str) -> Path:
        """Rename a checkpoint that is to be deleted, so that at no time half of it stands under its name."""
        going = temporary(self.directory / f"{name}.old")
        shutil.rmtree(going, ignore_errors=True)
        if (self.directory / name).exists():
            (self.directory / name).rename(going)
        return going

    def mark(self, pointer: str, name: str | None) -> None:
        """Let BEST or LAST name a checkpoint, or none."""
        if name is None:
            (self.directory / pointer).unlink(missing_ok=True)
        else:
            write_text(self.directory / pointer, name + "\n")

    def problem(self, name: str) -> str | None:
        """Why a checkpoint cannot be used; None if it is whole."""
        path = self.directory / name
        if not path.is_dir():
            return "there is none"
        try:
            digests = self.manifest(name)["sha256"]
            for part in dict.fromkeys((WEIGHTS, STATE, *digests)):
                if not (path / part).is_file():
                    return f"{part} is missing"
                if sha256(path / part) != digests[part]:
                    return f"{part} differs from its sha256"
        except (DataError, KeyError) as error:
            return f"its {MANIFEST} is damaged ({error})"
        except OSError as error:
            return f"it cannot be read ({error})"
        return None

    def newest(self) -> str | None:
        """The newest whole checkpoint, with a warning for each damaged one passed over; None when there is none at all.

        Raises DataError when there are checkpoints but all are damaged.
        """
        return self._first_whole(self.names()[::-1])

    def best(self) -> str:
        """The checkpoint that `best` names, or else the newest whole one; DataError when there is none."""
        found = self._first_whole(self.candidates())
        if found is None:
            raise DataError(f"{self.directory.parent} holds no checkpoint yet: train it first")
        return found

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

    def state(self, name: str, mesh: "DeviceMesh | None" = None) -> dict[str, Any]:
        """What `save` was given, with `elapsed_s`; what processes share out is shared out over `mesh`, or whole without one."""
        folder = self.directory / name
        saved = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        if (folder / SHARDS).is_dir():
            from bmtool.engine import shard_files

            saved = shard_files.load(folder / SHARDS, saved, mesh)
        return upgrades.state(saved, self.manifest(name).get("elapsed_s"), self.renamed)

    def prune(self, keep: Collection[str]) -> None:
        """Delete every checkpoint but those of `keep`."""
        for name in [*self.names(), AVERAGED]:
            if name not in keep:
                shutil.rmtree(self._set_aside(name), ignore_errors=True)


def _anew(value: Any) -> Any:
    """The same with containers and strings made anew: what is equal is pickled to equal bytes, whatever objects it shared."""
    if isinstance(value, str):
        return sys.intern(value)
    if isinstance(value, dict):
        return {_anew(key): _anew(held) for key, held in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_anew, value))
    return value


def as_resource_error(error: Exception, directory: Path) -> Exception:
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
