"""`init --data hf:NAME` against a hub of our own on loopback, which serves the few routes that the library asks."""

import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT
from sets import of_datasets, shard

from bmtool.base.files import read_json
from bmtool.commands.download import RECORD, Record, download
from bmtool.errors import ConfigError, DataError, ResourceError

COMMITS = ("a" * 40, "b" * 40)
NAME = "somebody/reviews"


class Hub(ThreadingHTTPServer):
    """Files by revision; `asked` are the paths of all requests, `breaks` how many bytes of a file come before the line goes dead."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), _Route)
        self.revisions = {"main": COMMITS[0], COMMITS[0]: COMMITS[0], "v2": COMMITS[1], COMMITS[1]: COMMITS[1]}
        self.files, self.asked, self.breaks, self.status = files, [], {}, 200
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that went away is nothing to print."""


class _Route(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        """Not printed."""

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append((path, self.headers))
        api, resolve = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/"
        if self.server.status != 200:
            self._send(self.server.status, b"busy", {}, with_body)
        elif path == api or path.startswith(f"{api}/revision/"):
            self._info(path.removeprefix(api).removeprefix("/revision/") or "main", with_body)
        elif path.startswith(f"{api}/tree/"):
            self._send(200, json.dumps(_tree(self.server.files)).encode(), {}, with_body)
        elif path.startswith(resolve):
            revision, _, name = path.removeprefix(resolve).partition("/")
            self._file(self.server.revisions[revision], name, with_body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

    def _info(self, revision: str, with_body: bool) -> None:
        if revision not in self.server.revisions:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, with_body)
            return
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": _git(data)} for name, data in self.server.files.items()
        ]
        told = {
            "id": NAME,
            "sha": self.server.revisions[revision],
            "siblings": siblings,
            "private": False,
            "tags": [],
            "downloads": 0,
        }
        self._send(200, json.dumps(told).encode(), {"Content-Type": "application/json"}, with_body)

    def _file(self, commit: str, name: str, with_body: bool) -> None:
        data = self.server.files[name]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        marks = {"ETag": f'"{_git(data)}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if start:
            marks["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(
            206 if start else 200,
            data[start:],
            marks,
            with_body,
            self.server.breaks.pop(name, None) if with_body else None,
        )

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], with_body: bool, until: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body[:until])
        if until is not None:
            self.close_connection = True


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _tree(files: dict[str, bytes]) -> list[dict]:
    return [{"type": "file", "path": name, "size": len(data), "oid": _git(data)} for name, data in files.items()]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, bytes]:
    """A set as the hub has it: a part a file, a page, a program."""
    folder, found = tmp_path_factory.mktemp("hub"), {"README.md": b"# reviews\n", "reviews.py": b"print()\n"}
    for name, part in of_datasets("text").items():
        part.to_parquet(folder / f"{name}.parquet")
        found[f"data/{name}-00000-of-00001.parquet"] = (folder / f"{name}.parquet").read_bytes()
    return found


@pytest.fixture
def hub(files, monkeypatch, tmp_path):
    with _serving(dict(files)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        yield server


@contextmanager
def _serving(files: dict[str, bytes]):
    server = Hub(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def record(folder: Path) -> Record:
    return read_json(folder / RECORD, Record, "")


def test_a_set_becomes_a_plain_folder_and_says_how_it_is_read(hub, files, invoke, tmp_path):
    result = invoke("init", "--data", f"hf:{NAME}", tmp_path / "set")
    assert result.exit_code == 0, result.stderr
    there = {str(path.relative_to(tmp_path / "set")): path for path in (tmp_path / "set").rglob("*") if path.is_file()}
    assert there.keys() == {*files, RECORD} - {"reviews.py"}
    assert all(there[name].read_bytes() == files[name] for name in there if name != RECORD)
    held = record(tmp_path / "set")
    assert (held["name"], held["revision"], held["complete"]) == (NAME, COMMITS[0], True)
    assert result.stdout == (
        "# splits are those of the set: test 1 file, valid 1 file, train 1 file\n"
        "# columns: review (text), length (value), stars (class: neg, pos)\n"
        f"# for a task on text\ndata:\n  sources: [{tmp_path / 'set'}]\n  columns: {{text: review}}\n"
        f"# for a task on tables\ndata:\n  source: {tmp_path / 'set'}\n  target: stars\n"
    )


def test_the_transcript_of_the_page(hub, invoke, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "data-sources.md").read_text("utf-8")
    (block,) = re.findall(r"```console\n\$ bmtool (.+?)\n(.+?)```", page, re.DOTALL)
    assert invoke(*block[0].split()).stdout == block[1]


def test_nobody_is_told_more_than_the_names_of_the_files(hub, tmp_path):
    download(f"hf:{NAME}", tmp_path / "set")
    assert {path.split("/")[1] for path, _ in hub.asked} <= {"api", "datasets"}
    assert all(NAME in path for path, _ in hub.asked)
    agents = {headers.get("User-Agent", "") for _, headers in hub.asked}
    assert not any("torch" in agent or "agent/" in agent for agent in agents)


def test_what_is_there_is_not_asked_for_again(hub, tmp_path):
    download(f"hf:{NAME}", tmp_path / "set")
    hub.asked.clear()
    hub.revisions["main"] = COMMITS[1]
    download(NAME, tmp_path / "set")
    assert hub.asked == [] and record(tmp_path / "set")["revision"] == COMMITS[0]


def test_a_revision_is_pinned(hub, tmp_path):
    download(f"hf:{NAME}@v2", tmp_path / "set")
    assert record(tmp_path / "set")["revision"] == COMMITS[1]
    with pytest.raises(ConfigError, match=f"holds {NAME} at bbbbbbbbbbbb: name another folder"):
        download(f"hf:{NAME}@{COMMITS[0]}", tmp_path / "set")


def test_what_was_interrupted_goes_on_with_the_same_revision(hub, files, tmp_path, monkeypatch):
    from huggingface_hub import HfApi

    fetch, fetched = HfApi.hf_hub_download, []

    def stopping(self, name, path, **more):
        if len(fetched) == 2:
            raise KeyboardInterrupt
        fetched.append(path)
        return fetch(self, name, path, **more)

    with monkeypatch.context() as patched:
        patched.setattr(HfApi, "hf_hub_download", stopping)
        with pytest.raises(KeyboardInterrupt):
            download(f"hf:{NAME}", tmp_path / "set")
    assert not record(tmp_path / "set")["complete"]
    hub.revisions["main"] = COMMITS[1]
    hub.asked.clear()
    download(f"hf:{NAME}", tmp_path / "set")
    assert record(tmp_path / "set")["revision"] == COMMITS[0] and record(tmp_path / "set")["complete"]
    assert not any(path.endswith(tuple(fetched)) for path, _ in hub.asked)


def test_bytes_that_are_not_those_of_the_hub_are_refused(hub, files, tmp_path):
    download(f"hf:{NAME}", tmp_path / "set")
    path = tmp_path / "set" / "README.md"
    path.write_bytes(b"# reviewZ\n")
    with pytest.raises(DataError, match=r"README\.md is not what the hub has"):
        download(f"hf:{NAME}", tmp_path / "set")
    path.unlink()
    download(f"hf:{NAME}", tmp_path / "set")
    assert path.read_bytes() == files["README.md"]


def test_errors_are_one_line_each(hub, tmp_path):
    with pytest.raises(ConfigError, match="the hub has no data set somebody/else, or it is private"):
        download("hf:somebody/else", tmp_path / "a")
    with pytest.raises(ConfigError, match="has no such revision"):
        download(f"hf:{NAME}@v9", tmp_path / "b")
    hub.status = 400
    with pytest.raises(ResourceError, match="could not be fetched") as told:
        download(f"hf:{NAME}", tmp_path / "c")
    assert "\n" not in str(told.value)
    assert not any((tmp_path / name).exists() for name in "abc")


def test_without_a_network(invoke, monkeypatch, tmp_path):
    with _serving({}) as server:
        url = server.url
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    result = invoke("init", "--data", f"hf:{NAME}", tmp_path / "set")
    assert result.exit_code == 6 and result.stderr.count("\n") == 1 and "could not be fetched" in result.stderr


@pytest.mark.parametrize("name", ["../x/y", "hf:", "a/b/c", "/etc"])
def test_names_that_are_none(name, tmp_path):
    with pytest.raises(ConfigError, match="is no name of a data set"):
        download(name, tmp_path / "set")


def test_hostile_and_empty_sets(hub, tmp_path):
    hub.files = {"../../x.parquet": b"x"}
    with pytest.raises(DataError, match=r"a file called '../../x.parquet', which does not lie in a folder of its own"):
        download(f"hf:{NAME}", tmp_path / "set")
    hub.files = {"reviews.py": b"print()", "README.md": b"#"}
    with pytest.raises(DataError, match=f"try hf:{NAME}@refs/convert/parquet"):
        download(f"hf:{NAME}", tmp_path / "set")


def test_a_folder_of_something_else_is_left_alone(hub, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        download(f"hf:{NAME}", tmp_path / "set")


def test_images_say_how_they_are_read(hub, tmp_path, capsys):
    hub.files = {"train-000.tar": shard(tmp_path / "a.tar", range(4)).read_bytes()}
    download(f"hf:{NAME}", tmp_path / "set")
    assert capsys.readouterr().out.endswith(f"data:\n  source: {tmp_path / 'set'}\n")


def test_without_the_library_it_says_what_to_install(invoke, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    result = invoke("init", "--data", f"hf:{NAME}", tmp_path / "set")
    assert result.exit_code == 2 and "pip install huggingface_hub" in result.stderr
