"""Linear models by scikit-learn, as arrays. N texts, F features, C classes, S scores: 1 where there are two classes, else C."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.needs import needs
from bmtool.errors import DataError
from bmtool.text.grams import Rows
from bmtool.text.labelled.linear.config import LinearModel, LogisticModel, NaiveBayesModel, SvmModel

# Of Platt's two numbers: with it there is in effect no penalty.
NO_PENALTY = 1e10


class Linear(NamedTuple):
    """Scores are features [N, F] @ weight [F, S] + bias [S]; one score is for the second of two classes."""

    weight: np.ndarray
    bias: np.ndarray


class Examples(NamedTuple):
    """Features of texts, and the numbers of their classes [N], or of questions of their own whether each is so (0 or 1, [N, S])."""

    rows: Rows
    target: np.ndarray


class How(NamedTuple):
    """`features` there are in all; with `balanced` each class counts by the inverse of its frequency; `say` hears what to know."""

    features: int
    seed: int
    balanced: bool
    say: Callable[[str], None]


def fit(model: LinearModel, train: Examples, valid: Examples, how: How) -> Linear:
    """Of classes each of which some training text has, or of questions, each by itself. ConfigError when scikit-learn is not installed."""
    with needs("scikit-learn", f"model.kind: {model.kind} is fitted by scikit-learn"):
        import sklearn  # noqa: F401
    if train.target.ndim == 1:
        return _fitted(model, train, valid, how)
    columns = [
        _question(model, *(Examples(one.rows, one.target[:, number] > 0.5) for one in (train, valid)), how)
        for number in range(train.target.shape[1])
    ]
    return Linear(*(np.concatenate(parts, axis=-1) for parts in zip(*columns)))


def _question(model: LinearModel, train: Examples, valid: Examples, how: How) -> Linear:
    """One that has the same answer for all training texts is answered by how many there were."""
    yes = int(train.target.sum())
    no = len(train.target) - yes
    if not yes or not no:
        return Linear(np.zeros((how.features, 1), np.float32), np.array([np.log((yes + 1) / (no + 1))], np.float32))
    return _fitted(model, train, valid, how)


def _fitted(model: LinearModel, train: Examples, valid: Examples, how: How) -> Linear:
    if isinstance(model, NaiveBayesModel):
        return _naive_bayes(model, train, how)
    return _logistic(model, train, how) if isinstance(model, LogisticModel) else _svm(model, train, valid, how)


def _weights(train: Examples, how: How) -> np.ndarray | None:
    """[N], 1 on average."""
    if not how.balanced:
        return None
    counts = np.bincount(train.target)
    return len(train.target) / counts[train.target.astype(np.int64)] / np.count_nonzero(counts)


def _matrix(rows: Rows, features: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((rows.value, rows.feature.astype(np.int32), rows.start), (len(rows), features))


def _naive_bayes(model: NaiveBayesModel, train: Examples, how: How) -> Linear:
    from sklearn.naive_bayes import ComplementNB, MultinomialNB

    made = (ComplementNB if model.variant == "complement" else MultinomialNB)(alpha=model.alpha)
    made.fit(_matrix(train.rows, how.features), train.target, sample_weight=_weights(train, how))
    prior = made.class_log_prior_ if model.variant == "multinomial" else np.zeros(len(made.classes_))
    weight = made.feature_log_prob_.T
    if len(prior) == 2:
        weight, prior = weight[:, 1:] - weight[:, :1], prior[1:] - prior[:1]
    return _linear(weight, prior)


def _logistic(model: LogisticModel, train: Examples, how: How) -> Linear:
    from sklearn.linear_model import LogisticRegression

    made = LogisticRegression(C=model.c, max_iter=model.iterations)
    _solve(made, train, how)
    return _linear(made.coef_.T, made.intercept_)


def _svm(model: SvmModel, train: Examples, valid: Examples, how: How) -> Linear:
    """Scores are the logits that each class is right, of what is calibrated by itself."""
    from sklearn.svm import LinearSVC

    made = LinearSVC(C=model.c, max_iter=model.iterations, random_state=how.seed)
    _solve(made, train, how)
    score = made.decision_function(_matrix(valid.rows, how.features)).reshape(len(valid.target), -1)
    numbers = [1] if score.shape[1] == 1 else range(score.shape[1])
    platt = [platt_scaling(score[:, place], valid.target == number) for place, number in enumerate(numbers)]
    slope, offset = np.array(platt).T
    return _linear(made.coef_.T * slope, made.intercept_ * slope + offset)


def _solve(made: Any, train: Examples, how: How) -> None:
    """Fit, and say so when the solver stopped before its end."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made.fit(_matrix(train.rows, how.features), train.target, sample_weight=_weights(train, how))
    if told:
        how.say(
            f"the solver stopped before its end, after {made.max_iter:,} iterations: raise model.iterations, or lower model.c"
        )


def _linear(weight: np.ndarray, bias: np.ndarray) -> Linear:
    return Linear(np.ascontiguousarray(weight, np.float32), np.asarray(bias, np.float32))


def platt_scaling(score: np.ndarray, is_right: np.ndarray) -> tuple[float, float]:
    """Slope and offset with which the sigmoid of scores [N] is the probability of being right (Platt 1999, with his smoothed targets)."""
    from sklearn.linear_model import LogisticRegression

    right = int(is_right.sum())
    share = np.where(is_right, (right + 1) / (right + 2), 1 / (len(score) - right + 2))
    made = LogisticRegression(C=NO_PENALTY, solver="newton-cholesky", max_iter=1000)
    doubled = np.concatenate([score, score])[:, None]
    made.fit(doubled, np.repeat([1, 0], len(score)), sample_weight=np.concatenate([share, 1 - share]))
    return float(made.coef_[0, 0]), float(made.intercept_[0])


def require_all_classes(target: np.ndarray, labels: Sequence[str]) -> None:
    """DataError when a class has no training text: such a model could never say it."""
    if without := [label for number, label in enumerate(labels) if not (target == number).any()]:
        raise DataError(
            f"no training text is {without[0]!r}: a fitted model learns each class from texts of it; give some, or leave it out"
        )
