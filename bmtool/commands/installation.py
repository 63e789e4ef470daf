"""What `doctor` says of what is installed: versions, optional packages, variables of the environment, the model in the box."""

import os
import platform
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import bmtool
from bmtool.base import packages
from bmtool.base.cores import BRIEFLY
from bmtool.base.files import damaged, file_checksum, noted
from bmtool.base.packages import Requirement
from bmtool.base.suggest import suggest
from bmtool.commands.diagnosis import Finding, broken, warning
from bmtool.commands.loading import DEFAULT, PRETRAINED, load_model
from bmtool.errors import BmtoolError, ConfigError, DataError

WHOLE = "in the clone of it: pip install ."
# Extras of those who work on bmtool itself.
OURS = {"test", "benchmark"}
# Variables that change what bmtool does; the value of a secret is nobody's business.
SECRET = "BMTOOL_API_KEY"
VARIABLES = {
    "BMTOOL_MODEL": "the model of translate", SECRET: "the key that serve asks for", "OMP_NUM_THREADS": "threads at most",
    "OMP_WAIT_POLICY": "how threads wait", "GOMP_SPINCOUNT": "how threads wait", "KMP_BLOCKTIME": "how threads wait",
    "CUDA_VISIBLE_DEVICES": "the GPUs that are seen", "RANK": "set by torchrun", "WORLD_SIZE": "set by torchrun",
    "LOCAL_RANK": "set by torchrun", "LOCAL_WORLD_SIZE": "set by torchrun", "RAY_ADDRESS": "the cluster of data.engine: ray",
    "MPLCONFIGDIR": "where matplotlib keeps its caches", "TMPDIR": "where temporary files go",
    "PYTHONPATH": "imported before what is installed",
}  # fmt: skip
ASKED, ANSWER = "ni hao", "你好"


def versions(known: list[Requirement]) -> Iterator[Finding]:
    """Of bmtool, Python and all that is always needed; what does not fit is broken."""
    part = "versions"
    yield _own(part)
    yield Finding(part, "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    left_out = packages.of_training(known)
    missing = []
    for one in (one for one in known if not one.extra):
        version = packages.installed(one.name)
        if version is None and one.name in left_out:
            missing.append(one.name)
        else:
            yield _version(part, one, version)
    if missing:
        said = f"to answer only: translate, predict and serve work on exported models; without {', '.join(missing)}"
        yield Finding(part, "installed", said, WHOLE, "missing")


def _own(part: str) -> Finding:
    installed = packages.installed(packages.NAME)
    if installed is None:
        return warning(part, "bmtool", f"{bmtool.__version__}, not installed: what it needs is not known", WHOLE)
    if installed != bmtool.__version__:
        return warning(part, "bmtool", f"{bmtool.__version__}, but installed as {installed}", WHOLE)
    return Finding(part, "bmtool", bmtool.__version__)


def _version(part: str, one: Requirement, version: str | None) -> Finding:
    install = f"pip install '{one.written}'"
    if version is None:
        return broken(part, one.name, "not installed", install, error=ConfigError)
    if packages.unfit(one.written, version):
        return broken(part, one.name, f"{version}, but {one.written} is needed", install, error=ConfigError)
    return Finding(part, one.name, version)


def torchvision(requires: Iterable[str], torch: str | None) -> Iterator[Finding]:
    """Whether torchvision, which `requires` these, is one for the torch that is here."""
    for line in requires:
        if torch is not None and line.startswith("torch") and packages.unfit(line, torch):
            wanted = line.replace(" ", "").strip("()")
            do = "pip install torch torchvision -c constraints.txt, in its clone"
            yield broken("versions", "torchvision", f"wants {wanted}, and torch is {torch}", do, error=ConfigError)


def extras(known: list[Requirement]) -> Iterator[Finding]:
    """Optional packages by what they are for: here, or how to get them."""
    names = dict.fromkeys(one.extra for one in known if one.extra not in {"", packages.TRAINING, *OURS})
    for extra in names:
        held = [one for one in known if one.extra == extra and one.name != packages.NAME]
        missing = [one.package for one in held if packages.installed(one.name) is None]
        found = [f"{one.name} {packages.installed(one.name)}" for one in held if one.package not in missing]
        if missing:
            said = f"not here: {', '.join(missing)}" + (f"; here: {', '.join(found)}" if found else "")
            yield Finding("optional", extra, said, f"pip install {' '.join(missing)}", "missing")
        else:
            yield Finding("optional", extra, ", ".join(found))


def environment() -> Iterator[Finding]:
    """Variables that are set and change what bmtool does; one that looks like ours and is not read is a warning."""
    part = "environment"
    for name, value in sorted(os.environ.items()):
        if name in VARIABLES and BRIEFLY.get(name) != value:
            yield Finding(part, name, f"{'(set)' if name == SECRET else value}: {VARIABLES[name]}")
        elif name.startswith("BMTOOL_") and name not in VARIABLES:
            ours = [one for one in VARIABLES if one.startswith("BMTOOL_")]
            yield warning(part, name, f"is read by nothing{suggest(name, ours)}", f"unset {name}")


def model_in_the_box(folder: Path = PRETRAINED / "pinyin2hanzi") -> Finding:
    """Every file against its checksum, then an answer."""
    part, again = "model", "install bmtool again"
    try:
        _require_whole(folder, again)
        began = time.perf_counter()
        loaded = load_model(folder / "model.onnx" if folder.parent != PRETRAINED else DEFAULT, lambda message: None)
        (answer,) = loaded.predictor.predict([loaded.predictor.read(ASKED)])
        taken = time.perf_counter() - began
    except BmtoolError as error:
        return broken(part, "in the box", str(error), again, error=type(error))
    except ImportError as error:
        return broken(part, "in the box", f"cannot be asked: {error}", WHOLE, error=ConfigError)
    if answer.text != ANSWER:
        return broken(part, "in the box", f"{ASKED!r} gives {answer.text!r}, not {ANSWER!r}", again, error=DataError)
    return Finding(part, "in the box", f"whole: {ASKED} -> {answer.text} in {taken:.1f} s, loading included")


def _require_whole(folder: Path, again: str) -> None:
    """DataError for a file that is not what was shipped."""
    for name, wanted in noted(folder).items():
        path = folder / name
        try:
            found = file_checksum(path)
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
        if found != wanted:
            raise damaged(str(path), "it is not what was shipped", again)
