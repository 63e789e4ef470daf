"""The predictor of an exported generator. Needs onnxruntime, numpy and Pillow only."""

from pathlib import Path
from typing import Any

import numpy as np

from bmtool.tasks.gan.predict import Generator


def from_onnx(path: Path, session: Any, metadata: dict) -> Generator:
    def backend(drawn: np.ndarray) -> np.ndarray:
        return session.run(["images"], {"noise": drawn})[0]

    return Generator(backend, metadata["noise"], metadata["size"], metadata["channels"], metadata["features"])
