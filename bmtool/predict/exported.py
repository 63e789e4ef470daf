"""Opening a model that bmtool exported. Needs onnxruntime and numpy only."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bmtool.base.cores import threads
from bmtool.errors import DataError
from bmtool.predict.assets import Assets, Folder, Packed, is_packed
from bmtool.predict.backends import OnnxBackend

KEY = "bmtool"  # the one metadata entry; JSON
FORMAT = 2


class Exported(NamedTuple):
    backend: OnnxBackend
    about: dict  # the metadata that the export wrote
    assets: Assets


def open_model(path: Path) -> Exported:
    """DataError for a file of something else."""
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    packed = Packed(path) if is_packed(path) else None
    session = _session(path, packed.model() if packed else str(path))
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise DataError(f"{path} was not exported by bmtool: make one with `bmtool export-onnx RUN`")
    about = json.loads(text)
    if about.get("format", 0) > FORMAT:
        raise DataError(
            f"{path} was exported by a newer bmtool (format {about['format']}, this one reads up to {FORMAT})"
        )
    if about.get("part", "whole") != "whole":
        raise DataError(f"{path} is the {about['part']} alone: name the file of the whole model")
    return Exported(OnnxBackend(session, _outputs(session, about)), about, packed or _beside(path, about))


def _session(path: Path, model: str | bytes) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads()  # onnxruntime itself counts those that are not ours, too
    # Its threads spin while they wait, and take cores from other work; where they sleep they are as fast on an idle machine.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated types
        raise DataError(
            f"{path} is not an ONNX model that can be loaded ({str(error).splitlines()[0][:120]})"
        ) from error


def _outputs(session: Any, about: dict) -> dict[str, Sequence[str]]:
    """The outputs of each graph; a file of format 1 holds one and does not say which."""
    return about.get("graphs") or {"model": [value.name for value in session.get_outputs()]}


def _beside(path: Path, about: dict) -> Assets:
    """The tables of a file of format 1 lie beside it."""
    for name, size in about.get("tables", {}).items():
        file = path.with_name(name)
        if not file.is_file():
            raise DataError(f"no such file: {file}: the tables of {path.name} are files that belong beside it")
        if file.stat().st_size != size:
            raise DataError(f"{file} is not the one that {path.name} was exported with: export both again")
    return Folder(path.parent)
