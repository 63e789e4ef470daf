"""The predictor of an exported classifier. Needs onnxruntime, numpy and Pillow only."""

from pathlib import Path
from typing import Any

import numpy as np

from bmtool.tasks.image_classification.predict import Classifier


def from_onnx(path: Path, session: Any, metadata: dict) -> Classifier:
    def backend(images: np.ndarray) -> np.ndarray:
        return session.run(["log_p"], {"images": images})[0]

    return Classifier(metadata["labels"], backend, metadata["size"], metadata["channels"], metadata["views"])
