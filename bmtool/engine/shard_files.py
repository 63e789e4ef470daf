"""What processes share out of a checkpoint, on disk: a safetensors file a process in `shards/`, by torch.distributed.checkpoint.

`state.pt` holds shape and type of each such tensor (a tensor without storage) at its place. Any number of processes reads what any
number wrote. Imported where something is sharded only.
"""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Shard, zeros

from bmtool.base.files import fsync, sha256
from bmtool.engine import distributed, shards
from bmtool.engine.checkpoint import Begun, Checkpoints, as_resource_error
from bmtool.engine.kept import SHARDS
from bmtool.errors import ResourceError


def save(  # noqa: PLR0913
    checkpoints: Checkpoints, name: str, weights: dict[str, Tensor], state: dict, *, metrics: dict[str, float], elapsed_s: dict[str, float]
) -> None:  # fmt: skip
    """As `Checkpoints.save`; every process calls it and writes what it holds. Weights are written whole, by the first."""
    all_weights = shards.whole(weights)
    held: dict[str, Tensor] = {}
    rest = _taken_out(state, "", held)
    working = distributed.on_first(lambda: checkpoints.begin(name))
    try:
        written = distributed.together(lambda: _write(working / SHARDS, held))
    except Exception as error:
        shutil.rmtree(working, ignore_errors=True)
        raise as_resource_error(error, checkpoints.directory) from error
    sums = {f"{SHARDS}/{file}": digest for one in written for file, digest in one.items()}

    def finish() -> None:
        _require_all(working, sums)
        checkpoints.save(name, all_weights, rest, metrics=metrics, elapsed_s=elapsed_s, begun=Begun(working, sums))

    distributed.on_first(finish)


def _write(folder: Path, held: dict[str, Tensor]) -> dict[str, str]:
    """The sha256 of the file of this process; none where it holds no row of anything."""
    try:
        dcp.save(held, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except dcp.api.CheckpointException as error:
        raise next(iter(error.failures.values()))[0] from None
    own = sorted(folder.glob(f"shard-{distributed.rank() + 1:05d}-*"))
    return {path.name: sha256(path) for path in own}


def _require_all(working: Path, sums: dict[str, str]) -> None:
    """ResourceError when the first process does not see what another wrote."""
    if missing := [name for name in sums if not (working / name).is_file()]:
        raise ResourceError(
            f"{working.parent} is not one directory for all processes ({missing[0]} is missing): give a run that all machines share, "
            "with --set run=DIR"
        )
    fsync(working / SHARDS)


def load(folder: Path, state: Any, mesh: DeviceMesh | None) -> Any:
    """`state` with the tensors that lie in `folder`: shared out over `mesh`, or whole without one."""
    missing: dict[str, Tensor] = {}
    filled = _filled(state, "", missing, mesh)
    if missing:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process reads by itself
            dcp.load(missing, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=mesh is None)
    return filled


def _taken_out(value: Any, path: str, held: dict[str, Tensor]) -> Any:
    """The same with each shard moved to `held`, under its path, and a tensor without storage in its place."""
    if isinstance(value, Tensor) and shards.is_shard(value):
        held[path] = value
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    if isinstance(value, dict):
        return {key: _taken_out(one, f"{path}/{key}", held) for key, one in value.items()}
    if isinstance(value, list):
        return [_taken_out(one, f"{path}/{number}", held) for number, one in enumerate(value)]
    return value


def _filled(value: Any, path: str, missing: dict[str, Tensor], mesh: DeviceMesh | None) -> Any:
    """The same with a tensor of zeros for each without storage, which `missing` has by its path."""
    if isinstance(value, Tensor) and value.is_meta:
        missing[path] = _zeros(value, mesh)
        return missing[path]
    if isinstance(value, dict):
        return {key: _filled(one, f"{path}/{key}", missing, mesh) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, f"{path}/{number}", missing, mesh) for number, one in enumerate(value)]
    return value


def _zeros(like: Tensor, mesh: DeviceMesh | None) -> Tensor:
    if mesh is None:
        return torch.zeros(like.shape, dtype=like.dtype)
    return zeros(*like.shape, dtype=like.dtype, device_mesh=mesh, placements=[Shard(0)])
