"""What a run directory says, for those who only read it. No torch: a list of runs is there at once. `run_dir` writes it.

run.json  config.yaml  card.md  assets/  metrics.jsonl  log.txt  checkpoints/  plots/  eval/  export/
"""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired, Self, TypedDict

from bmtool.base.files import TRAIN_AGAIN, damaged, is_locked, parse_json, read_bytes, read_json
from bmtool.config import load
from bmtool.config.schema import BaseConfig
from bmtool.data.prepared import described
from bmtool.engine import upgrades
from bmtool.engine.kept import Kept
from bmtool.errors import DataError

EVENT_AGAIN = "delete the line"
FAILED = "failed: "  # begins what log.txt says last of a sitting that an error ended
_LAST_LINE = re.compile(rf"[\d-]+ [\d:]+ {FAILED}(.*)")
_TAIL = 1 << 14  # bytes at the end of a file that hold its last line


class Versioned(TypedDict):
    """What run.json says in any version."""

    format: int


class Change(TypedDict):
    """What was changed when a run went on, and the step it went on from."""

    step: int
    changed: list[str]


class Info(Versioned):
    """What run.json says; `config` are the sha256 that config.yaml may have.

    `resume_from` is a checkpoint that a run goes on from though there are newer ones, until these are gone; `tracking` has the names
    that trackers gave the run.
    """

    task: str
    data_hash: str
    vocabulary: str
    parent: str | None
    versions: dict[str, str]
    prepared: NotRequired[str | None]
    fingerprint: NotRequired[str | None]
    best: NotRequired[dict[str, str] | None]
    config: NotRequired[list[str]]
    precision: NotRequired[Literal["fp32", "bf16"]]
    ended: NotRequired[dict[str, int] | None]
    changes: NotRequired[list[Change]]
    resume_from: NotRequired[str | None]
    tracking: NotRequired[dict[str, str]]


class Event(TypedDict):
    """A line of metrics.jsonl: a step, and figures by their names."""

    step: Annotated[int, Field(ge=0, le=1 << 62)]


def _event(line: bytes, origin: str) -> Event:
    """DataError for what is no line of metrics.jsonl: it holds numbers, one of them a step."""
    parse_json(line, dict[str, float], origin=origin, again=EVENT_AGAIN)
    return parse_json(line, Event, origin=origin, again=EVENT_AGAIN)


class Record:
    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.assets, self.plots = self.path / "assets", self.path / "plots"
        self.evaluations, self.exports = self.path / "eval", self.path / "export"
        self.metrics, self.log, self.card = self.path / "metrics.jsonl", self.path / "log.txt", self.path / "card.md"

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """An existing run; DataError when there is none at `path`."""
        run = cls(path)
        if not run.exists:
            raise DataError(f"{path} is not a run directory (no run.json): train one with `bmtool pretrain CONFIG`")
        if (found := read_json(run.path / "run.json", Versioned, TRAIN_AGAIN)["format"]) not in upgrades.READS:
            known = " and ".join(map(str, upgrades.READS))
            raise DataError(
                f"{path} has run format {found}, this bmtool reads {known}: install the version that made it"
            )
        return run

    @property
    def exists(self) -> bool:
        """Whether a training has begun here; what a killed one left before that is written again."""
        return (self.path / "run.json").is_file()

    @property
    def name(self) -> str:
        """Of the directory, wherever one stands."""
        return self.path.resolve().name

    @property
    def is_running(self) -> bool:
        """Whether a training holds the directory."""
        return is_locked(self.path)

    def info(self) -> dict:
        return upgrades.info(read_json(self.path / "run.json", Info, TRAIN_AGAIN))

    def config(self) -> BaseConfig:
        path = self.path / "config.yaml"
        sums = self.info().get("config")
        if sums is not None and hashlib.sha256(read_bytes(path, TRAIN_AGAIN)).hexdigest() not in sums:
            raise damaged(str(path), "it is not what run.json says", TRAIN_AGAIN)
        return load.of_run(path)

    def kept(self, warn: Callable[[str], None], config: BaseConfig | None = None) -> Kept:
        """What its checkpoints say of themselves; `config` is the run's own, where it has been read."""
        return Kept(self.path, warn, self._renamed(config))

    def _renamed(self, config: BaseConfig | None = None) -> upgrades.Names:
        return upgrades.renamed((config or self.config()).model_dump()) if self.exists else {}

    # -- its data -------------------------------------------------------------------------------------------------------

    def prepared(self) -> Path:
        """Where the run's prepared data lie: as its config says, from here or from where it was trained. DataError when they are gone."""
        asked = Path(self.config().data.prepared)
        places = list(dict.fromkeys([asked, Path(self.info()["prepared"] or asked)]))
        found = [place for place in places if (place / "manifest.json").is_file()]
        if not found:
            looked = ", ".join(map(str, places))
            command = f"`bmtool prepare-data {(self.path / 'config.yaml').resolve()}`"
            raise DataError(
                f"the prepared data of {self.path} are gone (looked for {looked}): {command} makes them again"
                f"{_from_where(places[-1], asked)}"
            )
        return next((place for place in found if data_hash(place) == self.info().get("data_hash")), found[0])

    def changed_data(self) -> str:
        """What to say when the prepared data are not those that the run was trained on; "" when they are."""
        place = self.prepared()
        return (
            ""
            if data_hash(place) == self.info().get("data_hash")
            else f"{place} has changed since {self.path} was trained"
        )

    # -- what it said ---------------------------------------------------------------------------------------------------

    def events(self, warn: Callable[[str], None] | None = None) -> list[dict]:
        """The lines of metrics.jsonl, figures by the names of today; a torn last line is passed over.

        DataError for a line that is something else, which is passed over where `warn` hears of it.
        """
        return self.events_of(self.metrics.read_bytes() if self.metrics.is_file() else b"", 1, warn)

    def events_of(self, contents: bytes, first: int, warn: Callable[[str], None] | None = None) -> list[dict]:
        """As `events`, of a part of metrics.jsonl that begins with this line."""
        *lines, _torn = contents.split(b"\n")
        out, names = [], self._renamed() if lines else {}
        for number, line in enumerate(lines, start=first):
            try:
                event = _event(line, f"{self.metrics}:{number}")
            except DataError as error:
                if warn is None:
                    raise
                warn(f"{error}; it is passed over")
                continue
            out.append(upgrades.figures(event, names))
        return out

    def last_step(self) -> int:
        """Of the last line of metrics.jsonl that is one; 0 when there is none."""
        for line in reversed(_tail(self.metrics).split(b"\n")[:-1]):
            try:
                return _event(line, str(self.metrics))["step"]
            except DataError:  # the first line of the tail may lack its beginning
                continue
        return 0

    def failure(self) -> str:
        """What ended the last sitting, by its log; "" where nothing did, or a kill that had no time to say so."""
        lines = _tail(self.log).decode("utf-8", "replace").splitlines()
        found = _LAST_LINE.fullmatch(lines[-1]) if lines else None
        return found[1] if found else ""


def _tail(path: Path) -> bytes:
    """The end of a file; nothing of one that is not there."""
    if not path.is_file():
        return b""
    with path.open("rb") as stream:
        stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL))
        return stream.read()


def _from_where(lay: Path, asked: Path) -> str:
    """Where paths of a configuration start that says `asked` for what lay at `lay`."""
    started = Path(str(lay).removesuffix(str(asked)))
    return f", in {started}" if lay.is_absolute() and not asked.is_absolute() and started != lay else ""


def data_hash(prepared: Path) -> str:
    return described(prepared)["data_hash"]
