"""The resamples of an evaluation, kept beside its report: models that were measured one after the other can be compared in pairs."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bmtool.base.files import damaged, sha256


def save(path: Path, figures: dict[str, np.ndarray]) -> str:
    """Write figures, float64 [1 + RESAMPLES] each; returns the sha256 of the file."""
    save_file({name: np.ascontiguousarray(values, np.float64) for name, values in figures.items()}, path)
    return sha256(path)


def load(path: Path, digest: str, again: str) -> dict[str, np.ndarray]:
    """What `save` wrote. DataError when the file is gone, or not the one that the report knows."""
    try:
        if sha256(path) != digest:
            raise damaged(str(path), "it is not what the report beside it says", again)
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise damaged(str(path), str(error)[:120], again) from error
