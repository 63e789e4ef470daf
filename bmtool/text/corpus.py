"""From sources of text to prepared data: read, clean, find duplicates, encode, assemble.

Every step is a set of independent jobs (`engine`), each named by what it depends on. So any number of workers gives the same bytes, a
run that was killed goes on after the last finished job, and a changed source or setting redoes only what depends on it.

A task brings its own encoding of sentences (`TextTask`); everything else is the same for every task that reads text.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.base.files import lock, read_json, sha256, write_json
from bmtool.base.units import duration
from bmtool.config.text import HOW_ONLY, Clean, SourceSpec, TextData
from bmtool.data import shards
from bmtool.data.jobs import ENGINES, Engine, Job, digest, facts, is_done
from bmtool.data.tally import EXAMPLE_LENGTH, EXAMPLES_KEPT, Tally
from bmtool.errors import DataError
from bmtool.text import duplicates
from bmtool.text import sources as reading
from bmtool.text.cleaning import clean, clean_block
from bmtool.text.report import HINTS
from bmtool.text.sources import Block, File

FORMAT = 2  # of a prepared directory
CODE = 1  # raise it when a change in cleaning, splitting or keys gives other bytes: results of before are not used then
SPLITS = ("train", "valid", "test")
LEAK = "shares a span with a protected file"


@dataclass
class Encoded:
    """Sentences as the task's numbers: flat `fields` (name -> 1-D array), and the examples that are cut from them."""

    fields: dict[str, np.ndarray]
    starts: np.ndarray  # int64 [examples]: where each example begins in the fields
    lengths: np.ndarray  # int64 [examples]
    rows: np.ndarray  # int64 [examples]: the sentence each comes from
    dropped: list[tuple[int, str]] = field(default_factory=list)  # sentence, reason
    flagged: list[tuple[int, str]] = field(default_factory=list)  # sentence, what to know about it


@dataclass(frozen=True)
class TextTask:
    """What a task adds. `encode` and `count` are sent to workers, so they can be pickled; `settings` is all that they depend on."""

    name: str
    rules: int
    pair: tuple[str, ...]  # columns that a record may have in place of "text"
    settings: dict
    inputs: dict  # what `finish` depends on beside the counts, as JSON
    encode: Callable[[list[str], np.ndarray, np.ndarray], Encoded]  # sentences, keys uint64, which are for training
    count: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]  # fields of a split -> numbers to count, by name
    finish: Callable[[Path, dict[str, dict[str, "Counts"]]], dict]  # directory, split -> counts -> part of the manifest


@dataclass
class Counts:
    """How often each number occurred."""

    keys: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, keys: np.ndarray, counts: np.ndarray) -> None:
        joined = np.concatenate([self.keys, keys])
        self.keys, at = np.unique(joined, return_inverse=True)
        weights = np.concatenate([self.counts, counts])
        self.counts = np.bincount(at, weights, len(self.keys)).astype(np.int64)


@dataclass
class Source:
    """One file of a source, and what became of it."""

    spec: SourceSpec
    file: File
    bytes: int = 0
    sha256: str | None = None  # None: standard input
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

    def as_dict(self) -> dict:
        return {
            "domain": self.domain, "weight": self.spec.weight, "cap": self.spec.cap, "bytes": self.bytes, "sha256": self.sha256,
            "characters": self.characters, **self.tally.as_dict(), "changed": self.changed, "flagged": self.flagged,
            "examples_of_split": self.splits, "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass(frozen=True)
class Piece:
    """One cleaned block in its place: the source, the number of its first line, and where the result lies."""

    source: Source
    first: int
    directory: Path

    @property
    def key(self) -> str:
        return self.directory.name


def prepare(data: TextData, task: TextTask, console: Any, limit: int | None = None) -> dict:
    """Write the prepared data set that `data` describes and return its manifest; `limit` reads so many lines of each file only.

    The same sources and settings give the same bytes. Data that is prepared already is left as it is; prepared data of other
    sources or settings is replaced, in one step, at the end. Raises DataError when a source is missing, nothing usable is found,
    or the directory holds something else; ResourceError when another process is preparing the same directory.
    """
    target = Path(data.prepared)
    sources, repeated = _sources(data, task)
    for name in repeated:
        console.say(f"{name} is named twice among the sources: read once")
    recipe = _recipe(data, task, sources)
    if recipe is not None and _is_prepared(target, recipe):
        console.say(f"{target} is already prepared from these sources and settings: nothing to do")
        if not data.cache:
            shutil.rmtree(_cache(target), ignore_errors=True)
        return read_json(target / "manifest.json")
    if target.exists() and not (target / "manifest.json").is_file() and any(target.iterdir()):
        raise DataError(
            f"data.prepared: {target} exists and holds something else than prepared data: name another directory"
        )
    cache = _cache(target)
    with lock(cache, f"{target} is being prepared by another process: wait for it, or name another directory"):
        small = sum(source.bytes for source in sources) < 2 * reading.BLOCK_BYTES  # is done before a worker has started
        with ENGINES[data.engine](data.workers or int(small)) as engine:
            run = _Run(data, task, engine, console, cache, limit)
            manifest = run.prepare(sources, target, {"recipe": recipe, "named_twice": repeated})
        run.forget_unused()
    if not data.cache:
        shutil.rmtree(cache, ignore_errors=True)
    return manifest


def _cache(target: Path) -> Path:
    return target.with_name(f".{target.name}.cache")


def _sources(data: TextData, task: TextTask) -> tuple[list[Source], list[str]]:
    """Every file once, and the names that came again; a file that several entries name belongs to the first."""
    found: dict[Any, Source] = {}
    repeated: list[str] = []
    target = Path(data.prepared).resolve()
    for index, spec in enumerate(data.sources):
        try:
            paths = reading.expand(spec.path)
        except DataError as error:
            raise DataError(f"data.sources.{index}: {error}") from error
        for path in paths:
            identity = path.resolve() if path is not None else None
            if identity is not None and target in identity.parents:
                continue  # what a former run has prepared is no source
            if identity in found:
                repeated.append(str(path or "standard input"))
                continue
            file = File(path, tuple(spec.columns), spec.encoding, task.pair)
            found[identity] = source = Source(spec, file)
            if path is not None:
                source.bytes, source.sha256 = path.stat().st_size, sha256(path)
    return list(found.values()), repeated


def _recipe(data: TextData, task: TextTask, sources: list[Source]) -> dict | None:
    """What the prepared bytes depend on; None when standard input is among the sources and cannot be known beforehand."""
    if any(source.sha256 is None for source in sources):
        return None
    return {
        "format": FORMAT, "code": CODE, "rules": task.rules, "task": [task.settings, task.inputs],
        "settings": data.model_dump(exclude=HOW_ONLY | {"sources", "protected"}),
        "sources": [[source.sha256, source.file.format, source.spec.model_dump(exclude={"path"})] for source in sources],
        "names": [source.name for source in sources],
        "protected": _protected_hashes(data),
    }  # fmt: skip


def _protected_hashes(data: TextData) -> list[str]:
    return [sha256(path) for path in _protected_files(data)]


def _protected_files(data: TextData) -> list[Path]:
    try:
        return [path for pattern in data.protected for path in reading.expand(pattern) if path is not None]
    except DataError as error:
        raise DataError(f"data.protected: {error}") from error


def _is_prepared(target: Path, recipe: dict) -> bool:
    manifest = target / "manifest.json"
    return manifest.is_file() and read_json(manifest).get("recipe") == json.loads(json.dumps(recipe))


@dataclass
class _Run:
    data: TextData
    task: TextTask
    engine: Engine
    console: Any
    cache: Path
    limit: int | None
    used: set[Path] = field(default_factory=set)

    def prepare(self, sources: list[Source], target: Path, facts_of_sources: dict) -> dict:
        started = time.monotonic()
        pieces = self._clean(sources)
        dropped = self._duplicates(pieces)
        encoded = self._encode(pieces, dropped)
        if not sum(facts(part)["examples"]["train"] for part in encoded):
            why = sum((source.tally.dropped for source in sources), Tally().dropped).most_common()
            said = ", ".join(f"{count} x {reason}{HINTS.get(reason, '')}" for reason, count in why) or "no lines"
            names = ", ".join(source.name for source in sources[:5]) + (", ..." if len(sources) > 5 else "")
            raise DataError(f"nothing to train on: no usable sentence in {names} ({said})")
        working = target.with_name(f".{target.name}.working")
        shutil.rmtree(working, ignore_errors=True)
        working.mkdir(parents=True)
        try:
            manifest = self._assemble(sources, encoded, working)
            manifest |= facts_of_sources | {"seconds": round(time.monotonic() - started, 3)}
            write_json(working / "manifest.json", manifest)
            shutil.rmtree(target, ignore_errors=True)
            working.rename(target)
        finally:
            shutil.rmtree(working, ignore_errors=True)
        return manifest

    # --- the steps ---

    def _clean(self, sources: list[Source]) -> list[Piece]:
        """Read and clean every file; a file that is known is not even read."""
        total = sum(source.bytes for source in sources)
        settings, by_line = self.data.clean, self.data.split_by == "line"
        key = [CODE, settings.model_dump(), by_line]
        steps = _Steps(self.console, "reading and cleaning", total)
        before = {id(s): sum(x.bytes for x in sources[:i]) for i, s in enumerate(sources)}
        pieces: list[Piece] = []
        fresh: dict[int, list[Piece]] = {}

        def jobs() -> Iterator[Job]:
            for source in sources:
                known = self._known(source, key)
                if known is not None:
                    pieces.extend(known)
                    continue
                mine = fresh.setdefault(id(source), [])
                for block in reading.blocks(source.file, source.tally, self.limit):
                    at = self._place("clean", key, _how(source.file), block.first == 1, block.data)
                    mine.append(Piece(source, block.first, at))
                    pieces.append(mine[-1])
                    steps.reached = before[id(source)] + block.position
                    yield Job(at, clean_job, (source.file, block, settings, by_line))

        with steps:
            for job in self.engine.run(jobs()):
                steps.say(facts(job.directory)["characters"])
        for source in sources:
            if id(source) in fresh and source.sha256 is not None and self.limit is None:
                self._remember(source, key, fresh[id(source)])
            if not source.bytes and source.sha256 is not None:
                source.tally.drop("empty file", source.name)
        for piece in pieces:
            _add_clean(piece, facts(piece.directory))
        return pieces

    def _known(self, source: Source, key: list) -> list[Piece] | None:
        """The cleaned blocks of a file that was read before with these settings, when all are still there."""
        index = self._index(source, key)
        if source.sha256 is None or self.limit is not None or not index.is_file():
            return None
        known = read_json(index)
        pieces = [Piece(source, first, self.cache / "clean" / name) for first, name in known["blocks"]]
        if not all(is_done(piece.directory) for piece in pieces):
            return None
        for reason, count in known["dropped"].items():
            source.tally.dropped[reason] += count
            for place, text in known["examples"].get(reason, []):
                source.tally.show(reason, f"{source.name}:{place}", text)
        source.tally.read += known["read"]
        self.used |= {index, *(piece.directory for piece in pieces)}
        return pieces

    def _remember(self, source: Source, key: list, pieces: list[Piece]) -> None:
        index = self._index(source, key)
        self.used.add(index)
        name = f"{source.name}:"
        examples = {
            reason: [shown.removeprefix(name).partition(": ")[::2] for shown in listed]
            for reason, listed in source.tally.examples.items()
        }
        blocks = [(piece.first, piece.key) for piece in pieces]
        dropped = dict(source.tally.dropped)
        write_json(index, {"blocks": blocks, "read": source.tally.read, "dropped": dropped, "examples": examples})

    def _index(self, source: Source, key: list) -> Path:
        return self.cache / "files" / f"{digest(key, _how(source.file), source.sha256)}.json"

    def _duplicates(self, pieces: list[Piece]) -> list[np.ndarray]:
        """For every piece the rows that repeat an earlier sentence, sorted; counted in the tallies."""
        settings = self.data.duplicates
        rows = [np.empty(0, np.int64) for _ in pieces]
        if settings.exact:
            self._drop_repeats(pieces, rows, self._exact([piece.directory for piece in pieces]), "duplicate")
        if settings.near:
            self._drop_repeats(pieces, rows, self._near(pieces, rows), "near-duplicate")
        return rows

    def _exact(self, directories: list[Path]) -> list[Path]:
        return self._by_part("exact", directories, duplicates.exact, [])

    def _near(self, pieces: list[Piece], rows: list[np.ndarray]) -> list[Path]:
        settings = self.data.duplicates
        key = settings.model_dump()
        jobs = [
            Job(self._place("sign", CODE, key, piece.key, drop.tobytes()), sign_job, (piece.directory, drop, settings))
            for piece, drop in zip(pieces, rows)
        ]
        steps = _Steps(self.console, "looking for near-duplicates", len(jobs))
        signed = [job.directory for job in steps.over(self.engine.run(jobs))]
        texts = [piece.directory for piece in pieces]
        return self._by_part("near", signed, duplicates.near, [texts], settings)

    def _by_part(self, step: str, directories: list[Path], work: Callable, lists: list, *more: Any) -> list[Path]:
        """Results of one job for each part of the range of keys."""
        count = sum(int(facts(directory)["keys"]) for directory in directories)
        names = [directory.name for directory in directories]
        jobs = [
            Job(self._place(step, CODE, names, low, high), work, (directories, *lists, low, high, *more))
            for low, high in duplicates.parts(count)
        ]
        steps = _Steps(self.console, f"comparing keys ({step})", len(jobs))
        return [job.directory for job in steps.over(self.engine.run(jobs))]

    def _drop_repeats(self, pieces: list[Piece], rows: list[np.ndarray], results: list[Path], reason: str) -> None:
        for number, piece in enumerate(pieces):
            again, firsts = duplicates.of_block(results, number)
            rows[number] = np.union1d(rows[number], again)
            tally = piece.source.tally
            tally.dropped[reason] += len(again)
            room = EXAMPLES_KEPT - len(tally.examples.get(reason, []))
            for row, first in zip(again[:room].tolist(), firsts[:room].tolist()):
                at = pieces[first >> duplicates.ROW_BITS]
                other = first & 0xFFFFFFFF
                text = duplicates.Stored(piece.directory).sentence(row)[:60]
                if reason == "near-duplicate":
                    text = f"{text} ~ {duplicates.Stored(at.directory).sentence(other)[:60]}"
                tally.show(reason, _place_of(piece, row), f"{text} (as {_place_of(at, other)})")
            if not tally.dropped[reason]:
                del tally.dropped[reason]

    def _encode(self, pieces: list[Piece], dropped: list[np.ndarray]) -> list[Path]:
        protected = self._protected()
        caps = self._caps(pieces, dropped)
        jobs = []
        for piece, rows in zip(pieces, dropped):
            spec = piece.source.spec
            by_file = hashlib.blake2b(piece.source.name.encode(), digest_size=8).hexdigest()
            how = {
                "weight": spec.weight, "cap": caps.get(id(piece.source)),
                "shares": [self.data.test_share, self.data.valid_share],
                "split_by": by_file if self.data.split_by == "file" else self.data.split_by,
            }  # fmt: skip
            name = protected.name if protected else None
            at = self._place("encode", CODE, self.task.settings, self.task.rules, how, name, piece.key, rows.tobytes())
            arguments = (piece.directory, rows, how, protected, self.task.encode, self.task.count)
            jobs.append(Job(at, encode_job, arguments))
        steps = _Steps(self.console, "labelling and indexing", len(jobs))
        done = [job.directory for job in steps.over(self.engine.run(jobs))]
        for piece, directory in zip(pieces, done):
            _add_encoded(piece, facts(directory))
        return done

    def _protected(self) -> Path | None:
        """The directory with the fingerprint of the protected files."""
        files = _protected_files(self.data)
        if not files:
            return None
        at = self._place("protected", CODE, self.data.clean.model_dump(), self.task.pair, _protected_hashes(self.data))
        next(iter(self.engine.run([Job(at, protect_job, (files, self.task.pair, self.data.clean))])))
        found = facts(at)
        if not found["lines"]:
            raise DataError(f"data.protected: no usable line in {', '.join(map(str, files))}")
        lost = "".join(f"; {count} x {reason}" for reason, count in found["dropped"].items())
        self.console.say(f"protected: {found['lines']:,} lines of {len(files)} files{lost}")
        return at

    def _caps(self, pieces: list[Piece], dropped: list[np.ndarray]) -> dict[int, int]:
        """For every source with a cap that it exceeds: the largest mixed key that is kept."""
        kept: dict[int, list[np.ndarray]] = {}
        limits: dict[int, int] = {}
        for piece, rows in zip(pieces, dropped):
            if piece.source.spec.cap is not None:
                kept.setdefault(id(piece.source), []).append(np.delete(_rank(_row_keys(piece.directory)), rows))
        for piece in pieces:
            ranks, cap = kept.pop(id(piece.source), None), piece.source.spec.cap
            if ranks is not None and sum(map(len, ranks)) > cap:
                limits[id(piece.source)] = int(np.partition(np.concatenate(ranks), cap - 1)[cap - 1])
        return limits

    def _assemble(self, sources: list[Source], encoded: list[Path], directory: Path) -> dict:
        counts = {split: {} for split in SPLITS}
        splits = {split: {"examples": 0, "tokens": 0} for split in SPLITS}
        for part in encoded:
            found = facts(part)
            with np.load(part / "counts.npz") as stored:
                for split, _, name in (key.split("/") for key in stored.files if "/keys/" in key):
                    keys, numbers = stored[f"{split}/keys/{name}"], stored[f"{split}/counts/{name}"]
                    counts[split].setdefault(name, Counts()).add(keys, numbers)
            for split in SPLITS:
                splits[split]["examples"] += found["examples"][split]
                splits[split]["tokens"] += found["tokens"][split]
        for split in SPLITS:
            shards.assemble(directory, split, [part for part in encoded if facts(part)["examples"][split]])
        finished = self.task.finish(directory, counts)
        files = {path.name: sha256(path) for path in sorted(directory.iterdir())}
        lengths = counts["train"].get("length", Counts())
        return {
            "format": FORMAT, "task": self.task.name, "rules": self.task.rules, "splits": splits,
            "sources": {source.name: source.as_dict() for source in sources},
            "lengths": dict(zip(lengths.keys.tolist(), lengths.counts.tolist())),
            **finished, "files": files, "data_hash": hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
        }  # fmt: skip

    # --- the cache ---

    def _place(self, step: str, *depends: Any) -> Path:
        place = self.cache / step / digest(*depends)
        self.used.add(place)
        return place

    def forget_unused(self) -> None:
        """Remove results that this run had no use for."""
        for path in self.cache.glob("*/*"):
            if path not in self.used:
                with suppress(OSError):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _how(file: File) -> list:
    """What a block's text depends on beside its bytes."""
    return [file.format, file.columns, file.encoding, file.pair]


def _place_of(piece: Piece, row: int) -> str:
    line = int(np.load(piece.directory / "line.npy", mmap_mode="r")[row])
    return f"{piece.source.name}:{piece.first + line}"


def _add_clean(piece: Piece, found: dict) -> None:
    source = piece.source
    source.tally.read += found["lines"]
    source.characters += found["characters"]
    source.seconds += found["seconds"]
    _add_noted(piece, found["changed"], source.changed)
    _add_dropped(piece, found["dropped"])


def _add_encoded(piece: Piece, found: dict) -> None:
    source = piece.source
    source.tally.kept += found["sentences"]
    source.seconds += found["seconds"]
    for split, count in found["examples"].items():
        source.splits[split] = source.splits.get(split, 0) + count
    _add_dropped(piece, found["dropped"])
    _add_noted(piece, found["flagged"], source.flagged)


def _add_noted(piece: Piece, noted: dict[str, list], totals: dict[str, int]) -> None:
    for note, (count, listed) in noted.items():
        totals[note] = totals.get(note, 0) + count
        for line, text in listed:
            piece.source.tally.show(note, f"{piece.source.name}:{piece.first + line}", text)


def _add_dropped(piece: Piece, dropped: dict[str, list]) -> None:
    tally = piece.source.tally
    for reason, (count, listed) in dropped.items():
        tally.dropped[reason] += count
        for line, text in listed:
            tally.show(reason, f"{piece.source.name}:{piece.first + line}", text)


def _listed(found: list[tuple[int, str, str]]) -> dict[str, list]:
    """(line, reason, text) as reason -> [count, the first few (line, text)]."""
    listed: dict[str, list] = {}
    for line, reason, text in found:
        entry = listed.setdefault(reason, [0, []])
        entry[0] += 1
        if len(entry[1]) < EXAMPLES_KEPT:
            entry[1].append((line, text[:EXAMPLE_LENGTH]))
    return listed


# --- jobs ---


def clean_job(directory: Path, file: File, block: Block, settings: Clean, by_line: bool) -> dict:
    """Decode and clean one block; keep its sentences, where they come from, and their keys."""
    started = time.process_time()
    lines = reading.decode(file, block)
    cleaned = clean_block(lines, settings)
    duplicates.store(directory, cleaned.sentences)
    np.save(directory / "line.npy", cleaned.line)
    keys = duplicates.sentence_keys(cleaned.sentences)
    duplicates.write_keys(directory, keys, np.arange(len(keys)))
    if by_line:
        np.save(directory / "groups.npy", duplicates.sentence_keys(cleaned.lines)[cleaned.line])
    return {
        "lines": lines.count, "keys": len(keys), "characters": sum(map(len, lines.text)), "changed": _listed(cleaned.changed),
        "dropped": _listed(cleaned.dropped), "seconds": time.process_time() - started,
    }  # fmt: skip


def sign_job(directory: Path, cleaned: Path, dropped: np.ndarray, settings: Any) -> dict:
    """MinHash band keys of the sentences that are no exact duplicates."""
    sentences = duplicates.Stored(cleaned).all()
    rows = np.delete(np.arange(len(sentences)), dropped)
    keys, rows = duplicates.band_keys(sentences, rows, settings)
    duplicates.write_keys(directory, keys, rows)
    return {"keys": len(keys)}


def protect_job(directory: Path, files: list[Path], pair: tuple[str, ...], settings: Clean) -> dict:
    """Fingerprint of the protected files."""
    tally = Tally()
    lines = [line for path in files for _, line in reading.read_lines(File(path, pair=pair), tally)]
    spans, wholes = duplicates.fingerprint(clean(lines, settings))
    np.save(directory / "spans.npy", spans)
    np.save(directory / "wholes.npy", wholes)
    return {"lines": len(lines), "dropped": dict(tally.dropped)}


def encode_job(  # noqa: PLR0913
    directory: Path,
    cleaned: Path,
    dropped: np.ndarray,
    how: dict,
    protected: Path | None,
    encode: Callable,
    count: Callable,
) -> dict:
    """Filter what is left of one block, split it, encode it and write each split."""
    started = time.process_time()
    sentences, keys = duplicates.Stored(cleaned).all(), _row_keys(cleaned)
    line = np.load(cleaned / "line.npy")
    keep = np.ones(len(sentences), bool)
    keep[dropped] = False
    found: list[tuple[int, str, str]] = []

    def drop(mask: np.ndarray, reason: str) -> None:
        found.extend((int(line[row]), reason, sentences[row]) for row in np.flatnonzero(mask & keep).tolist())
        keep[mask] = False

    if protected is not None and len(sentences):
        drop(duplicates.leaks(sentences, line, duplicates.protected_arrays(protected)), LEAK)
    if how["cap"] is not None:
        drop(_rank(keys) > np.uint64(how["cap"]), "above the cap of its source")
    rows = np.flatnonzero(keep)
    split = _split(how, keys, cleaned)[rows]
    encoded = encode([sentences[row] for row in rows.tolist()], keys[rows], split == SPLITS.index("train"))
    found += [(int(line[rows[at]]), reason, sentences[rows[at]]) for at, reason in encoded.dropped]
    flagged = [(int(line[rows[at]]), note, sentences[rows[at]]) for at, note in encoded.flagged]
    counts, examples, tokens = {}, {}, {}
    times = _repeats(keys[rows], how["weight"])
    for number, name in enumerate(SPLITS):
        chosen = np.flatnonzero(split[encoded.rows] == number)
        if name == "train":
            chosen = np.repeat(chosen, times[encoded.rows[chosen]])
        lengths = encoded.lengths[chosen]
        at = shards.ragged(encoded.starts[chosen], lengths)
        fields = {field: values[at] for field, values in encoded.fields.items()}
        examples[name], tokens[name] = len(chosen), int(lengths.sum())
        for counted, values in ({"length": lengths} | count(fields)).items():
            unique, numbers = np.unique(values, return_counts=True)
            counts[f"{name}/keys/{counted}"], counts[f"{name}/counts/{counted}"] = unique.astype(np.int64), numbers
        if len(chosen):
            shards.write_part(directory, name, lengths, fields)
    np.savez(directory / "counts.npz", **counts)
    return {
        "sentences": len(np.unique(encoded.rows)), "examples": examples, "tokens": tokens, "dropped": _listed(found),
        "flagged": _listed(flagged), "seconds": time.process_time() - started,
    }  # fmt: skip


def _row_keys(cleaned: Path) -> np.ndarray:
    """Key of each sentence of a cleaned block, in row order."""
    keys = np.load(cleaned / "keys.npy")
    out = np.empty_like(keys)
    out[np.load(cleaned / "rows.npy")] = keys
    return out


def _rank(keys: np.ndarray) -> np.ndarray:
    return duplicates.mix(keys, 11)


def _split(how: dict, keys: np.ndarray, cleaned: Path) -> np.ndarray:
    """Index in SPLITS of each sentence: by a hash, so that it stays when data is added."""
    if how["split_by"] == "line":
        keys = np.load(cleaned / "groups.npy")
    elif how["split_by"] != "sentence":
        keys = np.full(len(keys), int(how["split_by"], 16), np.uint64)
    share = duplicates.mix(keys, 12) / 2.0**64
    test, valid = how["shares"]
    return np.where(share < test, 2, np.where(share < test + valid, 1, 0))


def _repeats(keys: np.ndarray, weight: float) -> np.ndarray:
    """How often each training sentence is written: `weight` on average, whole numbers by a hash."""
    return np.floor(weight + duplicates.mix(keys, 13) / 2.0**64).astype(np.int64)


class _Steps:
    """Says how far a step is and how long it will take: a bar on a terminal, a line every SECONDS elsewhere."""

    SECONDS, LIVE_SECONDS = 10.0, 0.5

    def __init__(self, console: Any, label: str, total: int):
        self.console, self.label, self.total = console, label, total
        self.started = self._said = time.monotonic()
        self.reached = self._characters = 0

    def __enter__(self) -> "_Steps":
        self.console.start_progress(0, self.total)
        return self

    def __exit__(self, *_: object) -> None:
        self.console.stop_progress()

    def over(self, jobs: Iterator[Job]) -> Iterator[Job]:
        with self:
            for job in jobs:
                self.reached += 1
                self.say()
                yield job

    def say(self, characters: int = 0) -> None:
        self._characters += characters
        now = time.monotonic()
        if now - self._said < (self.LIVE_SECONDS if self.console.is_live else self.SECONDS) or not self.total:
            return
        self._said, spent = now, now - self.started
        share = min(1.0, self.reached / self.total)
        rate = f"  {self._characters / spent / 1e6:.1f} M characters/s" if self._characters else ""
        left = f"  left {duration(spent / share - spent)}" if share else ""
        self.console.progress(self.reached, f"{self.label}: {share:.0%}{rate}{left}")
