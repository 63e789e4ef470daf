"""Fixtures: prepared data and trained runs of the tiny configs, made once a session. Sockets open to loopback only."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import hypothesis
import pytest
import torch
from cases import ROOT, Case, find
from typer.testing import CliRunner

from bmtool import cli
from bmtool.base.files import write_text
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.engine import plots

CONFIGS = ROOT / "configs"
SAMPLE = ROOT / "data" / "pinyin2hanzi"
DIGITS = CONFIGS / "image-classification" / "digits.yaml"
GAN = CONFIGS / "gan" / "digits.yaml"


SLOW_SECONDS = 600  # of one test; of the others see pyproject.toml

# How long an example takes says how busy the machine is. (Under CI hypothesis takes a profile of its own, which has no deadline either.)
if not os.environ.get("CI"):
    hypothesis.settings.register_profile("desk", deadline=None)
    hypothesis.settings.load_profile("desk")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


DRAWN_CURVE = plots._curve


def curve_as_text(figure: str, run: plots.Drawn, path: Path) -> Path:
    write_text(path, repr((run.curves[figure], run.best)))
    return path


@pytest.fixture(scope="session", autouse=True)
def _curves_as_text():
    """The curves of a run are written as what they show: drawing them takes longer than the few steps of a tiny one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "_curve", curve_as_text)
        yield


@pytest.fixture
def drawn(monkeypatch):
    """Curves are pictures, as they are for users."""
    monkeypatch.setattr(plots, "_curve", DRAWN_CURVE)


@pytest.fixture(autouse=True)
def _from_the_root(monkeypatch):
    """Configs name their data relative to the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    """Anything but loopback is refused."""
    connect = socket.socket.connect

    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(scope="session", autouse=True)
def _interruptible():
    """What a script starts in its background ignores SIGINT, and so would every process that a test starts and interrupts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bmtool")


def config_path(case: str | Case) -> str:
    return str(find(case).path)


@pytest.fixture(scope="session")
def settings(folder):
    """`settings(case, run, more...)`: what is set for a case: its data, which cases share as their configs do, and its run."""

    def make(case: str | Case, run: str | Path = "run", *more: str) -> list[str]:
        shared = folder / Path(find(case).config.data.prepared).name
        return [f"data.prepared={shared}", f"run={folder / str(run)}", *more]

    return make


@pytest.fixture(scope="session")
def prepared(settings):
    """`prepared(case)`: where the data of a case lie, prepared once."""

    def make(case: str | Case) -> Path:
        place = Path(settings(case)[0].partition("=")[2])
        if not place.exists():
            prepare_data(config_path(case), settings(case))
        return place

    return make


@pytest.fixture(scope="session")
def trained(prepared, settings):
    """`trained(case)`: a run of a few steps, made once."""

    @cache
    def make(case: Case) -> Path:
        prepared(case)
        return pretrain(config_path(case), settings(case, f"trained-{case.name}"))

    return lambda case: make(find(case))


@pytest.fixture(scope="session")
def moved(trained, folder):
    """`moved(case)`: that run under another name and elsewhere."""

    @cache
    def make(case: Case) -> Path:
        return shutil.copytree(trained(case), folder / "elsewhere" / f"moved-{case.name}")

    return lambda case: make(find(case))


@pytest.fixture(scope="session")
def exported(moved, prepared, folder):
    """`exported(case)`: the float32 ONNX file of a run that was moved, made in another working directory when its data had gone."""

    @cache
    def make(case: Case) -> Path:
        run = moved(case)
        with gone(prepared(case)), inside(folder):
            return export_onnx(run)

    return lambda case: make(find(case))


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """Settings that make DIGITS and GAN small, on data prepared once."""
    folder = tmp_path_factory.mktemp("digits")
    return [
        f"data.prepared={folder / 'data'}", "model={kind: mlp, widths: [8]}", "train.threads=1", "train.steps=8", "train.batch_size=64",
        "train.validate_every=2", "train.save_every=4", "train.log_every=3", "train.ema=0", "schedule.warmup_steps=0",
    ]  # fmt: skip


@pytest.fixture(scope="session")
def classifier(digits):
    return [*digits, "augment.crop=0", "augment.rotation=0"]


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """Without a file or directory, for the time being."""
    hidden = path.rename(path.with_name(f"{path.name}-gone"))
    try:
        yield
    finally:
        hidden.rename(path)


@contextmanager
def inside(path: Path) -> Iterator[None]:
    """In another working directory, for the time being."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.fixture
def invoke():
    """`invoke(arguments...)` runs the command line in this process: exit_code, stdout, stderr."""

    def run(*arguments: object, stdin: str | bytes | None = None):
        result = CliRunner().invoke(cli.app, [str(a) for a in arguments], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def bmtool(*arguments: object, **options) -> subprocess.CompletedProcess:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "bmtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, **options)


def torchrun(processes: int, *arguments: object) -> subprocess.CompletedProcess:
    """A script, or `-m` and a module, in so many processes of one machine."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run([*start, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT)


def sets(values: list[str]) -> list[str]:
    """Settings as arguments of a command."""
    return [part for value in values for part in ("--set", value)]
