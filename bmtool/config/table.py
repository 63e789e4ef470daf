"""Sections that the tasks on tables share."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, NamedTuple

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config.schema import MANY, DataPath, FilePath, Name, Section, Train, of_sources
from bmtool.config.splits import SplitData

# Tables that come with scikit-learn: name -> (its loader there, name of the target).
EXAMPLES = {"breast-cancer": ("load_breast_cancer", "diagnosis"), "diabetes": ("load_diabetes", "progression")}


MANY_ROWS = (1 << 24) - 1  # float32 tells so many numbers apart
_SIZES = {"length", "min_count"}  # keys of columns that name none
Names = Annotated[list[Name], Field(max_length=10_000)]


class Wanted(NamedTuple):
    """What a configuration says of one column."""

    # null: guessed from the training rows
    kind: Literal["number", "category", "list"] | None
    # training rows in which a category must be to be known
    least: int = 1
    # names of categories are hashed to so many numbers; 0: counted and kept
    buckets: int = 0
    # so much of a list is read
    length: int = 0
    # the categorical column whose ids a list holds; "": it has its own
    of: str = ""
    # the list is that of the words of a text
    words: bool = False


class Columns(Section):
    """What columns hold. Those that are named nowhere are guessed from the training rows, and the guess is said."""

    # that hold numbers
    numeric: Names = Field([])
    # that hold names, whatever they look like
    categorical: Names = Field([])
    # that are not looked at
    ignore: Names = Field([])

    @property
    def named(self) -> list[str]:
        """Every column that is named, as often as it is."""
        return [*self.numeric, *self.categorical, *self.ignore]

    @property
    def mentioned(self) -> list[str]:
        """Every column that has to be there."""
        return self.named

    @property
    def left_out(self) -> list[str]:
        """The columns that are not learned from."""
        return self.ignore

    @property
    def lists(self) -> list[str]:
        """The columns whose values may be lists."""
        return []

    def of_what(self) -> "Columns":
        """What is said of what columns hold, and nothing else."""
        return self

    def wanted(self, name: str) -> Wanted:
        return Wanted("number" if name in self.numeric else "category" if name in self.categorical else None)

    @model_validator(mode="after")
    def _named_once(self):
        if twice := sorted({name for name in self.named if self.named.count(name) > 1}):
            keys = ", ".join(name for name in type(self).model_fields if name not in _SIZES)
            raise ValueError(f"columns.{keys.replace(', ignore', ' and ignore')}: {', '.join(twice)} is named twice")
        return self


class FieldColumns(Columns):
    """Columns of what was shown to somebody and what came of it."""

    # who it was: gauc is the mean of the areas of these, and they are learned from unless `ignore` names them, too
    user: Name | None = None
    # when it was, for split: time; not learned from
    time: Name | None = None
    # which split it is of (train, valid or test), for split: given; not learned from
    split: Name | None = None
    # lists of ids, a|b|c or JSON lists, the newest last; each with the categorical column whose ids they are, or null for ids of its own
    history: dict[Name, Name | None] = Field({})
    # that hold text, of which the words are read, whatever their order
    text: Names = Field([])
    # categorical, of so many values that names are hashed to numbers and not kept; each with how many numbers
    hashed: dict[Name, Annotated[int, Field(ge=1, le=MANY_ROWS)]] = Field({})
    # ids of a history that are read, the newest, and words of a text, the first
    length: int = Field(30, ge=1, le=1000)
    # training rows in which a category, an id or a word must be to be known; all rarer ones are one that is unknown
    min_count: int = Field(1, ge=1, le=MANY)

    @property
    def named(self) -> list[str]:
        placed = [name for name in (self.time, self.split) if name is not None]
        return [*super().named, *self.history, *self.text, *self.hashed, *placed]

    @property
    def mentioned(self) -> list[str]:
        return [*self.named, *([self.user] if self.user is not None else [])]

    @property
    def left_out(self) -> list[str]:
        return [*self.ignore, *(name for name in (self.time, self.split) if name is not None)]

    @property
    def lists(self) -> list[str]:
        return [*self.history]

    def of_what(self) -> "FieldColumns":
        return self.model_copy(update={"user": None, "time": None, "split": None})

    def wanted(self, name: str) -> Wanted:
        if name in self.history:
            return Wanted("list", self.min_count, length=self.length, of=self.history[name] or "")
        if name in self.text:
            return Wanted("list", max(2, self.min_count), length=self.length, words=True)
        if name in self.hashed or name == self.user:
            return Wanted("category", self.min_count, self.hashed.get(name, 0))
        return super().wanted(name)._replace(least=self.min_count)

    @model_validator(mode="after")
    def _lists_have_their_ids(self):
        for name, of in self.history.items():
            if of is not None and of not in {*self.categorical, *self.hashed, self.user}:
                raise ValueError(f"columns.history.{name}: {of!r} is none of columns.categorical, hashed and user")
        return self


class TableData(SplitData):
    # whether the target has to be one of two classes, and the second of them is positive
    binary: ClassVar = False
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
        if self.columns_of is not None and (
            self.columns.of_what() != type(self.columns)() or self.positive is not None
        ):
            raise ValueError("columns_of brings columns and positive: leave these out")
        if self.target in self.columns.named:
            raise ValueError(f"target: {self.target!r} is also named in columns")
        return self


class FieldData(TableData):
    """Rows of what was shown, and whether it was taken: two classes, of which the second by number or name (1, true, yes) is positive."""

    binary: ClassVar = True
    columns: FieldColumns = FieldColumns()
    # hash: by a hash of what is learned from; time: the latest rows are the test, those before them the validation, so that nothing that
    # is learned from came later than what is measured; given: by columns.split
    split: Literal["hash", "time", "given"] = "hash"

    @model_validator(mode="after")
    def _split_is_possible(self):
        for split, name in (("time", self.columns.time), ("given", self.columns.split)):
            if self.split == split and name is None:
                raise ValueError(
                    f"split: {split} takes columns.{'split' if split == 'given' else split}: name that column"
                )
        if self.columns.split is not None and self.split != "given":
            raise ValueError("columns.split says which split a row is of: set split to given")
        if self.split != "hash" and (self.valid or self.test):
            raise ValueError(f"split: {self.split} says which rows are valid and test: leave these files out")
        return self


class TableTrain(Train):
    # rows of one micro-batch on one process
    batch_size: int = Field(64, ge=1, le=1 << 20)


# --- models ---


class Hidden(Section):
    """Hidden layers of a network."""

    # a network
    kind: str
    # of each hidden layer
    widths: list[Annotated[int, Field(ge=1, le=65_536)]] = Field([64, 64], min_length=1, max_length=100)
    # after each hidden layer
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    # after each hidden layer
    dropout: float = Field(0.0, ge=0, lt=1)
    # after each hidden layer
    batch_norm: bool = False

    @property
    def parameters(self) -> int:
        """Between the hidden layers."""
        return sum(before * width for before, width in pairwise(self.widths))


class Boosting(Section):
    """Trees that are added one by one, each to what those before it have left (LightGBM, Ke et al. 2017)."""

    # boosted trees
    kind: Literal["lightgbm"]
    # at most so many trees (of each class, where there are more than two)
    rounds: int = Field(500, ge=1, le=100_000)
    # rounds without a better loss on the validation rows until it stops; what is kept ends at the best
    patience: int = Field(50, ge=1, le=MANY)
    # how much of each tree counts
    rate: float = Field(0.05, gt=0, le=1)
    # of a tree
    leaves: int = Field(31, ge=2, le=131_072)
    # training rows in each leaf
    leaf_rows: int = Field(20, ge=1, le=MANY)
    # pulls the values of leaves to 0
    l2: float = Field(0.0, ge=0, le=1e9)
    # share of the columns that each tree may use
    columns: float = Field(1.0, gt=0, le=1)

    def packages(self) -> Iterator[Package]:
        yield Package("lightgbm", "lightgbm", "model.kind: lightgbm takes a package of that name")
