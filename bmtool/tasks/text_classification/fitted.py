"""Linear models on n-grams as the engine sees them: fitted by scikit-learn in one go. Shapes: N texts, S scores."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from safetensors.numpy import save

from bmtool.base.files import read_json
from bmtool.engine.task import TRAIN_AGAIN, Fitted, Graph, require_examples
from bmtool.errors import DataError
from bmtool.predict.assets import Held
from bmtool.predict.backends import TorchBackend
from bmtool.tasks.text_classification import goals
from bmtool.tasks.text_classification.answers import Answers
from bmtool.tasks.text_classification.config import Config
from bmtool.tasks.text_classification.ngrams import TABLE, NgramClassifier, joined, kind_of_ngrams
from bmtool.text import grams
from bmtool.text.labelled.kind import Schema
from bmtool.text.labelled.linear import module
from bmtool.text.labelled.linear.fit import Examples, How, fit, require_all_classes
from bmtool.text.labelled.linear.fit import Linear as Model
from bmtool.text.labelled.prepare import kind_of, open_texts
from bmtool.text.labelled.store import SCHEMA, Texts
from bmtool.text.labelled.task import about_texts, described, identity
from bmtool.text.tokenizer import Tokenizer, open_tokenizer

# Tokens of the longer ones among the texts that an export is compared on; a text is read whole, however long.
PROBED = 512
OF_TABLE = "ngrams."  # begins the names of the arrays that are the table of n-grams


class Linear(Answers, Fitted):
    unit: ClassVar = "fit"

    def __init__(self, config: Config, tokenizer: Tokenizer, schema: Schema):
        self.config, self.tokenizer, self.schema, self.kind = config, tokenizer, schema, kind_of(config)
        self.learn(config, schema)

    @classmethod
    def fresh(cls, config: Config) -> "Linear":
        """DataError without validation texts, on which probabilities are calibrated."""
        texts = open_texts(config.data, "train", kind_of(config))
        task = cls(config, texts.tokenizer, texts.schema)
        for split in ("train", "valid"):
            require_examples(split, len(task.texts(split)))
        task.identity = identity(texts)
        return task

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Linear":
        task = cls(config, open_tokenizer(assets), read_json(assets / SCHEMA, Schema, TRAIN_AGAIN))
        task.take_chosen(assets)
        return task

    def texts(self, split: str) -> Texts:
        return open_texts(self.config.data, split, self.kind)

    # --- fitting ---

    def fit(self, say: Callable[[str], None]) -> Iterator[dict[str, float]]:
        train, valid = self.texts("train"), self.texts("valid")
        if self.goal == "one":
            require_all_classes(self.numbers(train), self.labels)
        self._table = self._learned(train, say)
        how = How(len(self._table.weight), self.config.seed, self.config.loss.class_weights, say)
        self._model = fit(self.config.model, self._examples(train), self._examples(valid), how)
        meter, reader = self.meter(), self.predictor()
        said = reader.probabilities([reader.tokenised(draft.texts) for draft in valid.drafts])
        meter.add(said, self.truth(valid), np.ones((len(valid), 1)))
        yield {f"valid/{name}": float(values[0]) for name, values in meter.figures().items()}

    def _learned(self, train: Texts, say: Callable[[str], None]) -> grams.Table:
        """DataError when there is no n-gram to learn from."""
        settings = self.config.model.ngrams
        table, least = grams.learned(
            [joined(draft.texts) for draft in train.drafts], kind_of_ngrams(settings.model_dump()),
            least=settings.min_texts, most=settings.most, sublinear=settings.sublinear,
        )  # fmt: skip
        if not len(table.weight):
            raise DataError(
                f"no n-gram stands in {least:,} training texts: lower model.ngrams.min_texts, or give more texts"
            )
        say(f"{len(table.weight):,} n-grams that stand in {least:,} or more of {len(train):,} training texts")
        return table

    def _examples(self, texts: Texts) -> Examples:
        truth = self.truth(texts)
        if self.goal == "ordinal":
            # Whether it is above each class but the last (Frank and Hall 2001).
            truth = truth[:, None] > np.arange(len(self.labels) - 1)
        return Examples(self._table.features([joined(draft.texts) for draft in texts.drafts]), truth)

    def arrays(self) -> dict[str, np.ndarray]:
        table = {f"{OF_TABLE}{name}": array for name, array in self._table.arrays().items()}
        return {"weight": self._model.weight, "bias": self._model.bias} | table

    def load(self, arrays: dict[str, np.ndarray]) -> None:
        settings = self.config.model.ngrams
        table = {name.removeprefix(OF_TABLE): array for name, array in arrays.items() if name.startswith(OF_TABLE)}
        self._model = Model(arrays["weight"], arrays["bias"])
        self._table = grams.Table.of(kind_of_ngrams(settings.model_dump()), table, sublinear=settings.sublinear)

    # --- use ---

    def about(self) -> dict[str, Any]:
        settings = self.config.model.ngrams
        held = {key: getattr(settings, key) for key in ("unit", "lowest", "highest", "sublinear")}
        texts = about_texts(self.kind, self.config.data, context=PROBED, overlap=0)
        return texts | {"ngrams": held} | self.answering()

    def graphs(self) -> list[Graph]:
        return [module.graph(self._model, self._link)]

    @property
    def _link(self) -> module.Link:
        if self.goal != "one":
            return "each"
        if goals.scores_of(self.goal, len(self.labels)) == 2:
            return "two"
        return "apart" if self.config.model.kind == "svm" else "softmax"

    def assets(self) -> dict[str, str | bytes]:
        return described(self.schema, self.tokenizer)

    def packed(self) -> dict[str, bytes]:
        return self.tokenizer.files() | {TABLE: save(self._table.arrays())}

    def predictor(self) -> NgramClassifier:
        return NgramClassifier(self.about(), TorchBackend(self.graphs()), Held(self.packed))
