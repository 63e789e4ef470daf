"""The predictor of an exported model. Needs onnxruntime and numpy only."""

from pathlib import Path
from typing import Any

from bmtool.errors import DataError
from bmtool.tasks.pinyin2hanzi import tables
from bmtool.tasks.pinyin2hanzi.predict import Predictor
from bmtool.tasks.pinyin2hanzi.sequence import SequencePredictor
from bmtool.tasks.pinyin2hanzi.tagger import OnnxTagger, TaggerPredictor
from bmtool.tasks.pinyin2hanzi.vocab import Vocabulary
from bmtool.text.seq2seq.onnx import OnnxEncoderDecoder


def from_onnx(path: Path, session: Any, metadata: dict) -> Predictor:
    """The predictor of the opened model at `path`; a tagger's tables are read from the files beside it."""
    vocabulary = Vocabulary.from_dict(metadata["vocabulary"], f"the metadata of {path}")
    if metadata["kind"] != "tagger":
        backend = OnnxEncoderDecoder(session, metadata["state"], metadata["moving"])
        return SequencePredictor(vocabulary, backend, metadata["decode"], metadata["max_length"])
    for name, size in metadata["tables"].items():
        beside = path.with_name(name)
        if not beside.is_file():
            raise DataError(f"no such file: {beside}: the tables of {path.name} are files that belong beside it")
        if beside.stat().st_size != size:
            raise DataError(f"{beside} is not the one that {path.name} was exported with: export both again")
    return TaggerPredictor(
        vocabulary, OnnxTagger(session), *tables.load(path.parent), metadata["decode"], metadata["max_length"]
    )
