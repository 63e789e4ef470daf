"""From texts to classes by the n-grams in them. Numpy only: the same code on PyTorch and on an exported model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bmtool.predict import assets
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.tasks.text_classification.predict import Classifier, Scores
from bmtool.text.grams import Kind, Table
from bmtool.text.labelled.linear.predict import scores
from bmtool.text.labelled.predict import Read

TABLE = "ngrams.safetensors"  # in an export


def kind_of_ngrams(settings: Mapping[str, Any]) -> Kind:
    return Kind(settings["unit"], settings["lowest"], settings["highest"])


def joined(texts: Sequence[str]) -> str:
    """Several texts as one, on a line each."""
    return "\n".join(texts)


class NgramClassifier(Classifier):
    """Texts are read whole: there are no windows."""

    def __init__(self, about: dict[str, Any], backend: Backend, files: Assets):
        super().__init__(about, backend, files)
        settings = about["ngrams"]
        self.table = Table.of(kind_of_ngrams(settings), assets.arrays(files, TABLE), sublinear=settings["sublinear"])

    def facts(self) -> dict[str, Any]:
        return {"texts": list(self.columns), "ngrams": len(self.table.weight), "labels": self.labels}

    def scores(self, reads: Sequence[Read]) -> Scores:
        """A text is a window."""
        if not reads:
            return Scores(np.zeros(0, np.int64), np.zeros(0), np.zeros((0, 1)))
        found = scores(self.table, self.backend, [joined(read.texts) for read in reads])
        return Scores(np.arange(len(reads)), np.ones(len(reads)), found)
