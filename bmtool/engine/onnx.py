"""Opening a model that bmtool exported. Needs onnxruntime and numpy only."""

import json
from pathlib import Path
from typing import Any

from bmtool.base.cores import cores
from bmtool.errors import DataError

KEY = "bmtool"  # the one metadata entry; JSON


def open_model(path: Path) -> tuple[Any, dict]:
    """An onnxruntime session and the metadata that the export wrote. DataError for a file of something else."""
    import onnxruntime

    if not path.is_file():
        raise DataError(f"no such file: {path}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = cores()  # onnxruntime itself counts those that are not ours, too
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        raise DataError(
            f"{path} is not an ONNX model that can be loaded ({str(error).splitlines()[0][:120]})"
        ) from error
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise DataError(f"{path} was not exported by bmtool: make one with `bmtool export-onnx RUN`")
    return session, json.loads(text)
