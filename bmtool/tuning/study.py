"""A study: what was proposed, what came of it, what to try next. It lives in one file, a journal by Optuna, and goes on from there.

A proposal depends on the seed, its number and the trials before it, on nothing else: a study that was killed proposes what it would have
proposed. Whoever opens a study holds the directory it lies in.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bmtool.base.needs import Package, needs
from bmtool.errors import DataError
from bmtool.tuning.space import Choice, Raw, Space, Span

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.storages import JournalStorage

OPTUNA = Package("optuna", "optuna", "tune takes a package of that name")
FORESTS = Package("sklearn", "scikit-learn", "tune says how much each key matters by a package of that name")
NAME = "tune"
# Trials that are drawn at random before the sampler (TPE, Bergstra et al. 2011) learns from them, and that end before one is pruned.
RANDOM, UNPRUNED = 5, 4
# Validations after which a trial can be pruned: the first ones say that it learns slowly, not that it learns badly.
SEEN = 3

State = Literal["complete", "pruned", "failed", "running"]
_STATES: dict[str, State] = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class Row:
    """A trial, the first of which has number 1; `value` is the figure, of a pruned one the last that was seen."""

    number: int
    state: State
    value: float | None
    raw: dict[str, Raw]
    # why it failed or was pruned, or which trial it repeats
    reason: str
    # of the error that a failed one ended with
    exit_code: int
    # step -> the figure of the validation there
    seen: dict[int, float]
    # how often it was started and neither ended nor was stopped
    starts: int


class Study:
    """Over a space, for a figure, in the file at `path`, which is made where there is none. DataError when it is no journal."""

    def __init__(self, path: Path, space: Space, figure: str, *, minimises: bool, seed: int):
        with needs(OPTUNA.packages, OPTUNA.what):
            import optuna
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna, self.space, self.figure, self.minimises, self.seed = optuna, space, figure, minimises, seed
        with _refusing(path):
            self._study = optuna.create_study(
                storage=_journal(path), study_name=NAME, direction="minimize" if minimises else "maximize",
                pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED), load_if_exists=True,
            )  # fmt: skip
        self._trial: Trial | None = None

    def rows(self) -> list[Row]:
        """Of all trials that were proposed, in their order."""
        return [_row(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state.name in _STATES]

    def best(self) -> Row | None:
        """Of those that are complete; of equal ones the earliest."""
        complete = [row for row in self.rows() if row.state == "complete"]
        sign = 1 if self.minimises else -1
        return min(complete, key=lambda row: (sign * float(row.value or 0), row.number), default=None)

    # --- what to try ---

    def half(self) -> Row | None:
        """The trial that was begun and has not ended, to go on with."""
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state.name == "RUNNING":
                self._trial = self._optuna.Trial(self._study, trial._trial_id)
                return self._asked()
        return None

    def propose(self, own: Mapping[str, Raw] | None, trials: int) -> Row | None:
        """The next of so many trials: first the configuration's own values, and all combinations where these are no more than `trials`.

        None when all combinations have been tried.
        """
        rows = self.rows()
        chosen: Mapping[str, Raw] | None = own if not rows else None
        if chosen is None and self.space.size <= trials:
            tried = [row.raw for row in rows]
            chosen = next((one for one in self.space.combinations() if one not in tried), None)
            if chosen is None:
                return None
        if chosen is not None and not self._waiting():
            self._study.enqueue_trial(dict(chosen))
        number = int(np.random.SeedSequence((self.seed, len(rows))).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=number, n_startup_trials=RANDOM)
        self._trial = self._study.ask()
        return self._asked()

    def _waiting(self) -> bool:
        """Whether a killed process has left a combination to be tried."""
        return any(trial.state.name == "WAITING" for trial in self._study.get_trials(deepcopy=False))

    def _asked(self) -> Row:
        """The trial at hand, with all its values."""
        for key, held in self.space.items():
            _suggest(self._at_hand, key, held)
        return self._row()

    # --- what comes of it ---

    @property
    def _at_hand(self) -> "Trial":
        assert self._trial is not None  # a trial is proposed before anything comes of it
        return self._trial

    def _row(self) -> Row:
        return self.rows()[self._at_hand.number]

    def start(self, starts: int) -> None:
        """Note how often the trial at hand was started."""
        self._at_hand.set_user_attr("starts", starts)

    def is_hopeless(self, step: int, value: float) -> bool:
        """Hear of a validation: whether the best so far is worse than the median of the trials before was at this step."""
        if step not in self._row().seen:
            self._at_hand.report(value, step)
        return len(self._row().seen) >= SEEN and self._at_hand.should_prune()

    def complete(self, value: float) -> Row:
        return self._end("COMPLETE", value=value)

    def prune(self, reason: str) -> Row:
        return self._end("PRUNED", reason=reason)

    def fail(self, reason: str, exit_code: int) -> Row:
        return self._end("FAIL", reason=reason, exit_code=exit_code)

    def repeat(self, row: Row) -> Row:
        """End the trial at hand as another of the same values did."""
        self._at_hand.set_user_attr("reason", f"the same values as trial {row.number}")
        if row.state == "failed":
            return self._end("FAIL", exit_code=row.exit_code)
        for step, value in row.seen.items():
            self._at_hand.report(value, step)
        return self._end("PRUNED" if row.state == "pruned" else "COMPLETE", value=row.value)

    def _end(self, state: str, *, value: float | None = None, **facts: Any) -> Row:
        for name, fact in facts.items():
            self._at_hand.set_user_attr(name, fact)
        self._study.tell(
            self._at_hand.number, value if state == "COMPLETE" else None, state=self._optuna.trial.TrialState[state]
        )
        return self._row()

    # --- what is learned of it ---

    def importances(self) -> dict[str, float]:
        """Key -> its share in how the figure of complete trials differs (fANOVA, Hutter et al. 2014); empty for too few of them."""
        values = {row.value for row in self.rows() if row.state == "complete"}
        if len(values) < RANDOM or len(self.space) < 2:
            return {}
        with needs(FORESTS.packages, FORESTS.what):
            import sklearn  # noqa: F401
        found = self._optuna.importance.get_param_importances(
            self._study, evaluator=self._optuna.importance.FanovaImportanceEvaluator(seed=self.seed)
        )
        return {key: float(found[key]) for key in self.space if key in found}


def _suggest(trial: "Trial", key: str, held: Span | Choice) -> None:
    if isinstance(held, Choice):
        trial.suggest_categorical(key, list(held.values))
    elif held.integer:
        trial.suggest_int(key, int(held.low), int(held.high), log=held.log)
    else:
        trial.suggest_float(key, held.low, held.high, log=held.log)


def _row(trial: Any) -> Row:
    facts = trial.user_attrs
    return Row(
        trial.number + 1, _STATES[trial.state.name], trial.value, dict(trial.params), facts.get("reason", ""), facts.get("exit_code", 0),
        dict(trial.intermediate_values), facts.get("starts", 0),
    )  # fmt: skip


def _journal(path: Path) -> "JournalStorage":
    """What a file holds; a last line that a power cut has torn is cut off."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    class Held(JournalFileSymlinkLock):
        """The directory is held already; a lock of the journal's own would outlive a process that is killed."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    _mend(path)
    return JournalStorage(JournalFileBackend(str(path), Held(str(path))))


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """DataError for a journal whose lines are none, or not those of a study."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise DataError(
            f"{path} is damaged: delete {path.parent} to begin anew, or name another run (--set run=DIR)"
        ) from error


def _mend(path: Path) -> None:
    if not path.is_file():
        return
    with path.open("rb+") as stream:
        whole = stream.read()
        if not whole.endswith(b"\n"):
            stream.truncate(whole.rfind(b"\n") + 1)
