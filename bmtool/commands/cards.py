"""Model cards: what a run is, in Markdown with the head that the Hugging Face hub reads.

A card is a function of the run: of its configuration, its facts and the report on its own test split. `evaluate` writes it to `card.md`,
an export carries it, the server shows it. One section of the file belongs to its maker and is kept.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bmtool import registry
from bmtool.base.files import checksum, write_text
from bmtool.base.markdown import escaped
from bmtool.base.units import few
from bmtool.commands import reports
from bmtool.config import document
from bmtool.config.schema import BaseConfig, Card
from bmtool.errors import ResourceError
from bmtool.measure.report import LEVEL, Compared, Report, show, table

if TYPE_CHECKING:
    from bmtool.engine.run_dir import RunDir

LARGEST = 1 << 20  # bytes of a card that is read again
NAMED = 20  # classes or columns that a card names
DIGITS = 6  # of a figure in the head
OPEN = "<!-- Yours: what stands between this line and the next one of its kind is kept. -->"
_CLOSE = "<!-- Yours ends here; the rest is written by `bmtool evaluate` (%s). -->"
_WRITTEN = re.compile(
    f"(?P<made>.*\n){re.escape(OPEN)}\n(?P<own>.*?){re.escape(_CLOSE) % '(?P<sum>[0-9a-f]{8})'}\\s*", re.DOTALL
)
# (takes, gives) -> what the hub calls such a task.
TASKS = {
    ("text", "text"): "translation", ("text", "spans"): "token-classification",
    ("text", "labels"): "text-classification", ("text", "number"): "text-classification",
    ("image", "labels"): "image-classification", ("image", "vector"): "image-feature-extraction",
    ("number", "image"): "unconditional-image-generation", ("record", "labels"): "tabular-classification",
    ("record", "number"): "tabular-regression", ("record", "ranking"): "other", ("question and context", "answer"): "question-answering",
}  # fmt: skip
# SPDX identifiers that are also the hub's, in its spelling; of another licence it takes the name.
LICENCES = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc-by-2.0", "cc-by-3.0",
    "cc-by-4.0", "cc-by-nc-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0",
    "ecl-2.0", "epl-2.0", "eupl-1.2", "gpl-2.0", "gpl-3.0", "isc", "lgpl-2.1", "lgpl-3.0", "mit", "mpl-2.0", "odbl", "openrail",
    "unlicense", "zlib",
}  # fmt: skip
# The fact that is an input, where a model has one that says more than those of ASKED.
EXAMPLE = "example"
# takes -> an argument of `bmtool predict`, and an input from Python.
ASKED = {
    "text": ('"a line of text"', '"a line of text"'), "image": ("picture.png", '"picture.png"'), "record": ("rows.csv", ""),
    "number": ("1", "1"),
    "question and context": ('--context manual.txt "a question"', '{"question": "a question", "context": "a text"}'),
}  # fmt: skip


def refresh(run: "RunDir", model: "Of", warn: Callable[[str], None]) -> bool:
    """Write the run's card; whether it was. One that was changed outside of its maker's section is left, which is said."""
    kept = _kept(run.card)
    if kept.is_changed:
        warn(
            f"{run.card} was changed outside of its section for your own text and is left as it is: move your text into that section, "
            "or delete the file to have it written again"
        )
        return False
    try:
        write_text(run.card, _whole(run, model, kept.own))
    except OSError as error:
        raise ResourceError(
            f"cannot write {run.card}: {error.strerror or error}: make room, or make it writable"
        ) from error
    return True


def text(run: "RunDir", model: "Of", warn: Callable[[str], None]) -> str:
    """The card as it is for these weights now, with its maker's section."""
    kept = _kept(run.card)
    if kept.is_changed:
        warn(f"{run.card} was changed outside of its section for your own text: only that section is taken")
    return _whole(run, model, kept.own)


class Of(NamedTuple):
    """The weights that a card is of; `facts` are the predictor's. An export may have rounded them to 8 bits."""

    checkpoint: str
    weights: str
    facts: dict[str, Any]
    is_rounded: bool = False


class _Kept(NamedTuple):
    """The maker's section of a card, and whether something else was changed in it."""

    own: str
    is_changed: bool


def _kept(path: Path) -> _Kept:
    if not path.is_file():
        return _Kept("\n", False)
    try:
        held = path.read_text("utf-8") if path.stat().st_size <= LARGEST else ""
    except UnicodeDecodeError:
        held = ""
    found = _WRITTEN.fullmatch(held)
    return _Kept(found["own"], _sum(found["made"]) != found["sum"]) if found else _Kept("\n", True)


def _sum(made: str) -> str:
    return checksum(made.encode("utf-8"))


def _whole(run: "RunDir", model: Of, own: str) -> str:
    made = _made(run, model)
    return f"{made}{OPEN}\n{own}{_CLOSE % _sum(made)}\n"


def _made(run: "RunDir", model: Of) -> str:
    config, info, name = run.config(), run.info(), run.path.resolve().name
    entry = registry.find(config.task)
    carried = reports.carried(run, model.checkpoint, model.weights)
    sources = [*_sources(config)]
    head = _head(config, entry) | _index(name, config.task, entry, carried.report, sources)
    parts = [
        f"# {escaped(name)}", config.card.description or _introduced(entry, config.task),
        "## Use", _use(entry, model.facts), *_facts(model.facts), "## Data", *_data(info, sources, carried.report),
        "## Figures", *_figures(carried), "## Training", _training(config, info, model),
        "## Limits", _limits(config.card, carried.report, model), "## Licence", config.card.licence or "Not stated.",
    ]  # fmt: skip
    return f"---\n{document.dump(head)}---\n\n" + "\n\n".join(parts) + "\n\n"


# --- the head, for the hub ---


def _head(config: BaseConfig, entry: registry.Entry) -> dict[str, Any]:
    card, kind = config.card, TASKS.get((entry.takes, entry.gives))
    head: dict[str, Any] = _licence(card.licence) | {"library_name": "bmtool"}
    head |= {"language": card.language} if card.language else {}
    head |= {"pipeline_tag": kind} if kind else {}
    return head | {"tags": ["bmtool", config.task]}


def _licence(stated: str | None) -> dict[str, str]:
    if stated is None:
        return {"license": "unknown"}
    spelled = stated.lower().removesuffix("-only").removesuffix("-or-later")
    return {"license": spelled} if spelled in LICENCES else {"license": "other", "license_name": stated}


def _index(name: str, task: str, entry: registry.Entry, report: Report | None, sources: list[str]) -> dict[str, Any]:
    """The figures as the hub lists them: nothing where there are none."""
    if report is None:
        return {}
    metrics = [
        {"type": figure, "name": figure.replace("_", " "), "value": numbers.pop("value"), "args": numbers | {"level": LEVEL}}
        for figure, found in report["metrics"].items() if "value" in (numbers := _numbers(found))
    ]  # fmt: skip
    title = ", ".join(sources) or task
    dataset = {"type": title, "name": title, "split": report["split"], "revision": report["data_hash"]}
    result = {"task": {"type": TASKS.get((entry.takes, entry.gives), task), "name": task}, "dataset": dataset}
    return {"model-index": [{"name": name, "results": [result | {"metrics": metrics}]}]} if metrics else {}


def _numbers(found: dict[str, float | None]) -> dict[str, float]:
    """What of a figure and its interval is a number."""
    return {key: round(value, DIGITS) for key, value in found.items() if value is not None and isfinite(value)}


# --- the body, for people ---


def _introduced(entry: registry.Entry, task: str) -> str:
    return f"{entry.help[0].upper()}{entry.help[1:]}: a model of bmtool's task `{task}`."


def _use(entry: registry.Entry, facts: dict[str, Any]) -> str:
    said, given = ASKED[entry.takes]
    if EXAMPLE in facts:
        said, given = shlex.quote(json.dumps(facts[EXAMPLE], ensure_ascii=False)), repr(facts[EXAMPLE])
    given = given or _row(facts)
    ask = (
        f"bmtool translate --model model.onnx {said}" if entry.gives == "text" else f"bmtool predict model.onnx {said}"
    )
    lines = ["bmtool export-onnx RUN --output model.onnx", ask, "bmtool serve model.onnx"]
    python = ["import bmtool", "", f'bmtool.load("model.onnx").predict({given})']
    return "\n".join(["```shell", *lines, "```", "", "```python", *python, "```"])


def _row(facts: dict[str, Any]) -> str:
    """A row as Python has it: of each column the middle number, or a category."""
    return repr(
        {
            one["name"]: one["example"] if "example" in one else next(iter(one["categories"]), "")
            for one in facts["columns"]
        }
    )


def _facts(facts: dict[str, Any]) -> Iterator[str]:
    """What the model knows: its classes, columns, sizes."""
    if lines := [f"- {name}: {_named(value)}" for name, value in facts.items() if name != EXAMPLE]:
        yield "\n".join(lines)


def _named(value: Any) -> str:
    if not isinstance(value, list):
        return escaped(f"{value}")
    listed = [str(one.get("name", one)) if isinstance(one, dict) else str(one) for one in value]
    names = [escaped(name) for name in listed]
    return f"{len(names):,}: {few(names, NAMED)}"


def _sources(config: BaseConfig) -> Iterator[str]:
    """What the configuration names as its data; where it lies on this machine is nobody's business."""
    given = getattr(config.data, "sources", None) or [config.data.source]
    for source in given:
        yield _called(str(getattr(source, "path", source)))


def _called(path: str) -> str:
    return Path(path).name if os.path.isabs(path) else path


def _data(info: dict[str, Any], sources: list[str], report: Report | None) -> Iterator[str]:
    yield f"Learned from {few([escaped(source) for source in sources], NAMED)}; data hash `{info['data_hash']}`."
    sizes = report.get("splits") if report is not None else None
    if sizes:
        yield table(["split", "examples"], [[name, f"{count:,}"] for name, count in sizes.items()])


def _figures(carried: reports.Carried) -> Iterator[str]:
    report = carried.report
    if report is None:
        yield "Not measured on its test split yet: `bmtool evaluate RUN` does, and writes the figures here."
        return
    yield f"{report['examples']:,} examples of the {report['split']} split, with {LEVEL:.0%} bootstrap intervals."
    cells = [
        [name, _shown(found["value"]), f"{_shown(found['low'])} - {_shown(found['high'])}"]
        for name, found in report["metrics"].items()
    ]
    yield table(["figure", "value", "interval"], cells)
    if by := report.get("by"):
        yield f"`gap` is the largest difference of {by['figure']} between groups by {', '.join(map(escaped, by['columns']))}."
    yield from _baseline(report.get("baseline"))


def _baseline(compared: Compared | None) -> Iterator[str]:
    if compared is None:
        yield "Compared with no baseline: `bmtool evaluate RUN --baseline OTHER` does."
        return
    yield f"Compared with {_called(compared['model'])} on the same examples; `*`: the difference is significant at 5 %."
    cells = [
        [
            name, f"{gap['value']:+.4f}{' *' if gap['significant'] else ''}", f"{gap['low']:+.4f} - {gap['high']:+.4f}",
        ]
        for name, gap in compared["differences"].items()
    ]  # fmt: skip
    yield table(["figure", "difference", "interval"], cells)


def _shown(value: float | None) -> str:
    return "-" if value is None else show(value)


def _training(config: BaseConfig, info: dict[str, Any], model: Of) -> str:
    given = getattr(config.model, "weights", None)
    began = info["parent"] or given
    kind = getattr(config.model, "kind", None)
    facts = {
        "model": kind, "trained from": _called(began) if began else "scratch", "seed": config.seed,
        "adapters": _adapters(config, info), "taught by": _taught(config, info), "pruned": pruned(info),
        "checkpoint": model.checkpoint, "sha256 of the weights": model.weights,
        "bmtool, torch, Python": ", ".join(info["versions"].get(name, "-") for name in ("bmtool", "torch", "python")),
    }  # fmt: skip
    return "\n".join(f"- {name}: {value}" for name, value in facts.items() if value is not None)


def _adapters(config: BaseConfig, info: dict[str, Any]) -> str | None:
    lora, base = config.finetune.lora, info.get("base")
    if lora is None or base is None:
        return None
    return f"LoRA of rank {lora.rank}, alpha {lora.alpha:g}; sha256 of its base `{base['sha256']}`"


def _taught(config: BaseConfig, info: dict[str, Any]) -> str | None:
    train, teacher = config.train, info.get("teacher")
    if teacher is None:
        return None
    how = f"{train.teacher_weight:g} of the loss, temperature {train.teacher_temperature:g}"
    return f"{_called(teacher['path'])} ({how}); sha256 of its weights `{teacher['sha256']}`"


def pruned(info: Mapping[str, Any]) -> str | None:
    """How many weights of a run were pruned; None of one that prunes none."""
    if "zeros" not in info:
        return None
    none, all_ = info["zeros"]
    return f"{none:,} of the {all_:,} weights of linear layers and convolutions are 0 ({none / all_:.1%})"


def _limits(card: Card, report: Report | None, model: Of) -> str:
    """What its maker says, what the report remarks, and what holds of every model."""
    remarks = [*report.get("remarks", [])] if report is not None else []
    if model.is_rounded:
        remarks.append("The weights were rounded to 8 bits after the figures had been measured.")
    general = "The figures hold for data like those it was measured on; on others it may be worse."
    return "\n".join(f"- {line}" for line in (*card.limits, *remarks, general))
