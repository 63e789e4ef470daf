"""A small task that reads text: examples are the code points of whole sentences or records, or numbers of learned characters."""

import functools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.config.text import TextData
from bmtool.data.shards import Shards
from bmtool.data.splitting import SPLITS
from bmtool.text.prepare import prepare
from bmtool.text.prepared import open_split
from bmtool.text.task import Encoded, TextTask

LEARNED = "characters.txt"


class Heard:
    """A console that remembers what was said."""

    is_live = False

    def __init__(self):
        self.said: list[str] = []

    def say(self, message: str, **_: object) -> None:
        self.said.append(message)

    def start_progress(self, done: int, total: int) -> None: ...

    def stop_progress(self) -> None: ...

    def progress(self, done: int, line: str) -> None: ...


def encode(sentences: list[str], keys: np.ndarray, training: np.ndarray, learned: Path | None = None) -> Encoded:
    codes = np.array([ord(c) for sentence in sentences for c in sentence], np.uint32)
    if learned is not None:
        known = np.array([ord(c) for c in (learned / LEARNED).read_text("utf-8")], np.uint32)
        at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        codes = np.where(known[at] == codes, at + 1, 0).astype(np.uint32)
    lengths = np.array([len(sentence) for sentence in sentences], np.int64)
    return Encoded({"codes": codes}, np.cumsum(lengths) - lengths, lengths, np.arange(len(sentences)))


def count(fields: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"codes": fields["codes"]}


def finish(directory: Path, counts: dict) -> dict:
    return {"different": {split: len(found["codes"].keys) for split, found in counts.items() if "codes" in found}}


def learn(sentences: Iterator[str], least: int = 1) -> dict[str, bytes]:
    text = "".join(sentences)
    return {LEARNED: "".join(sorted(c for c in set(text) if text.count(c) >= least)).encode()}


def toy(
    columns: tuple[str, ...] = (), targets: tuple[str, ...] = (), *, least: int | None = None, **settings
) -> TextTask:
    """The task; one that learns the characters that occur `least` times when that is given."""
    more = {} if least is None else {"learn": functools.partial(learn, least=least), "learning": {"least": least}}
    return TextTask("toy", 1, columns, settings, {}, encode, count, finish, targets, **more)


class Corpus:
    """Text in a directory, and what was prepared of it; one worker unless `workers` says otherwise."""

    def __init__(self, folder: Path):
        self.folder, self.heard, self.target = folder, Heard(), folder / "prepared"

    def write(self, name: str, *lines: str) -> Path:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def data(self, *sources, name: str = "prepared", **settings) -> TextData:
        self.target = self.folder / name
        specs = [{"path": source} if isinstance(source, str) else source for source in sources]
        specs = [spec | {"path": str(self.folder / spec["path"])} for spec in specs]
        return TextData(**{"sources": specs, "prepared": str(self.target), "workers": 1} | settings)

    def prepare(self, *sources, task: TextTask | None = None, name: str = "prepared", **settings) -> dict:
        return prepare(self.data(*sources, name=name, **settings), task or toy(), self.heard)

    def shards(self, split: str) -> Shards:
        return open_split(self.target, split, task="toy", rules=1, fields=("codes",))[1]

    def sentences(self, *splits: str) -> list[str]:
        """What was prepared without learning, of the splits named or of all."""
        shards = [self.shards(split) for split in splits or SPLITS]
        return ["".join(map(chr, s.example("codes", number))) for s in shards for number in range(len(s))]

    def files(self) -> dict[str, bytes]:
        """Contents of the prepared files but for the manifest, which holds times."""
        return {path.name: path.read_bytes() for path in self.target.iterdir() if path.name != "manifest.json"}
