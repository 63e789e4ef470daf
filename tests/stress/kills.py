"""kill -9 at every call that changes a file, for each command that writes: `python -m stress.kills [NAME...]` tries those whose name
holds one of the words, all of them without any.

Whole: preparing the data of each kit, anew and in the place of other ones, and one training of each kit. Of the rest ten moments each are
drawn: every other tiny config, finetuning, measuring, exporting. For trainings some are killed a second time, in the restart.
"""

import importlib
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from cases import CASES, ROOT, Case, find

from stress import Attempt

if TYPE_CHECKING:  # torch takes seconds to import
    from stress.killing import Moment, Subject, Trials

DRAWN = 10  # moments of a command that is not tried whole, and second kills of a training
EACH = 3  # moments of a command in a sample
FIRST = {case.entry.kit: case for case in reversed(CASES)}.values()  # of each kit
FIRST_OF_A_TASK = {case.task: case for case in reversed(CASES)}.values()
# A checkpoint at every step, most of them deleted again, the best two averaged at the end.
SHORT = (
    "train.steps=4", "train.validate_every=1", "train.save_every=1", "train.log_every=2", "train.keep_last=1", "train.keep_best=2",
    "train.average_best=2", "train.ema=0.5",
)  # fmt: skip
# Every validation is as good as the one before: nothing but their order ranks the checkpoints, and training ends early.
STILL = ("optim.lr=1e-30", "train.patience=2")
OTHER_DATA = ("data.valid_share=0.3",)

Call = Callable[[], object]


@dataclass(frozen=True)
class Plan:
    """A command that is killed, and those that are run before it; `whole`: at every moment, `twice`: the next start of it too.

    `warms` says that it leaves no thread behind when it is run in the process that forks.
    """

    name: str
    before: tuple[Call, ...]
    call: Call
    whole: bool = False
    twice: bool = False
    warms: bool = True


# --- the commands; `place` is the directory that they write below ---


def _settings(case: Case, place: Path, *more: str, run: str = "run") -> list[str]:
    return [f"data.prepared={place / 'prepared' / case.entry.kit}", f"run={place / run}", *more]


def _prepare(case: Case, place: Path, *more: str) -> Call:
    from bmtool.commands.prepare_data import prepare_data

    return lambda: prepare_data(case.path, _settings(case, place, *more))


def _pretrain(case: Case, place: Path, *more: str, run: str = "run") -> Call:
    from bmtool.commands.train import pretrain

    short = () if case.fitted else SHORT
    return lambda: pretrain(case.path, _settings(case, place, *short, *more, run=run))


def _finetune(case: Case, place: Path) -> Call:
    from bmtool.commands.train import finetune

    return lambda: finetune(case.path, place / "parent", _settings(case, place, *SHORT))


def _evaluate(place: Path) -> Call:
    from bmtool.commands.evaluate import evaluate

    return lambda: evaluate([place / "run"])


def _export(place: Path) -> Call:
    from bmtool.commands.export_onnx import export_onnx

    return lambda: export_onnx(place / "run")


def plans(place: Path) -> Iterator[Plan]:
    for case in FIRST:
        yield Plan(f"prepare-data {case.name}", (), _prepare(case, place), whole=True)
        other = _prepare(case, place, *OTHER_DATA)
        yield Plan(f"prepare-data again {case.name}", (other,), _prepare(case, place), whole=True)
    text = find("pinyin2hanzi")
    yield Plan(f"prepare-data without a cache {text.name}", (), _prepare(text, place, "data.cache=false"))
    for case in CASES:
        before, whole = (_prepare(case, place),), case in FIRST
        yield Plan(f"pretrain {case.name}", before, _pretrain(case, place), whole=whole, twice=whole)
    for case in FIRST_OF_A_TASK:
        before = (_prepare(case, place), _pretrain(case, place))
        yield Plan(f"evaluate {case.name}", before, _evaluate(place))
        yield Plan(f"export-onnx {case.name}", before, _export(place), warms=False)
    yield from _special(find("image-classification"), place)


def _special(case: Case, place: Path) -> Iterator[Plan]:
    """Trainings that go another way than the first of their task."""
    data = _prepare(case, place)
    yield Plan(f"finetune {case.name}", (data, _pretrain(case, place, run="parent")), _finetune(case, place))
    yield Plan(f"pretrain from raw data {case.name}", (), _pretrain(case, place))
    yield Plan(f"pretrain without progress {case.name}", (data,), _pretrain(case, place, *STILL), twice=True)
    loading = _pretrain(case, place, "train.workers=1")
    yield Plan(f"pretrain with a loader {case.name}", (data,), loading, warms=False)


# --- trying them ---


def attempts(sample: int | None = None, seed: int = 0, words: tuple[str, ...] = ()) -> Iterator[Attempt]:
    """All of it, or `sample` moments spread over the commands; in a process of its own, which stays warm and has one thread."""
    asked = json.dumps([sample, seed, *words])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stress.kills", "--json", asked]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            yield Attempt(*json.loads(line))
    if process.returncode:
        yield Attempt("kills", f"the harness itself failed: exit {process.returncode}")


def _tried(sample: int | None, seed: int, words: tuple[str, ...]) -> Iterator[Attempt]:
    with tempfile.TemporaryDirectory(prefix="bmtool-kills-") as folder:
        place = Path(folder).resolve() / "place"
        listed = [plan for plan in plans(place) if not words or any(word in plan.name for word in words)]
        if sample is None:
            for plan in listed:
                yield from _all_of(plan, place, random.Random(f"{seed} {plan.name}"))
        else:
            for plan, count in _spread(listed, sample, random.Random(seed)):
                yield from _some_of(plan, place, count, random.Random(f"{seed} {plan.name}"))


def _spread(listed: list[Plan], sample: int, dice: random.Random) -> list[tuple[Plan, int]]:
    """Some plans, each kind of command in turn, and how many moments each of them gets, `sample` in all."""
    kinds: dict[str, list[Plan]] = {}
    for plan in dice.sample(listed, len(listed)):
        kinds.setdefault(plan.name.split()[0], []).append(plan)
    turns = [plan for turn in zip_longest(*kinds.values()) for plan in turn if plan is not None]
    count = min(len(turns), -(-sample // EACH))
    return [(plan, sample // count + (index < sample % count)) for index, plan in enumerate(turns[:count])]


def _all_of(plan: Plan, place: Path, dice: random.Random) -> Iterator[Attempt]:
    from stress.killing import Trials

    trials = _trials(plan, place)
    if not trials.problem:
        again = Trials(trials.subject)
        yield Attempt(f"{plan.name}, twice the same", again.problem or trials.compared(again))
    moments = list(trials.moments())
    kills = (
        [(at,) for at in moments] if plan.whole else [(at,) for at in dice.sample(moments, min(DRAWN, len(moments)))]
    )
    kills += [tuple(dice.choices(moments, k=2)) for _ in range(DRAWN if plan.twice else 0)]
    yield from _of(trials, kills)


def _some_of(plan: Plan, place: Path, count: int, dice: random.Random) -> Iterator[Attempt]:
    trials = _trials(plan, place)
    moments = list(trials.moments())
    yield from _of(trials, [(at,) for at in dice.sample(moments, min(count, len(moments)))])


def _of(trials: "Trials", kills: list[tuple["Moment", ...]]) -> Iterator[Attempt]:
    if trials.problem:
        yield Attempt(f"{trials.subject.name}, not killed", trials.problem)
        return
    for moments in kills:
        yield Attempt(trials.name(*moments), trials.problem_at(*moments))


def _trials(plan: Plan, place: Path) -> "Trials":
    """Of a plan in a process that has run it."""
    from stress.killing import Subject, Trials

    trials = Trials(Subject(plan.name, plan.call, _start(plan, place), place))
    _import(trials.modules)
    if plan.warms and not trials.problem:
        _warm(trials.subject)
    return trials


def _start(plan: Plan, place: Path) -> Path:
    """What `place` holds before the command."""
    from stress.killing import run

    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for call in plan.before:
        ended = run(call, place)
        assert ended.code == 0, f"{plan.name}: {ended.said}"
        _import(ended.modules)
    start = place.with_name("start")
    shutil.rmtree(start, ignore_errors=True)
    return place.rename(start)


def _import(modules: list[str]) -> None:
    """What a run had to import, so that the next need not."""
    for name in modules:
        if name not in sys.modules and not name.startswith("__"):
            with suppress(BaseException):
                importlib.import_module(name)
    _require_one_thread()


def _warm(subject: "Subject") -> None:
    """Run a command in this process: tables are loaded and fonts are found then."""
    subject.reset()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        subject.call()
    _require_one_thread()


def _require_one_thread() -> None:
    threads = [path.read_text("utf-8").strip() for path in Path("/proc/self/task").glob("*/comm")]
    # pyarrow's allocator has a thread that knows of forks.
    assert len([name for name in threads if name != "jemalloc_bg_thd"]) == 1, f"{threads}: must not fork"


def main(arguments: list[str]) -> int:
    import torch

    torch.set_num_threads(1)
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # has a thread of its own
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]  # its files are named by the time
    if arguments[:1] == ["--json"]:
        sample, seed, *words = json.loads(arguments[1])
        for attempt in _tried(sample, seed, tuple(words)):
            print(json.dumps([attempt.name, attempt.problem]), flush=True)
        return 0
    failed = 0
    for attempt in _tried(None, 0, tuple(arguments)):
        failed += bool(attempt.problem)
        print(f"{'FAILED' if attempt.problem else 'ok'}  {attempt.name}  {attempt.problem}", flush=True)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
