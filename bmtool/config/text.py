"""The `data` section of every task that reads text: where it comes from, how it is cleaned, deduplicated and split."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bmtool.base.needs import Package
from bmtool.config.schema import MANY, DataPath, FilePath, Name, Section, Train, of_sources


def _renamed(section: Any, names: dict[str, str]) -> Any:
    """A section as given, with old names of keys replaced by those of today."""
    if not isinstance(section, dict):
        return section
    for old, new in names.items():
        if old in section and new in section:
            raise ValueError(f"{old} is the old name of {new}: give one of them")
    return {names.get(key, key): value for key, value in section.items()}


class SourceSpec(Section):
    # a file, a directory or a pattern (*, {000..003}); a folder as `datasets` or the hub has it brings its splits; "-" is standard input
    path: DataPath
    # what the report groups by; empty: the file's name
    domain: str = ""
    # how often each training sentence is written; 0.5 keeps every second one
    weight: float = Field(1.0, gt=0, le=100)
    # sentences at most from each file: a fixed random choice
    cap: int | None = Field(None, ge=1, le=MANY)
    # of csv, tsv, jsonl, json, parquet, arrow; empty: those of data.columns, else the task's own, else "text"
    columns: list[Name] = Field([], max_length=100)
    # of the columns, those that are kept as they are; empty: those that the task calls so
    target: list[Name] = Field([], max_length=100)
    # of the columns, the one that filters measure; empty: the last that is no target
    measured: str = ""
    # of text files; gb18030 reads GBK and GB 2312
    encoding: str = "utf-8"

    @field_validator("encoding")
    @classmethod
    def _encoding_is_known(cls, name: str) -> str:
        try:
            newline = "\n".encode(name)
        except LookupError as error:
            raise ValueError(f"no encoding {name!r}; utf-8 and gb18030 are the usual ones") from error
        if newline != b"\n":
            raise ValueError(f"{name} does not end lines with one byte: convert the files (iconv -t utf-8)")
        return name

    @model_validator(mode="after")
    def _columns_fit_together(self):
        if (self.target or self.measured) and not self.columns:
            raise ValueError("target and measured are names of columns: give `columns` too")
        if repeated := [name for name in self.columns if self.columns.count(name) > 1]:
            raise ValueError(f"columns names {repeated[0]} twice")
        for name in [*self.target, *([self.measured] if self.measured else [])]:
            if name not in self.columns:
                raise ValueError(f"{name} is none of the columns {', '.join(self.columns)}")
        if self.measured in self.target:
            raise ValueError(f"{self.measured} cannot be both a target and measured: targets are kept as they are")
        if self.columns and set(self.columns) <= set(self.target):
            raise ValueError("all columns are targets: one must be left that is measured")
        return self


def _as_source(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


Source = Annotated[SourceSpec, BeforeValidator(_as_source, json_schema_input_type=str | SourceSpec)]


class Clean(Section):
    """Steps in the order they are taken. Every one is counted, by line changed or sentence dropped."""

    # tags and entities
    html: bool = True
    # headings, bullets, emphasis, links, code marks
    markdown: bool = True
    # compatibility forms (full-width letters and digits ...); Chinese punctuation stays full-width
    nfkc: bool = True
    # control, zero-width and other characters that cannot be seen
    invisible: bool = True
    # traditional to simplified characters; needs `pip install opencc`
    simplify: bool = False
    # URLs, e-mail addresses, phone and identity-card numbers become <URL> <EMAIL> <PHONE> <ID>
    mask: bool = False
    # drop short lines such as "copyright", "share", "scan the code"
    boilerplate: bool = True
    # cut lines into sentences; of letters other than hanzi by the rules for any language
    sentences: bool = True
    # what min_letters and min_letters_share count; any: of any script
    letters: Literal["hanzi", "latin", "any"] = "hanzi"
    # that a sentence has at least; was called min_hanzi
    min_letters: int = Field(2, ge=0, le=1_000_000)
    # that a sentence has at most
    max_characters: int = Field(1000, ge=1, le=1 << 20)
    # that letters are of a sentence at least, white space aside; was min_hanzi_share
    min_letters_share: float = Field(0.3, ge=0, le=1)
    # of one character in a row, at most; 0: any number
    max_repeats: int = Field(8, ge=0, le=1_000_000)

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, section: Any) -> Any:
        return _renamed(section, {"min_hanzi": "min_letters", "min_hanzi_share": "min_letters_share"})

    def packages(self) -> Iterator[Package]:
        if self.simplify:
            yield Package("opencc", "opencc", "data.clean.simplify takes OpenCC")

    @model_validator(mode="after")
    def _something_is_kept(self):
        if self.min_letters > self.max_characters:
            raise ValueError(
                f"min_letters ({self.min_letters}) is more than max_characters ({self.max_characters}): nothing is kept"
            )
        return self


class Duplicates(Section):
    # sentences of the same letters
    exact: bool = True
    # MinHash over n-grams of hanzi or words (Broder 1997); needs `pip install rensa`
    near: bool = False
    # near: Jaccard similarity of the two sets of n-grams
    threshold: float = Field(0.8, gt=0, le=1)
    # near: hanzi or words in a row that are compared
    ngram: int = Field(3, ge=1, le=10)
    # near: hanzi or words; shorter sentences are left to `exact`; was called min_hanzi
    min_units: int = Field(10, ge=1, le=1_000_000)

    @model_validator(mode="before")
    @classmethod
    def _old_names(cls, section: Any) -> Any:
        return _renamed(section, {"min_hanzi": "min_units"})

    def packages(self) -> Iterator[Package]:
        if self.near:
            yield Package("rensa", "rensa", "data.duplicates.near takes rensa")


class TextTrain(Train):
    # of one micro-batch on one process
    batch_tokens: int = Field(4096, ge=1, le=1 << 24)


class TextData(Section):
    # the text: files, directories or globs, or sections with a path and more
    sources: list[Source] = Field(min_length=1, max_length=1000)
    # of all sources that name no columns, what is called otherwise than the task calls it: {text: review, label: stars}
    columns: dict[Name, Name] = Field({}, max_length=100)
    # directory that prepare-data writes and training reads
    prepared: FilePath
    # evaluation files: nothing that shares 20 hanzi or 10 words in a row with them is kept
    protected: list[FilePath] = Field([], max_length=1000)
    # what is taken out of text and which sentences are kept
    clean: Clean = Clean()
    # which sentences count as the same
    duplicates: Duplicates = Duplicates()
    # what stays together; chosen by a hash of it
    split_by: Literal["sentence", "line", "file"] = "sentence"
    # of the sentences, chosen by a hash of what stays together
    valid_share: float = Field(0.05, ge=0, lt=0.5)
    # as valid_share
    test_share: float = Field(0.05, ge=0, lt=0.5)
    # processes; 0: one a core. Any number gives the same bytes
    workers: int = Field(0, ge=0, le=256)
    # ray: a cluster; needs `pip install 'ray[data]'`
    engine: Literal["processes", "ray"] = "processes"
    # keep the steps between, so that a changed source or setting redoes only what depends on it
    cache: bool = True

    def packages(self) -> Iterator[Package]:
        if self.engine == "ray":
            yield Package("ray", "'ray[data]'", "data.engine: ray takes Ray Data")
        yield from of_sources(*(source.path for source in self.sources))


TOKENIZERS = ("char", "wordpiece", "bpe", "unigram")  # that are learned


class TokenisedData(TextData):
    """Of tasks that read tokens, not words of their own."""

    # char, wordpiece, bpe or unigram: learned from the training text; or a directory that holds one: a checkpoint's, a run's, prepared data
    tokenizer: FilePath = "char"
    # tokens that are learned at most
    vocabulary_size: int = Field(8000, ge=300, le=1 << 20)


# Keys on which the prepared bytes do not depend.
HOW_ONLY = {"prepared", "workers", "engine", "cache"}
