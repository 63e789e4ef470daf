"""From sources of text to prepared data: read, clean, find duplicates, choose, learn, encode, assemble.

Every pass is a set of independent jobs (`data.jobs`), each named by what it depends on. So any number of workers gives the same bytes,
a run that was killed goes on after the last finished job, and a changed source or setting redoes only what depends on it.

A task brings its own encoding of sentences (`TextTask`); everything else is the same for every task that reads text.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from bmtool.base.console import Console
from bmtool.base.files import read_json, write_json
from bmtool.base.units import few
from bmtool.config.text import TextData
from bmtool.data.jobs import ENGINES, facts
from bmtool.data.prepared import AGAIN, MANIFEST, described, is_whole
from bmtool.data.replacing import making, put
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.text.assemble import Manifest, assemble, content_hash
from bmtool.text.inventory import Source, find_sources
from bmtool.text.passes.choose import choose_pass
from bmtool.text.passes.clean import clean_pass
from bmtool.text.passes.encode import encode_pass
from bmtool.text.passes.learn import learn_pass
from bmtool.text.passes.repeats import repeats_pass
from bmtool.text.passes.run import Run
from bmtool.text.recipe import FORMAT, changes, fingerprint, recipe_of, setting_changes
from bmtool.text.report import hint
from bmtool.text.sources import is_small
from bmtool.text.task import TextTask

__all__ = ["changed", "changes", "content_hash", "fingerprint", "prepare"]
SAID = 5  # changes that are named when there are many


def prepare(data: TextData, task: TextTask, console: Console, limit: int | None = None) -> dict:
    """Write the prepared data set that `data` describes and return its manifest; `limit` reads so many lines of each file only.

    The same sources and settings give the same bytes. Data that is prepared already is left as it is; prepared data of other
    sources or settings is replaced, in one step, at the end. Raises DataError when a source is missing, nothing usable is found,
    or the directory holds something else; ResourceError when another process is preparing the same directory.
    """
    target = Path(data.prepared)
    cache = target.with_name(f".{target.name}.cache")
    sources, aside = find_sources(data, task)
    for name in aside.named_twice:
        console.say(f"{name} is named twice among the sources: read once")
    recipe = recipe_of(data, task, sources)
    place = target.resolve()
    busy = f"{target} is being prepared by another process: wait for it, or name another directory"
    with making(place, busy) as new:
        manifest = _already(target, recipe, console)
        if manifest is None:
            small = is_small(sum(source.bytes for source in sources))  # it is done before a worker has started
            with ENGINES[data.engine](data.workers or int(small)) as engine:
                run = Run(data, task, engine, console, cache, limit)
                manifest = _make(run, sources, new, {"recipe": recipe} | aside.as_dict())
            # Before the data are in their place: once they are, the same command, after a kill, finds nothing to do.
            run.forget_unused()
            put(new, place)
    if not data.cache:
        shutil.rmtree(cache, ignore_errors=True)
    return manifest


def changed(data: TextData, task: TextTask, *, sources: bool) -> list[str]:
    """What of the prepared data is another than `data` asks for; see `registry.PARTS`."""
    manifest: Any = described(Path(data.prepared))
    if manifest.get("format") == FORMAT:
        manifest = read_json(Path(data.prepared) / MANIFEST, Manifest, AGAIN)
    if not sources:
        return setting_changes(manifest, data)
    found = fingerprint(data, task)
    if found is None:
        raise DataError("data.sources: standard input cannot be read again")
    return changes(manifest, found)


def _already(target: Path, recipe: dict | None, console: Console) -> dict | None:
    """The manifest of prepared data that need not be made again; says why when it has to be."""
    if not (target / "manifest.json").is_file():
        if target.exists() and any(target.iterdir()):
            raise DataError(
                f"data.prepared: {target} exists and holds something else than prepared data: name another directory"
            )
        return None
    if not _is_ours(target, console) or not is_whole(target, content_hash, console.say):
        return None
    manifest = read_json(target / MANIFEST, Manifest, AGAIN)
    different = changes(manifest, recipe)
    if different:
        more = f"; and {len(different) - SAID} more" if len(different) > SAID else ""
        console.say(f"{target} is made again: {'; '.join(different[:SAID])}{more}")
        return None
    console.say(f"{target} is already prepared from these sources and settings: nothing to do")
    return manifest


def _is_ours(target: Path, console: Console) -> bool:
    """Whether this version reads the text that lies there; else it is said that it is made again. DataError for data of another kind."""
    try:
        said = described(target)
    except DataError as error:
        console.say(f"{error}; this is done now")
        return False
    if "task" not in said:
        raise DataError(f"data.prepared: {target} holds prepared data that are no text: name another directory")
    if said.get("format") != FORMAT:
        console.say(f"{target} was prepared by another version: it is made again")
    return said.get("format") == FORMAT


def _make(run: Run, sources: list[Source], new: Path, known: dict) -> dict:
    """All passes, which fill the directory `new`; the manifest."""
    started = time.monotonic()
    pieces = clean_pass(run, sources)
    repeats = repeats_pass(run, pieces)
    chosen = choose_pass(run, pieces, repeats.dropped)
    if not any(facts(directory)["train"] for directory in chosen):
        raise _nothing(sources)
    learned = learn_pass(run, pieces, chosen)
    encoded = encode_pass(run, pieces, chosen, repeats.conflicting, learned)
    if not any(facts(part)["examples"]["train"] for part in encoded):
        raise _nothing(sources)
    manifest = assemble(new, run.task, sources, encoded, learned)
    manifest |= known | {"seconds": round(time.monotonic() - started, 3)}
    write_json(new / "manifest.json", manifest)
    return manifest


def _nothing(sources: list[Source]) -> DataError:
    why = sum((source.tally.dropped for source in sources), Tally().dropped).most_common()
    read = sum(source.tally.read for source in sources)
    said = ", ".join(f"{count} x {reason}{hint(reason)}" for reason, count in why) or f"{read:,} lines"
    names = few([source.name for source in sources], 5)
    return DataError(f"nothing to train on: no usable sentence in {names} ({said})")
