"""Running independent jobs on all cores, or on a Ray cluster, with every finished result kept on disk.

A job is a pure function of its arguments that fills a directory. The directory is named by a hash of what the result depends on and
appears by a rename, so the number of workers cannot change a byte, and a run that was killed goes on after the last finished job.
"""

import hashlib
import json
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import TypedDict

from bmtool.base.cores import cores
from bmtool.base.files import file_checksum, read_json, write_json
from bmtool.base.needs import needs
from bmtool.errors import BmtoolError, DataError, ResourceError

FACTS = "facts.json"  # written last: a result without it, or with other files than it says, is no result
AGAIN = "delete it, and prepare the data again"
WAITING = 2  # jobs a worker that may be submitted ahead; bounds the memory that their arguments take
Work = Callable[..., dict]  # (directory, *arguments) -> facts, which can be JSON


class Finished(TypedDict):
    """What `facts.json` says of a result: the checksum of each file, and what the job returned."""

    files: dict[str, str]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """`directory` is where the result goes; its name is made of all that the result depends on."""

    directory: Path
    work: Work
    arguments: tuple


def digest(*parts: object) -> str:
    """A name for what a result depends on: bytes, or anything that can be JSON."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else json.dumps(part, sort_keys=True, ensure_ascii=False).encode()
        hashed.update(len(data).to_bytes(8, "little") + data)
    return hashed.hexdigest()[:32]


def is_done(directory: Path) -> bool:
    """Whether a result is there and whole."""
    if not (directory / FACTS).is_file():
        return False
    try:
        sums = read_json(directory / FACTS, Finished, AGAIN)["files"]
        return all(file_checksum(directory / name) == noted for name, noted in sums.items())
    except (DataError, OSError):  # it is done again
        return False


def facts(directory: Path) -> dict:
    """What the job of a finished result returned."""
    return read_json(directory / FACTS, Finished, AGAIN)["facts"]


def perform(job: Job) -> None:
    """Do one job in this process."""
    working = job.directory.with_name(f".{job.directory.name}.{os.getpid()}")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        found = job.work(working, *job.arguments)
        sums = {path.name: file_checksum(path) for path in working.iterdir()}
        write_json(working / FACTS, {"files": sums, "facts": found})
        shutil.rmtree(job.directory, ignore_errors=True)  # a damaged one
        working.rename(job.directory)
    except OSError:
        if not is_done(job.directory):  # else another worker had the same job and was first
            raise
    finally:
        shutil.rmtree(working, ignore_errors=True)


class Engine(Protocol):
    def run(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Do the jobs that are not done yet and give all back in their order, each when it is done."""
        ...


class Processes:
    """Worker processes of this machine; one worker is this process itself."""

    def __init__(self, workers: int = 0):
        self.workers = workers or cores()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run(self, jobs: Iterable[Job]) -> Iterator[Job]:
        jobs = iter(jobs)
        head = list(islice(jobs, 2))
        if self.workers == 1 or len(head) < 2:
            for job in (*head, *jobs):
                if not is_done(job.directory):
                    perform(job)
                yield job
            return
        yield from self._in_pool(chain(head, jobs))

    def _in_pool(self, jobs: Iterator[Job]) -> Iterator[Job]:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.workers, get_context("spawn"), initializer=_start_worker)
        waiting: deque[tuple[Job, Future | None]] = deque()
        try:
            for job in jobs:
                waiting.append((job, None if is_done(job.directory) else self._pool.submit(perform, job)))
                if len(waiting) > WAITING * self.workers:
                    yield _finished(waiting.popleft())
            while waiting:
                yield _finished(waiting.popleft())
        except BrokenProcessPool as error:
            raise ResourceError(
                "a worker process was killed, most often for want of memory: what is finished is kept; "
                "run the same command again, with fewer workers (--set data.workers=1)"
            ) from error


def _finished(waiting: tuple[Job, Future | None]) -> Job:
    job, future = waiting
    if future is not None:
        future.result()
    return job


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers for the whole group
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["RAYON_NUM_THREADS"] = "1"  # one thread a worker


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # a worker has one
    parent.join()
    os._exit(1)


class Ray:
    """Ray Data over a cluster: that of RAY_ADDRESS, or a local one. The prepared directory must be on storage that all nodes share."""

    WINDOW = 64  # jobs handed over at a time; bounds the memory that their arguments take

    def __init__(self, workers: int = 0):
        with needs("'ray[data]'", "data.engine: ray takes Ray Data"):
            import ray
            import ray.data
        self._ray, self._workers = ray, workers
        self._ours = not ray.is_initialized()

    def __enter__(self) -> "Ray":
        if self._ours:
            address = os.environ.get("RAY_ADDRESS")
            options = {"address": address} if address else {"num_cpus": self._workers or None}
            self._start(options)
        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        return self

    def _start(self, options: dict[str, Any]) -> None:
        """ResourceError where there is no cluster and none can be made: Ray raises any kind of error then."""
        try:
            self._ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False, **options)
        except Exception as error:
            self._ray.shutdown()
            said = " ".join(str(error).split())
            raise ResourceError(
                f"data.engine: ray: Ray did not start ({said[:200]}); --set data.engine=processes does without it"
            ) from error

    def __exit__(self, *_: object) -> None:
        if self._ours:
            self._ray.shutdown()

    def run(self, jobs: Iterable[Job]) -> Iterator[Job]:
        jobs = iter(jobs)
        while window := list(islice(jobs, self.WINDOW)):
            missing = [job for job in window if not is_done(job.directory)]
            if missing:
                items = [{"job": job} for job in missing]
                blocks = self._ray.data.from_items(items, override_num_blocks=len(items))
                try:
                    blocks.map(_perform_item, concurrency=self._workers or None).materialize()
                except self._ray.exceptions.RayError as error:
                    raise _cause(error) from error
            yield from window


def _cause(error: BaseException) -> BaseException:
    """What went wrong in the job itself, when that can be told."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, (BmtoolError, OSError)):
        inner = getattr(inner, "cause", None) or inner.__cause__
    return inner or error


def _perform_item(item: dict) -> dict:
    perform(item["job"])
    return {"done": True}


ENGINES: dict[str, Callable[[int], AbstractContextManager[Engine]]] = {"processes": Processes, "ray": Ray}
