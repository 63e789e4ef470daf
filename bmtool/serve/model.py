"""What a server answers with: a loaded model behind the calls of the command line."""

import base64
import binascii
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool import registry
from bmtool.commands.loading import DEFAULT, PRETRAINED, load_model
from bmtool.commands.translate import Reading, Translator, as_value
from bmtool.errors import ConfigError
from bmtool.images import pictures

ABOUT = ("run", "checkpoint", "data_hash", "bmtool", "int8")


class Asked(NamedTuple):
    """How lines of pinyin are to be answered."""

    reading: Reading
    alternatives: bool = False


@dataclass
class Served:
    """A model of one task and what is said of it."""

    name: str
    task: str
    predictor: Any
    info: dict

    @classmethod
    def load(cls, path: str, warn: Any) -> "Served":
        """A BmtoolError for a file that is no model, or a model that cannot be served."""
        loaded = load_model(path, warn)
        if not hasattr(registry.find(loaded.task).module("predict"), "describe") and loaded.task != "pinyin2hanzi":
            raise ConfigError(f"models of {loaded.task} cannot be served: they answer to `bmtool predict`")
        return cls(path, loaded.task, loaded.predictor, loaded.info)

    @property
    def takes(self) -> str:
        """ "pinyin" or "image": what the page asks for."""
        return "pinyin" if self.task == "pinyin2hanzi" else "image"

    def about(self) -> dict:
        """The model card: task, classes or vocabulary, what was measured."""
        value = {"model": Path(self.name).name, "task": self.task, "takes": self.takes}
        value |= {key: self.info[key] for key in ABOUT if key in self.info}
        if hasattr(self.predictor, "labels"):
            value["labels"] = self.predictor.labels
        if hasattr(self.predictor, "vocabulary"):
            value["hanzi"] = len(self.predictor.vocabulary.hanzi)
        value["metrics"] = self.info.get("metrics") or {}
        value["validation"] = self.info.get("validation") or {}
        if self.name == DEFAULT:
            value["card"] = (PRETRAINED / "pinyin2hanzi" / "MODEL_CARD.md").read_text("utf-8")
        return value

    # -- runs of the model, in the batcher's thread ---------------------------------------------------------------------

    def run(self, options: Any, inputs: list) -> list:
        """An answer for each input: lines of pinyin with `Asked` as options, or image files with a number of classes."""
        if isinstance(options, Asked):
            translator = Translator.of(self.predictor)
            found = translator(inputs, options.reading)
            return [as_value(translator, line, one, options.alternatives) for line, one in zip(inputs, found)]
        return self._answer_images(options, inputs)

    def _answer_images(self, top: int, inputs: list[bytes]) -> list:
        """What `predict` says of each; a `BadImage` stands for itself."""
        answering = registry.find(self.task).module("predict")
        decoded = [_decode(self.predictor, data) for data in inputs]
        good = [number for number, pixels in enumerate(decoded) if isinstance(pixels, np.ndarray)]
        out: list = list(decoded)
        if good:
            said = answering.describe(self.predictor, np.stack([decoded[number] for number in good]), top)
            for number, answer in zip(good, said):
                out[number] = answer
        return out


def _decode(predictor: Any, data: bytes) -> np.ndarray | pictures.BadImage:
    try:
        return predictor.decode(data)
    except pictures.BadImage as error:
        return error


def from_base64(text: str) -> bytes | None:
    """Bytes, with or without a `data:` prefix; None when it is no base64."""
    try:
        return base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return None
