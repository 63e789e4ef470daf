"""The predictor of an exported autoencoder. Needs onnxruntime, numpy and Pillow only."""

from pathlib import Path
from typing import Any

import numpy as np

from bmtool.errors import DataError
from bmtool.tasks.autoencoder.predict import Autoencoder


def from_onnx(path: Path, session: Any, metadata: dict) -> Autoencoder:
    if metadata["part"] != "whole":
        raise DataError(f"{path} is the {metadata['part']} alone: name the file of the whole autoencoder")

    def backend(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return tuple(session.run(["code", "reconstruction"], {"images": images}))

    return Autoencoder(backend, metadata["size"], metadata["channels"])
