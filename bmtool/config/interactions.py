"""Sections that the tasks on interactions share."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config.schema import MANY, DataPath, FilePath, Name, Section, of_sources
from bmtool.config.splits import TRAIN, SplitData


class InteractionColumns(Section):
    """What the columns of a source are called."""

    # who: any text, kept as it is
    user: Name = "user"
    # what: any text, kept as it is
    item: Name = "item"
    # a number: how much it was liked; null: there is none, and each interaction counts 1
    rating: Name | None = None
    # when: seconds or milliseconds since 1970, ISO 8601, or a number that orders; null: there is none, and rows stand in their order
    time: Name | None = None
    # with split: given, the column that says train, valid or test
    split: Name | None = None

    @property
    def named(self) -> list[str]:
        return [name for name in (self.user, self.item, self.rating, self.time, self.split) if name is not None]

    @model_validator(mode="after")
    def _named_once(self):
        if twice := sorted({name for name in self.named if self.named.count(name) > 1}):
            raise ValueError(f"columns: {', '.join(twice)} is named twice")
        return self


class Catalogue(Section):
    """A table of items: their titles, and what is written about them."""

    # a table, as `source`
    source: DataPath
    # the column of ids
    item: Name = "item"
    # the column of titles; null: ids are shown
    title: Name | None = None
    # columns that content is read from, words or lists of words apart by |
    text: list[Name] = Field([], max_length=100)


class UserTable(Section):
    """A table of users: its columns are what `evaluate --by` tells groups apart by."""

    # a table, as `source`
    source: DataPath
    # the column of ids
    user: Name = "user"


class InteractionData(SplitData):
    # .csv, .tsv, .jsonl, .json, .parquet or .arrow with a row for each interaction; a folder of them; several by * or {00..03}
    source: DataPath
    # directory that prepare-data writes and training reads
    prepared: FilePath
    # what its columns are called
    columns: InteractionColumns = InteractionColumns()
    # what the items are; null: nothing is known of them but their ids
    items: Catalogue | None = None
    # who the users are; null: nothing is known of them but their ids
    users: UserTable | None = None
    # ratings below it are left out before anything else is done; null: none
    min_rating: float | None = Field(None, ge=-1e9, le=1e9)
    # each user and each item has at least so many interactions: others are left out until all have (k-core)
    core: int = Field(1, ge=1, le=MANY)
    # time: the latest interactions of all are the test, those before them the validation, so that nothing that is learned from came
    # later than what is measured; last: of each user the last one is the test and the one before it the validation; hash: by a hash of
    # user and item; given: by columns.split, or by the files of valid and test
    split: Literal["time", "last", "hash", "given"] = "time"
    # of the hash by which ties in time are broken
    tie_seed: int = Field(0, ge=0, lt=2**31)

    def packages(self) -> Iterator[Package]:
        tables = [self.items.source] if self.items else []
        tables += [self.users.source] if self.users else []
        yield from of_sources(*(path for path in (self.source, self.valid, self.test, *tables) if path))

    @model_validator(mode="after")
    def _split_is_possible(self):
        files = [name for name in ("valid", "test") if getattr(self, name) is not None]
        if TRAIN in (self.valid, self.test):
            raise ValueError(
                "valid, test: a model that is asked for what a user has taken already says nothing: name files"
            )
        if (self.split == "given") != bool(files or self.columns.split):
            raise ValueError("split: given goes with columns.split, or with files as valid and test")
        if files and self.columns.split:
            raise ValueError("columns.split says which split a row is of: leave valid and test out")
        if self.split in ("time", "last") and self.columns.time is None:
            raise ValueError(f"split: {self.split} takes columns.time: name that column, or choose split: hash")
        return self
