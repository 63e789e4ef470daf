"""The tasks bmtool knows. A new task is a folder under `tasks/` and one line in `TASKS`."""

import importlib
from dataclasses import dataclass
from typing import Any, ClassVar

from bmtool.base.suggest import suggest
from bmtool.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """One task: the package that holds it and a line of help. Its parts are imported only when asked for."""

    package: str
    help: str

    # part -> "submodule:attribute"; the same for every task, so that `config` and `prepare` need no torch.
    PARTS: ClassVar = {
        "config": "config:Config",
        "prepare": "data:prepare",
        "task": "task:Task",
        "onnx_predictor": "onnx:from_onnx",
    }

    def load(self, part: str) -> Any:
        module, attribute = self.PARTS[part].split(":")
        return getattr(self.module(module), attribute)

    def module(self, name: str) -> Any:
        """A whole submodule, such as `metrics`."""
        return importlib.import_module(f"{self.package}.{name}")


TASKS = {
    "pinyin2hanzi": Entry("bmtool.tasks.pinyin2hanzi", "pinyin syllables to Chinese characters"),
    "image-classification": Entry("bmtool.tasks.image_classification", "images to classes"),
    "autoencoder": Entry("bmtool.tasks.autoencoder", "images to a short code and back"),
    "gan": Entry("bmtool.tasks.gan", "noise to images like those it has seen"),
}


def find(name: object) -> Entry:
    """The task called `name`; a `ConfigError` that names the nearest one when there is none."""
    if name in TASKS:
        return TASKS[str(name)]
    known = "; ".join(f"{task}: {entry.help}" for task, entry in TASKS.items())
    raise ConfigError(f"unknown task {name!r}{suggest(str(name), list(TASKS))} (tasks are {known})")
