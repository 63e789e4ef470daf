"""What needs no data to be refused, so that it is before anything is read, prepared or loaded."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bmtool import registry
from bmtool.base import memory
from bmtool.base.needs import Package, require
from bmtool.base.units import short
from bmtool.config.schema import BaseConfig, Section
from bmtool.errors import ConfigError, DataError, ResourceError, Untrainable
from bmtool.measure import gate, groups
from bmtool.sources import hub, parts

SPLITS = ("valid", "test", "train")

# Of a number that is learned, in float32: itself, its gradient, two moments of an optimizer.
BYTES_LEARNED = 16


def require_packages(config: BaseConfig, *, of_data: bool) -> None:
    """ConfigError for a package that the configuration needs and that is not installed; of preparing only with `of_data`."""
    for package in packages(config, of_data=of_data):
        require(package)


def packages(config: BaseConfig, *, of_data: bool = True) -> Iterator[Package]:
    """Those that the configuration needs, installed or not."""
    for section in _sections(config, leaving=() if of_data else (config.data,)):
        yield from section.packages()


def _sections(section: Section, leaving: tuple[Section, ...] = ()) -> Iterator[Section]:
    yield section
    for name in type(section).model_fields:
        if isinstance(held := getattr(section, name), Section) and held not in leaving:
            yield from _sections(held)


def require_memory(config: BaseConfig) -> None:
    """Untrainable for a model that cannot be trained in all the memory there is."""
    needed, there = BYTES_LEARNED * config.parameters, memory.available()
    if needed > there:
        raise Untrainable(
            f"model: about {short(config.parameters)} parameters take {short(needed)}B to train, and this machine has {short(there)}B: "
            "make it smaller"
        )


def require_folder(path: str | Path, what: str) -> None:
    """ResourceError when no folder can be made, or written to, at `path`."""
    place = Path(path)
    if place.exists() and not place.is_dir():
        raise ResourceError(f"{what}: {path} is a file: name a folder")
    _require_writable(place, what)


def require_file(path: str | Path, what: str) -> None:
    """ResourceError when no file can be written at `path`."""
    place = Path(path)
    if place.is_dir():
        raise ResourceError(f"{what}: {path} is a folder: name a file")
    _require_writable(place.parent, what)


def require_new(paths: Iterable[Path], *, otherwise: str = "name another file, or ") -> None:
    """ConfigError for files that are there already, ResourceError where none can be written. `otherwise` is there to be named."""
    paths = list(paths)
    if there := [str(path) for path in paths if os.path.lexists(path)]:
        are, they = ("are", "them") if len(there) > 1 else ("is", "it")
        raise ConfigError(
            f"{', '.join(there)} {are} there already and not written over: {otherwise}remove {they} first"
        )
    for path in paths:
        require_file(path, str(path))


def _require_writable(folder: Path, what: str) -> None:
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ResourceError(f"{what}: {there} is a file, so that nothing can be written under it: name another place")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ResourceError(f"{what}: {there} cannot be written to: name another place")


def require_exists(path: str | Path, what: str) -> None:
    """DataError when there is nothing at `path`."""
    if not Path(path).exists():
        raise DataError(f"{what}: no such file or folder: {path}{hub.hint(str(path))}")


def require_preparing(config: BaseConfig) -> None:
    """What preparing cannot do without: packages, and a place to write to."""
    require_packages(config, of_data=True)
    _require_place(config)


def _require_place(config: BaseConfig) -> None:
    """Prepared data are made beside their place, and then moved there."""
    place = Path(config.data.prepared)
    require_folder(place, "data.prepared")
    _require_writable(place.absolute().parent, "data.prepared")


def require_training(config: BaseConfig) -> None:
    """What a training cannot do without: packages, memory, places to write to. Data that are prepared already are only read."""
    is_prepared = (Path(config.data.prepared) / "manifest.json").is_file()
    require_packages(config, of_data=not is_prepared)
    require_memory(config)
    require_folder(config.run, "run")
    if not is_prepared:
        _require_place(config)
    if os.path.realpath(config.run) == os.path.realpath(config.data.prepared):
        raise ConfigError(f"run and data.prepared are the same folder, {config.run}: give each its own")


def require_measurable(split: str, data: str | None, unit: str | None) -> None:
    """ConfigError or DataError when the options of an evaluation name nothing that can be measured on."""
    if data is not None:
        try:
            hub.require_here(data)
        except ValueError as error:
            raise ConfigError(f"--data: {error}") from error
        if not parts.is_pattern(data):
            require_exists(data, "--data")
        return
    if split not in SPLITS:
        raise ConfigError(f"--split: expected valid or test, got {split!r}")
    if unit is not None:
        raise ConfigError("--unit goes with --data")


def require_known(model: str | Path, bounds: list[gate.Bound], by: Sequence[str] = ()) -> None:
    """ConfigError for a bound on a figure that models of a run's task do not have; an exported model is asked once it is open."""
    if bounds and (Path(model) / "run.json").is_file():
        from bmtool.engine.run_dir import RunDir

        entry = registry.find(RunDir(model).info()["task"])
        gate.check_names(bounds, groups.names(entry.load("evaluation").names, by))
