"""`init --data hf:NAME`: a data set of the Hugging Face hub into a plain folder, by the hub's own library.

Nothing else of bmtool's fetches data. The revision is settled first and kept in `download.json`: what was interrupted goes on with
the same files, and what is there is not asked for again. Every file is compared with the hash that the hub has of it.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from typing_extensions import NotRequired, TypedDict

from bmtool.base.console import Console, answer
from bmtool.base.files import read_json, sha256, write_json
from bmtool.base.needs import needs
from bmtool.base.units import few, short
from bmtool.commands import refusals
from bmtool.errors import ConfigError, DataError, ResourceError
from bmtool.sources import hub
from bmtool.sources.described import config_lines

RECORD = "download.json"
LEFT = (".py", ".gitattributes", ".gitignore")  # a program that builds a set is not run, so not fetched
CONVERTED = "refs/convert/parquet"  # where the hub keeps what its own machines made of sets that are programs
_SHOWN = 5
_BLOCK = 1 << 20
_NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")


class File(TypedDict):
    """What the hub says of a file: bytes, and the sha256 of what is large or the git hash of what is not."""

    size: int
    sha256: NotRequired[str]
    git: NotRequired[str]


class Record(TypedDict):
    """What `download.json` holds; `revision` is a commit."""

    name: str
    revision: str
    complete: bool
    files: dict[str, File]


def download(name: str, directory: str | Path | None = None) -> Path:
    """Fetch the data set `hf:NAME` or `hf:NAME@REVISION` into a folder (default: data/ and the last part of the name).

    Prints the lines of a configuration that read it. ConfigError for a name that the hub does not have, ResourceError when the network or
    the disk does not serve, DataError when what came is not what the hub says it is, or holds nothing that is read.
    """
    wanted, revision = _parsed(name)
    folder = Path(directory or Path("data") / wanted.rpartition("/")[2])
    console = Console()
    refusals.require_folder(folder, "DIR")
    record = _begun(folder, wanted, revision)
    if record is None or not record["complete"]:
        _fetch(folder, record or _settled(folder, wanted, revision), console)
    else:
        _require_whole(folder, record)
        console.say(f"{folder} holds {wanted} at {record['revision'][:12]} already: nothing to do")
    for line in config_lines(folder):
        answer(line)
    return folder


def _parsed(name: str) -> tuple[str, str | None]:
    """(name, revision) of `hf:NAME@REVISION`."""
    bare, _, revision = (hub.name_of(name) or name).partition("@")
    if not _NAME.fullmatch(bare):
        raise ConfigError(
            f"--data: {name} is no name of a data set: write it as hf:OWNER/NAME, or hf:OWNER/NAME@REVISION"
        )
    return bare, revision or None


def _begun(folder: Path, name: str, revision: str | None) -> Record | None:
    """What a folder says of itself. ConfigError when it holds something else."""
    if not (folder / RECORD).is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise ConfigError(f"DIR: {folder} holds something else: name another folder")
        return None
    record = read_json(folder / RECORD, Record, "delete the folder, and download again")
    if record["name"] != name or revision not in (None, record["revision"]):
        held = f"{record['name']} at {record['revision'][:12]}"
        raise ConfigError(f"DIR: {folder} holds {held}: name another folder, or delete it")
    return record


# --- the hub ---


def _api() -> Any:
    """The library, told to tell nobody and to draw nothing."""
    with needs("huggingface_hub", "--data hf:NAME takes the hub's own library"):
        from huggingface_hub import HfApi, constants
        from huggingface_hub.utils import disable_progress_bars
    constants.HF_HUB_DISABLE_TELEMETRY = True
    disable_progress_bars()
    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


@contextmanager
def _reaching(name: str) -> Iterator[None]:
    """Around what asks the hub: its errors in one line each."""
    from huggingface_hub import errors

    # the base of all that the library's own way of asking raises, whichever that is
    asking: Any = errors.HfHubHTTPError.__bases__[0]
    try:
        yield
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"{name} is for those who agreed to its terms: do so on its page, then `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ConfigError(
            f"the hub has no data set {name}, or it is private: look at the name, or `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConfigError(f"{name} has no such revision: leave @REVISION out for the newest") from error
    except (OSError, asking, errors.EntryNotFoundError) as error:
        said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ResourceError(
            f"{name} could not be fetched: {said[:200]}; the same command goes on from there"
        ) from error


def _settled(folder: Path, name: str, revision: str | None) -> Record:
    """The commit and the files to fetch, kept in the folder. DataError when none of them is data."""
    api = _api()
    with _reaching(name):
        found = api.dataset_info(name, revision=revision, files_metadata=True)
    files = {one.rfilename: _described(one) for one in found.siblings or [] if not one.rfilename.endswith(LEFT)}
    for path in files:
        _require_inside(name, path)
    if all(path.startswith(".") or path.endswith(".md") for path in files):
        raise DataError(f"{name} holds no data but a program that makes it: try hf:{name}@{CONVERTED}")
    _require_room(folder, files)
    record: Record = {"name": name, "revision": found.sha, "complete": False, "files": files}
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RECORD, record)
    return record


def _described(sibling: Any) -> File:
    file: File = {"size": sibling.size or 0}
    if sibling.lfs is not None:
        file["sha256"] = sibling.lfs["sha256"] if isinstance(sibling.lfs, dict) else sibling.lfs.sha256
    elif sibling.blob_id:
        file["git"] = sibling.blob_id
    return file


def _require_inside(name: str, path: str) -> None:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or path == RECORD or "\\" in path:
        raise DataError(
            f"{name} has a file called {path!r}, which does not lie in a folder of its own: it is not fetched"
        )


def _require_room(folder: Path, files: dict[str, File]) -> None:
    size = sum(file["size"] for file in files.values())
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if (free := shutil.disk_usage(there).free) < size:
        raise ResourceError(
            f"DIR: {folder}: {short(size)}B are to be fetched, and the disk has room for {short(free)}B"
        )


def _fetch(folder: Path, record: Record, console: Console) -> None:
    """All files that are not there yet; those that came before an interruption stay."""
    api, name, files = _api(), record["name"], record["files"]
    left = [path for path, file in files.items() if not _is_whole(folder / path, file)]
    size = sum(files[path]["size"] for path in left)
    console.say(f"{name} at {record['revision'][:12]}: {len(left):,} of {len(files):,} files to fetch, {short(size)}B")
    for number, path in enumerate(left, start=1):
        with _reaching(name):
            api.hf_hub_download(name, path, repo_type="dataset", revision=record["revision"], local_dir=folder)
        console.say(f"{number:,} of {len(left):,}: {path} ({short(files[path]['size'])}B)")
    _require_whole(folder, record)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    write_json(folder / RECORD, {**record, "complete": True})
    console.say(f"{folder} holds {name} at {record['revision']}, as {RECORD} there says")


# --- is it what the hub has? ---


def _require_whole(folder: Path, record: Record) -> None:
    if wrong := [path for path, file in record["files"].items() if not _is_whole(folder / path, file)]:
        write_json(folder / RECORD, {**record, "complete": False})
        raise DataError(
            f"{folder}: {few(wrong, _SHOWN)} is not what the hub has of {record['name']}: delete it and run the same command again"
        )


def _is_whole(path: Path, file: File) -> bool:
    if not path.is_file() or path.stat().st_size != file["size"]:
        return False
    if "sha256" in file:
        return sha256(path) == file["sha256"]
    return "git" not in file or _git_hash(path) == file["git"]


def _git_hash(path: Path) -> str:
    """As git names a file's content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
