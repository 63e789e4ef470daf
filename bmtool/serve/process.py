"""The model in a process of its own: its Python and that of the requests run side by side, and if it dies the server lives."""

import contextlib
import gc
import json
import logging
import signal
import sys
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from bmtool.base.memory import resident, resident_now
from bmtool.commands.lines import warn
from bmtool.errors import BmtoolError, ResourceError
from bmtool.predict.backends import OnnxBackend
from bmtool.predict.contract import Options
from bmtool.serve.model import Served

KEPT = 0.15  # of the memory that a loaded model leaves: what its process may keep between runs


class Gone(Exception):
    """The process ended by itself: killed, most often for want of memory."""


class ModelProcess:
    """A model that is loaded in a child process. One thread at a time may call it. `bytes` is what the process took once it was loaded."""

    def __init__(self, path: str, *, memory: int, run_seconds: float | None = None, documents: str | None = None):
        """Starts the process; `load` waits for it. It has its share of `memory` bytes, the server's; a run that takes longer than
        `run_seconds` is taken for stuck; questions without a context are looked up in `documents`."""
        context = get_context("spawn")
        self._path, self._memory, self._run_seconds, self._documents = path, memory, run_seconds, documents
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(path, theirs, memory, documents), name="model")
        self._process.start()
        theirs.close()

    def again(self) -> "ModelProcess":
        """Another process with the same, as it lies there now."""
        return ModelProcess(self._path, memory=self._memory, run_seconds=self._run_seconds, documents=self._documents)

    def load(self) -> "ModelProcess":
        """Returns when the model is loaded. A BmtoolError for a file that is no model, a model that cannot be served, or a process
        that ended before it was loaded; ModuleNotFoundError for a model that takes packages which are not here."""
        try:
            self.task, self.about, self.bytes = self._receive(None)
        except Gone as error:
            self.close()
            raise ResourceError(f"{self._path}: the process that loaded it has ended (for want of memory?)") from error
        except BaseException:
            self.close()
            raise
        return self

    def run(self, options: Options | str, inputs: list) -> list:
        """What `Served.run` answers, or raises. `Gone` when there is no process any more."""
        try:
            self._pipe.send((options, inputs))
        except OSError as error:
            raise Gone from error
        return self._receive(self._run_seconds)

    def _receive(self, seconds: float | None) -> Any:
        try:
            if not self._pipe.poll(seconds):
                self.kill()
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise Gone from error
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self) -> None:
        """End it now; what runs is lost."""
        self._process.kill()

    def close(self) -> None:
        """The child ends when nobody can ask it any more."""
        self._pipe.close()
        self._process.join()


def log_bug(logger: logging.Logger, error: Exception, **more: str) -> None:
    """A bug of ours, by its kind and place: what was asked is never logged, and a message might hold it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    place = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else ""
    logger.error(json.dumps(more | {"error": type(error).__name__, "in": place}))


def _serve(path: str, pipe: Connection, memory: int, documents: str | None) -> None:
    """The child: signals are the parent's, which finishes what runs and then closes the pipe."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, format="%(message)s")
    with contextlib.suppress(EOFError, OSError):
        try:
            served = Served.load(path, warn, documents)
        # The second: an installation that only answers, asked to serve a run.
        except (BmtoolError, ModuleNotFoundError) as error:
            pipe.send(error)
            return
        pipe.send((served.loaded.task, served.about(), resident()))
        taken = resident_now()
        OnnxBackend.most = taken + int(KEPT * (memory - taken))
        gc.freeze()  # the model stays: collections need not look at it
        while True:
            pipe.send(_answer(served, *pipe.recv()))


def _answer(served: Served, options: Options | str, inputs: list) -> list | Exception:
    try:
        return served.run(options, inputs)
    except BmtoolError as error:
        return error
    except Exception as error:
        log_bug(logging.getLogger("bmtool.serve"), error)
        return RuntimeError("the model failed")
