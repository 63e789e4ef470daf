"""What prepared data of every kit say of themselves."""

from collections.abc import Callable
from pathlib import Path

from bmtool.base.files import read_json
from bmtool.errors import ConfigError, DataError


def read_manifest(path: Path, is_readable: Callable[[dict], bool]) -> dict:
    """DataError that names the command to run when `path` is not prepared, or in a way that this version does not read."""
    if not (path / "manifest.json").is_file():
        raise DataError(f"{path} is not prepared yet: run `bmtool prepare-data CONFIG` first")
    manifest = read_json(path / "manifest.json")
    if not is_readable(manifest):
        raise DataError(f"{path} was prepared by another version or task: run `bmtool prepare-data CONFIG` again")
    return manifest


def page_title(name: str, manifest: dict) -> tuple[str, ...]:
    """How the page about prepared data begins."""
    return f"# {name}", "", f"Data hash `{manifest['data_hash'][:12]}`; everything in full in `manifest.json`.", ""


def differing(before: dict, now: dict) -> list[str]:
    """`data.key: old -> new` for every setting of now that was another when the data were prepared."""
    return [f"data.{key}: {before.get(key)} -> {new}" for key, new in now.items() if before.get(key) != new]


def require_same(prepared: str, found: list[str]) -> None:
    """ConfigError that names what was `found` to be differing, where anything was."""
    if found:
        raise ConfigError(
            f"{prepared} was prepared with other settings ({'; '.join(found)}): run `bmtool prepare-data` with these, "
            "or choose another data.prepared"
        )
