"""`prepare-data`: raw sources to what training reads."""

import hashlib
import json
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from bmtool import registry
from bmtool.base.console import Console, answer
from bmtool.commands import following, refusals
from bmtool.commands.checking import checked
from bmtool.config.load import load
from bmtool.config.schema import BaseConfig
from bmtool.data.prepared import MANIFEST, described
from bmtool.engine import distributed
from bmtool.engine.run_dir import RunDir
from bmtool.errors import DataError
from bmtool.images.labels import require_classes
from bmtool.measure.report import too_few

DRY_LINES = 10_000


def _report(manifest: dict) -> ModuleType:
    """What prints and draws a manifest of this kind."""
    return import_module(f"bmtool.{manifest.get('kind', 'text')}.report")


def prepare_data(config: str | Path, overrides: list[str] | None = None) -> dict:
    """Prepare the data of `config`, print what was kept and dropped and why, and return the manifest."""
    loaded = load(config, overrides)
    manifest = prepare(loaded)
    Console().say(f"next: {following.training(config, loaded, overrides or [])}")
    return manifest


def prepare(loaded: BaseConfig) -> dict:
    """`prepare_data` of a configuration that is loaded."""
    refusals.require_preparing(loaded)
    console = Console()
    try:
        manifest = registry.find(loaded.task).load("prepare")(loaded, console)
    except KeyboardInterrupt:
        console.say("interrupted: what is finished is kept; the same command goes on from there")
        raise
    target = Path(loaded.data.prepared)
    report = _report(manifest)
    page = report.write(target, manifest)
    for line in report.lines(manifest):
        console.say(line)
    splits = ", ".join(f"{split} {counts['examples']:,}" for split, counts in manifest["splits"].items())
    facts = {key: value for key, value in manifest.get("vocabulary", {}).items() if isinstance(value, int)}
    vocabulary = "; vocabulary " + ", ".join(f"{value:,} {key}" for key, value in facts.items()) if facts else ""
    console.say(f"prepared {target}: {splits} examples{vocabulary}; data hash {manifest['data_hash'][:12]}")
    tested = manifest["splits"].get("test", {}).get("examples", 0)
    if tested and (few := too_few(tested)):
        console.say(f"note: the test split has {few}")
    console.say(f"report {page}")
    _require_classes(loaded, manifest)
    return manifest


def _require_classes(config: BaseConfig, manifest: dict) -> None:
    """ConfigError for images of one class, or none, where classes are to be told apart."""
    entry = registry.find(config.task)
    if (entry.takes, entry.gives) == ("image", "labels"):
        require_classes(manifest["labels"], config.data.source)


def make_current(config: BaseConfig, run: RunDir) -> None:
    """Before training: prepare what is not prepared yet, or was from other files or with other settings, and say what changed.

    A run that was begun goes on with the data it began with. Of several processes each would prepare, so they must find it done:
    DataError with the command to run.
    """
    console = Console(speaks=distributed.rank() == 0)
    changed = _changed(config, console, goes_on=run.began_with(config.data.prepared))
    if changed == []:
        if distributed.rank() == 0:
            checked(Path(config.data.prepared), registry.find(config.task), console.say)
        return
    if distributed.world_size() > 1:
        why = f"is not what the configuration asks for ({', '.join(changed)})" if changed else "is not prepared yet"
        raise DataError(f"{config.data.prepared} {why}: run `bmtool prepare-data CONFIG` first, with the same --set")
    if changed:
        refusals.require_folder(config.data.prepared, f"{', '.join(changed)}: data.prepared")
        console.say(f"{', '.join(changed)}: preparing again, in the place of what {config.data.prepared} held")
    prepare(config)


def _changed(config: BaseConfig, console: Console, *, goes_on: bool) -> list[str] | None:
    """A line for each thing for which data must be made again; None when there are none yet.

    What is used although it has changed, or cannot be compared, is said. DataError when it must be made again and cannot be.
    """
    entry, prepared = registry.find(config.task), Path(config.data.prepared)
    if not (prepared / "manifest.json").is_file():
        return None
    if not entry.has("changed"):
        return []
    changed = entry.load("changed")
    try:
        found: list[str] = changed(config)
    except DataError as gone:
        # The configuration of a run that goes on has been compared already.
        if not goes_on and (differing := changed(config, sources=False)):
            why = f"{prepared} was prepared otherwise ({', '.join(differing)}) and cannot be prepared again"
            raise DataError(f"{why}: {gone}") from gone
        console.say(f"{gone}; {prepared}, which was prepared with the same settings, is used")
        return []
    if found and goes_on:
        told = f"{', '.join(found)}: {config.run} goes on with the data that it began with"
        console.say(f"{told}; for a run on the new data: --set run=DIR")
        return []
    return found


def fingerprint(prepared: Path) -> str:
    """sha256, in hex, of what prepared data depend on: settings and sources."""
    manifest = described(prepared)
    depends = {key: manifest.get(key) for key in ("format", "recipe", "fingerprint")}
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()


def dry_run(config: str | Path, overrides: list[str] | None = None) -> None:
    """Print what would be read and kept of the first DRY_LINES lines of every file; write nothing."""
    loaded = load(config, overrides)
    refusals.require_packages(loaded, of_data=True)
    with tempfile.TemporaryDirectory() as folder:
        data = loaded.data.model_copy(update={"prepared": str(Path(folder) / "prepared")})
        trial = loaded.model_copy(update={"data": data})
        manifest = registry.find(loaded.task).load("prepare")(trial, Console(), limit=DRY_LINES)
    unit = {"images": "images", "tables": "rows of each file"}.get(manifest.get("kind"), "lines of each file")
    answer(f"the first {DRY_LINES:,} {unit}; nothing was written to {loaded.data.prepared}")
    for line in _report(manifest).lines(manifest):
        answer(line)
    Console().say(f"next: {following.preparing(config, overrides or [])}")


def report_only(directory: str | Path) -> None:
    """Print the report of prepared data again, and draw its pictures anew."""
    path = Path(directory)
    if not (path / MANIFEST).is_file():
        raise DataError(f"{path} holds no prepared data (no manifest.json): run `bmtool prepare-data CONFIG` first")
    manifest: Any = described(path)
    print(_report(manifest).write(path, manifest).read_text("utf-8"), end="")
