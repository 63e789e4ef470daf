"""Sections that the tasks on tables share."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config.schema import DataPath, FilePath, Name, Section, Train, of_sources
from bmtool.config.splits import SplitData

# Tables that come with scikit-learn: name -> (its loader there, name of the target).
EXAMPLES = {"breast-cancer": ("load_breast_cancer", "diagnosis"), "diabetes": ("load_diabetes", "progression")}


Names = Annotated[list[Name], Field(max_length=10_000)]


class Columns(Section):
    """What columns hold. Those that are named nowhere are guessed from the training rows, and the guess is said."""

    # that hold numbers
    numeric: Names = Field([])
    # that hold names, whatever they look like
    categorical: Names = Field([])
    # that are not looked at
    ignore: Names = Field([])

    @model_validator(mode="after")
    def _named_once(self):
        named = [*self.numeric, *self.categorical, *self.ignore]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"columns.numeric, categorical and ignore: {', '.join(twice)} is named twice")
        return self


class TableData(SplitData):
    # .csv, .tsv, .jsonl, .json, .parquet or .arrow; a folder of them as `datasets` or the hub has it, with its splits; several by * or
    # {00..03}; or breast-cancer or diabetes out of scikit-learn
    source: DataPath
    # directory that prepare-data writes and training reads
    prepared: FilePath
    # the column to be learned
    target: Name
    # what they hold, where a guess is not enough
    columns: Columns = Columns()
    # take columns, categories and classes from this run or prepared directory, which finetuning needs
    columns_of: FilePath | None = None
    # what stands for a value that is missing
    missing: list[str] = Field(max_length=1000, default=["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"])
    # the class that matters, for average precision and costs; null: the rarer of two
    positive: Name | None = None

    def packages(self) -> Iterator[Package]:
        if self.source in EXAMPLES:
            yield Package("sklearn", "scikit-learn", f"data.source: {self.source} comes with scikit-learn")
        yield from of_sources(*(path for path in (self.source, self.valid, self.test) if path))

    @model_validator(mode="after")
    def _consistent(self):
        if self.columns_of is not None and (self.columns != Columns() or self.positive is not None):
            raise ValueError("columns_of brings columns and positive: leave these out")
        named = {*self.columns.numeric, *self.columns.categorical, *self.columns.ignore}
        if self.target in named:
            raise ValueError(f"target: {self.target!r} is also named in columns")
        return self


class TableTrain(Train):
    # rows of one micro-batch on one process
    batch_size: int = Field(64, ge=1, le=1 << 20)
