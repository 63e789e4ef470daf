"""The files of `data.sources`, and what became of each."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bmtool.base.files import sha256
from bmtool.base.suggest import suggest
from bmtool.config.text import SourceSpec, TextData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.sources import parts
from bmtool.sources.parts import Part
from bmtool.text.sources import File, expand
from bmtool.text.task import TextTask

HIDDEN, PREPARED = "hidden file", "file of prepared data"
STDIN = Path("-")


@dataclass
class Source:
    """One file of a source, and what became of it."""

    spec: SourceSpec
    file: File
    bytes: int = 0
    sha256: str | None = None  # None: standard input
    split: str | None = None  # that all of it is of, where its set brings splits
    given: frozenset[str] = frozenset()  # the splits that its set brings
    tally: Tally = field(default_factory=Tally)
    changed: dict[str, int] = field(default_factory=dict)
    flagged: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    characters: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def domain(self) -> str:
        return self.spec.domain or (self.file.path.name.split(".")[0] if self.file.path else self.name)

    @property
    def how(self) -> list:
        """What the text of the file's blocks depends on beside their bytes."""
        file = self.file
        return [file.format, file.columns, file.encoding, file.pair, file.targets, file.measured]

    def as_dict(self) -> dict:
        return {
            **({"split": self.split} if self.split else {}),
            "domain": self.domain, "weight": self.spec.weight, "cap": self.spec.cap, "bytes": self.bytes, "sha256": self.sha256,
            "characters": self.characters, **self.tally.as_dict(), "changed": self.changed, "flagged": self.flagged,
            "examples_of_split": self.splits, "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass
class Aside:
    """Files that are no sources, or none once more: those that several entries name, and others by the reason."""

    named_twice: list[str] = field(default_factory=list)
    # Names are the keys, in their order: there may be a hundred thousand below a `.git`.
    passed_over: dict[str, dict[str, None]] = field(default_factory=dict)

    def pass_over(self, reason: str, path: Path) -> None:
        self.passed_over.setdefault(reason, {})[str(path)] = None

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        over = {reason: list(names) for reason, names in self.passed_over.items()}
        return {"named_twice": self.named_twice, "passed_over": over}


def find_sources(data: TextData, task: TextTask) -> tuple[list[Source], Aside]:
    """Every file once, and what was put aside; a file that several entries name belongs to the first.

    Raises DataError for an entry that matches nothing, ConfigError for one whose columns or target cannot be told.
    """
    found: dict[Any, Source] = {}
    aside = Aside()
    columns = _columns(data, task)
    for entry, part, given in _parts(data, task, aside):
        path = part.path if part.path != STDIN else None
        identity = path.resolve() if path is not None else None
        if identity in found:
            aside.named_twice.append(str(path or "standard input"))
            continue
        spec = entry.model_copy(update=columns) if File(path).format and not entry.columns else entry
        targets = _targets(spec, task, f"data.sources.{data.sources.index(entry)}")
        file = File(path, tuple(spec.columns), spec.encoding, task.columns, targets, spec.measured, task.dialogue)
        if task.dialogue and not file.format:
            raise DataError(
                f"{file.name} holds lines of text: dialogues are records (.jsonl, .json, .csv, .tsv, .parquet, .arrow)"
            )
        found[identity] = source = Source(spec, file, split=part.split, given=given)
        if path is not None:
            source.bytes, source.sha256 = path.stat().st_size, sha256(path)
    return list(found.values()), aside


def _parts(data: TextData, task: TextTask, aside: Aside) -> Iterator[tuple[SourceSpec, Part, frozenset[str]]]:
    """The entry, every file with its split, and the splits that its set brings; what a former run has prepared is no source."""
    prepared = Path(data.prepared).resolve()
    for index, spec in enumerate(data.sources):
        _targets(spec, task, f"data.sources.{index}")
        try:
            found = _files(spec.path, aside)
        except DataError as error:
            raise DataError(f"data.sources.{index}: {error}") from error
        given = frozenset(part.split for part in found if part.split)
        for part in found:
            if part.path == STDIN or prepared not in part.path.resolve().parents:
                yield spec, part, given
            else:
                aside.pass_over(PREPARED, part.path)


def _files(source: str, aside: Aside) -> list[Part]:
    """The files of an entry, with their splits where it is a set that brings some."""
    path = Path(source)
    if path.is_dir() and parts.brings_splits(path):
        return parts.parts(path, lambda kind, name: aside.pass_over(kind, Path(name)))
    hidden: list[Path] = []
    found = expand(source, hidden)
    for one in hidden:
        aside.pass_over(HIDDEN, one)
    return [Part(STDIN if one is None else one) for one in found]


def _columns(data: TextData, task: TextTask) -> dict[str, list[str]]:
    """`columns` and `target` of the entries that name none, by the fields that `data.columns` calls otherwise; nothing where it is empty.

    ConfigError for a field that the task does not know.
    """
    own, ways = data.columns, task.ways
    known = [field for way in reversed(ways) for field in way]
    if unknown := [field for field in own if field not in known]:
        fields = f"{task.name} has no field {unknown[0]!r}{suggest(unknown[0], known)} (fields are {', '.join(known)})"
        raise ConfigError(f"data.columns: {fields}")
    if not own:
        return {}
    fields = next((way for way in ways if own.keys() <= set(way)), None)
    if fields is None:
        every = ", or ".join(" and ".join(way) for way in ways)
        raise ConfigError(f"data.columns: a record is {every}: name the columns of one of them")
    targets = [own.get(field, field) for field in fields if field in task.targets and not task.dialogue]
    return {"columns": [own.get(field, field) for field in fields], "target": targets}


def _targets(spec: SourceSpec, task: TextTask, place: str) -> tuple[str, ...]:
    if task.dialogue:
        _require_dialogue(spec, place)
        return task.targets
    if spec.target or not spec.columns:
        return tuple(spec.target) or task.targets
    named = tuple(column for column in spec.columns if column in task.targets)
    if task.targets and not named:
        wanted, columns = ", ".join(task.targets), ", ".join(spec.columns)
        raise ConfigError(f"{place}: which of the columns {columns} is the {wanted}? name it: `target: [...]`")
    return named


def _require_dialogue(spec: SourceSpec, place: str) -> None:
    """ConfigError for columns that hold no dialogue."""
    if spec.target or spec.measured:
        raise ConfigError(f"{place}: dialogues are kept and measured as a whole: leave target and measured out")
    if len(spec.columns) > 2:
        raise ConfigError(f"{place}: a dialogue is one column of turns, or a prompt and a response: name one or two")


def protected_files(data: TextData) -> list[Path]:
    """The files behind `data.protected`; DataError for an entry that matches nothing."""
    try:
        return [path for pattern in data.protected for path in expand(pattern) if path is not None]
    except DataError as error:
        raise DataError(f"data.protected: {error}") from error
