"""`init ci`: a workflow and a Makefile that prepare, train, gate and export a configuration of the user's own."""

import math
import re
from importlib import resources
from pathlib import Path

import bmtool
from bmtool import registry
from bmtool.base.console import Console
from bmtool.base.files import read_json, write_text
from bmtool.base.packages import installed
from bmtool.commands import following, refusals
from bmtool.config.load import load
from bmtool.config.schema import BaseConfig
from bmtool.config.shipped import task_of
from bmtool.errors import ConfigError
from bmtool.measure import gate
from bmtool.measure.meter import is_lower_better
from bmtool.measure.report import Report

MAKEFILE, WORKFLOW = Path("Makefile"), Path(".github/workflows/bmtool.yml")
# A bound that any model holds.
LARGE = 1e6
# A bound is given to so many parts of one.
DIGITS = 10**4
# What the workflow installs in the version that is here.
PINNED = ("torch", "torchvision")
# Of a path that stands in a Makefile as it is.
_PLAIN = re.compile(r"[\w./+-]+")


def init(config: str | None = None, *, require: list[str] | None = None) -> None:
    """Write both files for a configuration, the only one in this folder unless one is named, and say what is to be done with them.

    The gate are the bounds of `require`; without any, what its run held when it was last evaluated. ConfigError where a file is there.
    """
    path = config or _only()
    loaded = load(path)
    if not Path(path).resolve().is_relative_to(Path.cwd()):
        raise ConfigError(f"{path} lies outside this folder, which is what a workflow checks out: copy it here")
    bounds = [str(gate.parse(bound)) for bound in require or []]
    names = list(registry.find(loaded.task).load("evaluation").names)
    gate.check_names([gate.parse(bound) for bound in bounds], names)
    refusals.require_new([MAKEFILE, WORKFLOW], otherwise="")
    measured = None if bounds else _held(loaded, names[0])
    words = _words(path, loaded, bounds or [measured or _any(names[0])])
    for place in (MAKEFILE, WORKFLOW):
        write_text(place, _filled(place.name, words))
    _say(words, "" if bounds else _remark(loaded, measured, names[0]))


def _only() -> str:
    """The configuration in this folder. ConfigError when there is none, or several."""
    found = [
        str(path)
        for path in sorted(Path().glob("*.y*ml"))
        if task_of(path.read_text("utf-8", "replace")) in registry.TASKS
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"several configs are here: name one, `bmtool init ci {found[0]}` (there are {', '.join(found)})"
        )
    raise ConfigError("no config is here: `bmtool init TASK` writes one, then `bmtool init ci FILE`")


# --- the gate ---


def _held(config: BaseConfig, figure: str) -> str | None:
    """The bound that the run of a configuration held, by the worse end of the interval; None where it was not evaluated."""
    report = Path(config.run) / "eval" / "test.json"
    if not report.is_file():
        return None
    low, high = _interval(report, figure, f"`bmtool evaluate {config.run}` writes it again")
    if low is None or high is None:
        return None
    if is_lower_better(figure):
        return f"{figure}<={math.ceil(high * DIGITS) / DIGITS:g}"
    return f"{figure}>={math.floor(low * DIGITS) / DIGITS:g}"


def _interval(report: Path, figure: str, again: str) -> tuple[float | None, float | None]:
    found = read_json(report, Report, again)["metrics"].get(figure, {})
    return found.get("low"), found.get("high")


def _any(figure: str) -> str:
    return f"{figure}<={LARGE:g}" if is_lower_better(figure) else f"{figure}>=0"


def _remark(config: BaseConfig, measured: str | None, figure: str) -> str:
    if measured is not None:
        return f"the gate, {measured}, is what {config.run} held when it was last evaluated; --require says another"
    return f"the gate, {_any(figure)}, holds for any model, as {config.run} is not evaluated yet: raise it in {MAKEFILE}, or give --require"


# --- the files ---


def _words(path: str, config: BaseConfig, bounds: list[str]) -> dict[str, str]:
    """What stands for the names in the templates. ConfigError for a path that a Makefile would read otherwise."""
    for place in (path, config.run):
        if not _PLAIN.fullmatch(place):
            raise ConfigError(f"{place!r} cannot stand in a Makefile: letters, digits and ./+-_ can, so rename it")
    packages = [name for package in refusals.packages(config) for name in package.packages.split()]
    return {
        "CONFIG": path, "RUN": config.run, "REQUIRE": " ".join(f"--require '{bound}'" for bound in bounds),
        "TRAIN": following.training(path, config).removeprefix("bmtool "), "WHEEL": f"bmtool-{bmtool.__version__}-py3-none-any.whl",
        "PACKAGES": "".join(f" {name}" for name in dict.fromkeys(packages)),
        "PINNED": " ".join(f"{name}=={found}" for name in PINNED if (found := _installed(name))),
    }  # fmt: skip


def _installed(name: str) -> str | None:
    """The version that is here, whichever build of it."""
    found = installed(name)
    return found and found.partition("+")[0]


def _filled(name: str, words: dict[str, str]) -> str:
    text = resources.files("bmtool").joinpath("templates").joinpath(name).read_text("utf-8")
    for word, meant in words.items():
        text = text.replace(f"@{word}@", meant)
    return text


def _say(words: dict[str, str], remark: str) -> None:
    console = Console()
    console.say(f"wrote {MAKEFILE} and {WORKFLOW} for {words['CONFIG']}")
    if remark:
        console.say(remark)
    console.say(
        f"next: `make ci` does here what the workflow does; for the workflow, commit wheels/{words['WHEEL']}, which "
        "`python -m pip wheel --no-deps -w wheels PATH_OF_A_CLONE` writes, and your data"
    )
