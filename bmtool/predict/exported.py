"""Opening a model that bmtool exported. Needs onnxruntime and numpy only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from typing_extensions import NotRequired, TypedDict

from bmtool.base.cores import threads
from bmtool.base.files import damaged, noted, parse_json, read_bytes
from bmtool.errors import DataError
from bmtool.predict.assets import AGAIN, Assets, Folder, Packed, is_packed
from bmtool.predict.backends import OnnxBackend

KEY = "bmtool"  # the one metadata entry; JSON
FORMAT = 2


class About(TypedDict):
    """What exports of all tasks say of themselves; a task's own `predict.About` says what of it its predictor needs."""

    format: int
    task: str
    # "whole", or the graph that is alone in the file
    part: NotRequired[str]
    # graph -> names of its outputs
    graphs: NotRequired[dict[str, list[str]]]
    # file of format 1 -> its bytes
    tables: NotRequired[dict[str, int]]
    # whether files and checksums stand behind the model
    packed: NotRequired[bool]


class Exported(NamedTuple):
    backend: OnnxBackend
    about: dict  # the metadata that the export wrote
    assets: Assets
    said: str  # that metadata as it stands in the file


def open_model(path: Path) -> Exported:
    """DataError for a file of something else, and for one that is not what was exported."""
    if not path.is_file():
        raise DataError(f"no such file: {path}")
    packed = Packed(path) if is_packed(path) else None
    session = _session(path, packed.model() if packed else _unpacked(path))
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    if text is None:
        raise DataError(f"{path} was not exported by bmtool: make one with `bmtool export-onnx RUN`")
    about: Any = parse_json(text, About, origin=str(path), again=AGAIN)
    if about["format"] > FORMAT:
        raise DataError(
            f"{path} was exported by a newer bmtool (format {about['format']}, this one reads up to {FORMAT})"
        )
    if about.get("part", "whole") != "whole":
        raise DataError(f"{path} is the {about['part']} alone: name the file of the whole model")
    if about.get("packed") and packed is None:
        raise damaged(str(path), "what belongs behind the model is gone", AGAIN)
    return Exported(OnnxBackend(session, _outputs(session, about)), about, packed or _beside(path, about), text)


def require_about(exported: Exported, kind: type, path: Path) -> None:
    """DataError when a file does not say what the predictor of its task needs."""
    parse_json(exported.said, kind, origin=str(path), again=AGAIN)


def _unpacked(path: Path) -> str | bytes:
    """A file of format 1: the model in the box has its checksum beside it, others have none."""
    return read_bytes(path, AGAIN) if path.name in noted(path.parent) else str(path)


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


def _outputs(session: Any, about: About) -> Mapping[str, Sequence[str]]:
    """The outputs of each graph; a file of format 1 holds one and does not say which."""
    return about.get("graphs") or {"model": [value.name for value in session.get_outputs()]}


def _beside(path: Path, about: About) -> Assets:
    """The tables of a file of format 1 lie beside it."""
    for name, size in about.get("tables", {}).items():
        file = path.with_name(name)
        if not file.is_file():
            raise DataError(f"no such file: {file}: the tables of {path.name} are files that belong beside it")
        if file.stat().st_size != size:
            raise DataError(f"{file} is not the one that {path.name} was exported with: export both again")
    return Folder(path.parent)
