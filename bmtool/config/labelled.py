"""Sections that the tasks on labelled text share."""

from collections.abc import Iterator

from pydantic import Field

from bmtool.base.needs import Package
from bmtool.config.schema import BaseConfig, DataPath, FilePath, Name, Train, of_sources
from bmtool.config.splits import SplitData
from bmtool.config.text import TOKENIZERS

# What predictors on labelled text can draw (`text.labelled.explain`).
PICTURES = {
    "explain": "Why: what each part of the input adds to the answer, as a picture; of texts also a page (.html), JSON lines (.jsonl), or - "
    "for the terminal.",
    "saliency": "As --explain, by gradients x input in place of occlusion: quicker on long texts, for runs alone.",
}


class LabelledData(SplitData):
    # .jsonl, .json, .csv, .tsv, .parquet or .arrow; a folder of them as `datasets` or the hub has it, with its splits; several by * or
    # {00..03}
    source: DataPath
    # directory that prepare-data writes and training reads
    prepared: FilePath
    # what is called otherwise than the task calls it: {text: review, label: stars}
    columns: dict[Name, Name] = Field({}, max_length=100)
    # char, wordpiece, bpe or unigram: learned from the training text; or a directory that holds one: a checkpoint's, a run's, prepared data
    tokenizer: FilePath = "char"
    # tokens that are learned at most
    vocabulary_size: int = Field(8000, ge=300, le=1 << 20)
    # take the classes, and their order, from this run or prepared directory
    labels: FilePath | None = None

    def packages(self) -> Iterator[Package]:
        yield from of_sources(*(path for path in (self.source, self.valid, self.test) if path))


class LabelledConfig(BaseConfig):
    @property
    def starts_from_others(self) -> bool:
        """Tokens that are there already are those of a network that knows them."""
        return super().starts_from_others or (self.model.kind == "encoder" and self.data.tokenizer not in TOKENIZERS)


class LabelledTrain(Train):
    # of one micro-batch on one process
    batch_tokens: int = Field(4096, ge=1, le=1 << 24)
