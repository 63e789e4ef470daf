"""A run directory: everything one training made, in a layout that stays readable (see `record`)."""

import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import bmtool
from bmtool.base import console
from bmtool.base.files import (
    TRAIN_AGAIN,
    lock,
    noted,
    read_bytes,
    sha256,
    sweep,
    write_bytes,
    write_json,
    write_sums,
    write_text,
)  # fmt: skip
from bmtool.config import load, resuming
from bmtool.config.schema import BaseConfig
from bmtool.engine import upgrades
from bmtool.engine.checkpoint import Checkpoints
from bmtool.engine.record import FAILED, Record, data_hash
from bmtool.errors import ConfigError, Interrupted


class RunDir(Record):
    """A run directory that is written, and whose weights are used."""

    def require_assets(self) -> None:
        """DataError when a file in the assets is not what the training put there."""
        for name in noted(self.assets):
            read_bytes(self.assets / name, TRAIN_AGAIN)

    def checkpoints(self, warn: Callable[[str], None]) -> Checkpoints:
        return Checkpoints(self.path, warn, self._renamed())

    def began_with(self, prepared: str | Path) -> bool:
        """Whether a run is here that was begun with these prepared data, as they are."""
        is_prepared = (Path(prepared) / "manifest.json").is_file()
        return is_prepared and self.exists and self.info()["data_hash"] == data_hash(Path(prepared))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one training, rid of what killed processes left half written; ResourceError when another has it."""
        busy = f"{self.path} is in use by another training: wait for it, or choose another with --set run=DIR"
        with lock(self.path, busy):
            checkpoints = self.path / "checkpoints"
            for folder in (self.path, checkpoints, self.assets, self.plots, self.evaluations, self.exports):
                sweep(folder)
            with self._failures_noted():
                yield

    @contextmanager
    def _failures_noted(self) -> Iterator[None]:
        """What ends a sitting stands last in its log: not a refusal, which does nothing, nor a signal, after which it goes on."""
        try:
            yield
        except (ConfigError, Interrupted):
            raise
        except Exception as error:
            why = str(error).partition("\n")[0] or type(error).__name__
            with suppress(OSError):
                console.record(self.log, FAILED + console.visible(why))
            raise

    def begin(self, config: BaseConfig, facts: dict, assets: Callable[[], dict[str, str | bytes]]) -> None:
        """Describe a new run, or check that an existing one is the same; ConfigError lists the keys that differ.

        `facts` are kept from here on: a run that goes on has those that it began with, and is given those that it did not know.
        run.json comes last: a directory without it is no run yet, and is begun anew.
        """
        if self.exists:
            self.require_same(config, facts)
            info = self.info()
            unsaid = {key: value for key, value in facts.items() if info.get(key) is None}
            described = info | unsaid | {"prepared": facts["prepared"]}  # data may have moved meanwhile
        else:
            self.keep(assets())
            described = {"task": config.task} | facts | environment() | {"ended": None}
        self._describe(described, load.dump(config))

    def _describe(self, described: dict[str, Any], text: str) -> None:
        """Write config.yaml and run.json; a kill between the two leaves a configuration that run.json knows."""
        path, now = self.path / "config.yaml", hashlib.sha256(text.encode()).hexdigest()
        described = described | {"format": upgrades.FORMAT, "config": [now]}
        if self.exists and (before := sha256(path)) != now:
            write_json(self.path / "run.json", described | {"config": [now, before]})
        write_text(path, text)
        write_json(self.path / "run.json", described)

    def change(self, config: BaseConfig, step: int, resume_from: str | None = None) -> list[str]:
        """Write down what a run goes on with from a step on, before `begin` does; the lines `key: old -> new`."""
        if not self.exists:
            return []
        info, planned, notes = self.info(), self.config(), dict[str, Any]()
        told = resuming.changed(planned, config).told
        if told:
            before, change = info.get("changes") or [], {"step": step, "changed": told}
            # A kill may have come between this and `begin`.
            notes["changes"] = [*before, *([change] if before[-1:] != [change] else [])]
        if resuming.ends_elsewhere(planned, config) and (info["ended"] or {}).get("step", 0) < config.train.steps:
            notes["ended"] = None
        if resume_from is not None:
            # What trackers were told of later steps is not what comes now.
            notes |= {"resume_from": resume_from, "tracking": {}}
        if notes:
            self.note(**notes)
        return told

    def upgrade(self) -> str:
        """What to say before an older run goes on, from when on it is one of today; "" when there is none."""
        before = self.info()["format"] if self.exists else upgrades.FORMAT
        if before == upgrades.FORMAT:
            return ""
        return f"{self.path} has run format {before}: it goes on in format {upgrades.FORMAT}, which earlier versions do not read"

    def go_on(self) -> None:
        """Forget an end that was reached before: what is trained or fitted from here on has its own, though it be at the same step."""
        if self.info()["ended"] is not None:
            self.note(ended=None)

    def end(self, reached: dict[str, int]) -> None:
        """Write down, last of all, what the end was reached with."""
        self.note(ended=reached)

    def has_ended(self, reached: dict[str, int]) -> bool:
        """Whether all was done that comes after such a last checkpoint."""
        return self.info()["ended"] == reached

    def keep(self, files: dict[str, str | bytes]) -> None:
        """Write files into the assets."""
        for name, contents in files.items():
            write_bytes(self.assets / name, contents.encode() if isinstance(contents, str) else contents)
        if files:
            write_sums(self.assets, files)

    def note(self, **facts: Any) -> None:
        """Add to what run.json says."""
        write_json(self.path / "run.json", self.info() | facts)

    def require_same(self, config: BaseConfig, facts: dict | None = None) -> None:
        """ConfigError that lists what differs when another run than that of `config` (and of `facts`, once they are known) is here."""
        if not self.exists:
            return
        info = RunDir.open(self.path).info()
        if info["task"] != config.task:
            raise ConfigError(
                f"{self.path} is a run of task {info['task']!r}, not {config.task!r}: choose another with --set run=DIR"
            )
        changed = resuming.changed(self.config(), config).refused
        if facts is not None:
            if info["data_hash"] != facts["data_hash"]:
                changed.append(f"data_hash: {info['data_hash']!r} -> {facts['data_hash']!r}")
            if not _same_place(info["parent"], facts["parent"]):
                changed.append(f"parent: {info['parent']!r} -> {facts['parent']!r}")
        if changed:
            listing = "\n".join(f"  {line}" for line in changed)
            raise ConfigError(
                f"{self.path} holds a run with another configuration:\n{listing}\nchoose another directory with --set run=DIR, or delete it"
            )

    def event(self, **values: Any) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(values) + "\n")

    def forget_after(self, step: int, warn: Callable[[str], None]) -> None:
        """Drop events of steps that will be computed again, so that a resumed run's metrics read like one run's."""
        kept = [event for event in self.events(warn) if event["step"] <= step]
        write_text(self.metrics, "".join(json.dumps(event) + "\n" for event in kept))


def _same_place(one: str | None, other: str | None) -> bool:
    """Whether two names, each of a directory or none, name the same: a path may be written in full or from here."""
    return one == other or (one is not None and other is not None and os.path.realpath(one) == os.path.realpath(other))


def environment() -> dict:
    """What a run was made with."""
    import torch

    return {
        "command": sys.argv,
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"bmtool": bmtool.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "platform": platform.platform(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=True, cwd=os.getcwd()
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
