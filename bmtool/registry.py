"""The tasks bmtool knows. A new task is a folder under `tasks/` and one line in `TASKS`.

What a model takes and gives is said here, so that commands, the server and the page choose by it without importing the task.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal

from bmtool.base.suggest import suggest
from bmtool.errors import ConfigError

Takes = Literal["text", "image", "record", "number", "question and context"]
Gives = Literal["text", "labels", "spans", "answer", "vector", "image", "number", "ranking"]


@dataclass(frozen=True)
class Entry:
    """One task: the package that holds it and a line of help. Its parts are imported only when asked for.

    A part that the task's folder lacks comes from its kit, or from what all tasks share that give the same. `own` says where parts are in
    the folder of several tasks that differ in them.
    """

    package: str
    help: str
    kit: str
    takes: Takes
    gives: Gives
    # the shipped config with which one begins, by its name under configs/: what `bmtool init TASK` writes
    first: str = ""
    own: Mapping[str, str] = field(default_factory=dict, hash=False)  # entries are keys of caches
    # Its text goes on from what it is given, or fills it: `generate` and `predict` ask for it, and `translate` does not.
    goes_on: bool = False

    # shipped configs that `bmtool compare` trains beside one's own, by their names under configs/
    baselines: tuple[str, ...] = ()
    # A file of directories that others wrote, which are asked as they are: its task has `as_it_is`.
    known_by: str = ""

    @property
    def translates(self) -> bool:
        return (self.takes, self.gives) == ("text", "text") and not self.goes_on

    def load(self, part: str) -> Any:
        """A part by its name in PARTS. LookupError where neither the task nor what it builds on has one."""
        own, shared = PARTS[part]
        for place in (f"{self.package}.{self.own.get(part, own)}", shared.format(kit=self.kit, gives=self.gives)):
            module, _, attribute = place.partition(":")
            if module and find_spec(module) is not None:
                found = importlib.import_module(module)
                if not attribute or hasattr(found, attribute):
                    return getattr(found, attribute) if attribute else found
        raise LookupError(f"{self.package} has no {part}")

    def has(self, part: str) -> bool:
        try:
            self.load(part)
        except LookupError:
            return False
        return True


# part -> where the task has it, and where it is found for a task that has none. The first three need no torch.
PARTS = {
    "config": ("config:Config", ""),
    "options": ("config:Options", "bmtool.config.options:Options"),
    "prepare": ("prepare:prepare", "bmtool.{kit}.prepare:prepare"),
    # changed(config, sources=True) -> a line for each key that is another than when the data were prepared ("data.size: 8 -> 16",
    # "data.sources: a.txt has changed"), none when they are current. DataError when sources are gone, or cannot be read twice;
    # without `sources` only settings are compared.
    "changed": ("prepare:changed", "bmtool.{kit}.prepare:changed"),
    # content_hash(folder) -> the data hash of what lies there, computed from the files.
    "content": ("prepare:content_hash", "bmtool.{kit}.prepare:content_hash"),
    # of tasks on labelled text: kind_of(data) -> how rows are read (`text.labelled.kind.Kind`)
    "kind": ("kind:kind_of", ""),
    "report": ("report:REPORT", "bmtool.{kit}.report"),
    "task": ("task:Task", ""),
    "predictor": ("predict:predictor", ""),
    # what an export says of a model, as JSON: the shape of `Task.about`
    "about": ("predict:About", "bmtool.predict.exported:About"),
    "combine": ("predict:combine", "bmtool.predict.{gives}:combine"),
    "examples": ("examples", "bmtool.{kit}.examples"),
    "evaluation": ("metrics:Evaluation", "bmtool.predict.{gives}:Evaluation"),
}

TASKS = {
    "pinyin2hanzi": Entry(
        "bmtool.tasks.pinyin2hanzi",
        "pinyin syllables to Chinese characters",
        kit="text",
        takes="text",
        gives="text",
        first="tiny",
    ),
    "language-model": Entry(
        "bmtool.tasks.language_model",
        "text that goes on, or what stands under a mask",
        kit="text",
        takes="text",
        gives="text",
        first="tiny",
        goes_on=True,
        known_by="config.json",
    ),
    "text-classification": Entry(
        "bmtool.tasks.text_classification",
        "texts to classes",
        kit="text.labelled",
        takes="text",
        gives="labels",
        first="textcnn",
        baselines=tuple(f"text-classification/{name}" for name in ("nb", "logreg", "svm", "bag", "textcnn", "rnn")),
    ),
    "text-regression": Entry(
        "bmtool.tasks.text_classification",
        "texts to a number",
        kit="text.labelled",
        takes="text",
        gives="number",
        first="stars",
        baselines=tuple(f"text-classification/{name}" for name in ("bag", "textcnn", "rnn")),
        own={"kind": "kind:numeric_kind_of", "options": "config:NumberOptions", "evaluation": "metrics:Numbers"},
    ),
    "token-classification": Entry(
        "bmtool.tasks.token_classification",
        "texts to entities, words or parts of speech in them",
        kit="text.labelled",
        takes="text",
        gives="spans",
        first="encoder",
    ),
    "question-answering": Entry(
        "bmtool.tasks.question_answering",
        "questions to the piece of a text that answers them",
        kit="text.labelled",
        takes="question and context",
        gives="answer",
        first="tiny",
    ),
    "image-classification": Entry(
        "bmtool.tasks.image_classification",
        "images to classes",
        kit="images",
        takes="image",
        gives="labels",
        first="photos",
    ),
    "autoencoder": Entry(
        "bmtool.tasks.autoencoder",
        "images to a short code and back",
        kit="images",
        takes="image",
        gives="vector",
        first="digits",
    ),
    "gan": Entry(
        "bmtool.tasks.gan",
        "noise to images like those it has seen",
        kit="images",
        takes="number",
        gives="image",
        first="digits",
    ),
    "tabular-classification": Entry(
        "bmtool.tasks.tabular",
        "rows of a table to classes",
        kit="tables",
        takes="record",
        gives="labels",
        first="parcels",
        own={"options": "config:ClassOptions", "evaluation": "metrics:Classes"},
    ),
    "tabular-regression": Entry(
        "bmtool.tasks.tabular",
        "rows of a table to a number",
        kit="tables",
        takes="record",
        gives="number",
        first="parcels-price",
        own={"options": "config:NumberOptions", "evaluation": "metrics:Numbers"},
    ),
    "click-prediction": Entry(
        "bmtool.tasks.click_prediction",
        "rows of what was shown to the probability that it is taken",
        kit="tables",
        takes="record",
        gives="labels",
        first="deepfm",
        baselines=tuple(f"click-prediction/{name}" for name in ("logistic-regression", "fm", "deepfm", "lightgbm")),
    ),
    "recommendation": Entry(
        "bmtool.tasks.recommendation",
        "what was taken to what comes next",
        kit="tables.interactions",
        takes="record",
        gives="ranking",
        first="shop",
        baselines=tuple(
            f"recommendation/{name}"
            for name in (
                "popularity",
                "transitions",
                "item-knn",
                "user-knn",
                "ease",
                "edlae",
                "slim",
                "als",
                "puresvd",
                "gf-cf",
            )
        ),
    ),
}


def find(name: object) -> Entry:
    """The task called `name`; a `ConfigError` that names the nearest one when there is none."""
    if isinstance(name, str) and name in TASKS:
        return TASKS[name]
    known = "; ".join(f"{task}: {entry.help}" for task, entry in TASKS.items())
    raise ConfigError(f"unknown task {name!r}{suggest(str(name), list(TASKS))} (tasks are {known})")
