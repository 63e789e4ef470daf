"""What a server answers with: a loaded model behind the calls of the command line."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bmtool.commands import documents
from bmtool.commands.lines import warn
from bmtool.commands.loading import DEFAULT, PRETRAINED, Loaded, load_model
from bmtool.errors import BadInput
from bmtool.predict.contract import Options
from bmtool.predict.inputs import KEY
from bmtool.serve.writing import EMBEDS, WRITES, Writings

ABOUT = ("run", "checkpoint", "data_hash", "bmtool", "int8")


def encoded(record: Mapping[str, Any]) -> bytes:
    """Here rather than in the server's process, which so never holds more of an answer than its bytes, nor its other requests up."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8")


@dataclass
class Served:
    """A model and what is said of it."""

    loaded: Loaded
    # in which questions without a context are looked up: a file or a folder
    documents: str | None = None

    def __post_init__(self) -> None:
        self._writings = Writings(self.loaded.predictor)
        self._asked = self.loaded.predictor
        if self.documents is not None:
            self._asked = documents.from_documents(self.loaded, documents.Of(documents=self.documents, is_public=True))

    @classmethod
    def load(cls, path: str, warn: Callable[[str], None], documents: str | None = None) -> "Served":
        """A BmtoolError for a file that is no model, or documents that cannot be read or are not for it."""
        return cls(load_model(path, warn), documents)

    def about(self) -> dict:
        """The model card: task, what it takes and gives, classes or vocabulary, what was measured."""
        loaded, info = self.loaded, self.loaded.info
        value: dict[str, Any] = {"model": loaded.name.rpartition("/")[2] or loaded.name, "task": loaded.task}
        value |= {"takes": loaded.entry.takes, "gives": loaded.entry.gives, "translates": loaded.entry.translates}
        value |= {key: info[key] for key in ABOUT if key in info}
        value |= loaded.predictor.facts()
        value |= {"writes": hasattr(loaded.predictor, "begin"), "embeds": hasattr(loaded.predictor, "embed")}
        value["chats"] = bool(getattr(loaded.predictor, "chats", False))
        if self.documents is not None:
            value["documents"] = {
                "name": Path(self.documents).resolve().name,
                "passages": len(self._asked.index.passages),
            }
        value |= self._figures()
        if card := self._card():
            value["card"] = card
        return value

    def _figures(self) -> dict[str, Any]:
        """Of the test split and of the validation: of a run those that an export of it would carry."""
        loaded, info = self.loaded, self.loaded.info
        if loaded.run is None:
            return {"metrics": info.get("metrics") or {}, "validation": info.get("validation") or {}}
        from bmtool.commands import reports  # needs more than an export does

        carried = reports.carried(loaded.run, loaded.checkpoint, loaded.weights)
        manifest = loaded.run.checkpoints(warn).manifest(loaded.checkpoint)
        return {"metrics": carried.metrics, "validation": manifest["metrics"]}

    def _card(self) -> str:
        """The model card in Markdown: of a run as it is now, of an export as it was; "" where an older export has none."""
        loaded = self.loaded
        if loaded.name == DEFAULT:
            return (PRETRAINED / loaded.task / "MODEL_CARD.md").read_text("utf-8")
        if loaded.run is None:
            return loaded.info.get("card", "")
        from bmtool.commands import cards  # needs more than an export does

        model = cards.Of(loaded.checkpoint, loaded.weights, loaded.predictor.facts())
        return cards.text(loaded.run, model, warn)

    def run(self, options: Options | str, inputs: list) -> list:
        """A record for each input, as JSON in UTF-8; a BadInput stands for itself. In place of options a word of `writing`."""
        if isinstance(options, str):
            kinds: dict[str, Callable[[list], list]] = {WRITES: self._writings.run, EMBEDS: self._embedded}
            work = kinds[options]
            return [one if isinstance(one, BadInput) else encoded(one) for one in work(inputs)]
        read = [self._read(raw) for raw in inputs]
        good = [number for number, item in enumerate(read) if not isinstance(item, BadInput)]
        out: list = list(read)
        if good:
            values = self._asked.predict([read[number] for number in good], options)
            for number, value in zip(good, values):
                out[number] = encoded(self._named(inputs[number]) | value.record())
        return out

    def _embedded(self, texts: list[str]) -> list[dict | BadInput]:
        """The vector of each text, and how many tokens it has."""
        predictor = self.loaded.predictor
        read = [self._read(text, predictor.read_to_embed) for text in texts]
        good = [one for one in read if not isinstance(one, BadInput)]
        vectors = iter(predictor.embed(good).astype("float32").tolist() if good else [])
        return [
            one if isinstance(one, BadInput) else {"embedding": next(vectors), "tokens": len(one.tokens)}
            for one in read
        ]

    def _read(self, raw: Any, reads: Callable[[Any], Any] | None = None) -> Any:
        try:
            return (reads or self._asked.read)(raw)
        except BadInput as error:
            return error

    def _named(self, raw: Any) -> dict:
        """The input beside its answer where it is short: lines, questions and numbers, not images and rows."""
        takes = self.loaded.entry.takes
        if takes == "question and context":
            return {KEY[takes]: raw[KEY[takes]]}
        return {KEY[takes]: raw} if takes in ("text", "number") else {}
