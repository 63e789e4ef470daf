"""Linear models by scikit-learn, as arrays. N texts, F features, C classes, S scores: 1 where there are two classes, else C."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.needs import needs
from bmtool.errors import DataError
from bmtool.text.grams import Rows
from bmtool.text.labelled.linear.config import LinearModel, LogisticModel, NaiveBayesModel, SvmModel

Say = Callable[[str], None]
# Of Platt's two numbers: with it there is in effect no penalty.
NO_PENALTY = 1e10


class Linear(NamedTuple):
    """Scores are features [N, F] @ weight [F, S] + bias [S]; one score is for the second of two classes.

    Probabilities are a softmax of scores, or, where each class was fitted by itself (`apart`), the sigmoid of each, divided by their sum.
    """

    weight: np.ndarray
    bias: np.ndarray
    apart: bool

    def arrays(self) -> dict[str, np.ndarray]:
        return {"weight": self.weight, "bias": self.bias, "apart": np.array(self.apart)}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> "Linear":
        return cls(arrays["weight"], arrays["bias"], bool(arrays["apart"]))


class Examples(NamedTuple):
    """Features of texts, the numbers of their classes [N], and how much each text counts [N] (None: alike)."""

    rows: Rows
    target: np.ndarray
    weight: np.ndarray | None = None


def fit(model: LinearModel, train: Examples, valid: Examples, *, features: int, seed: int, say: Say) -> Linear:
    """Of classes 0 .. C-1, each of which some training text has. ConfigError when scikit-learn is not installed."""
    with needs("scikit-learn", f"model.kind: {model.kind} is fitted by scikit-learn"):
        import sklearn  # noqa: F401
    if isinstance(model, NaiveBayesModel):
        return _naive_bayes(model, train, features)
    if isinstance(model, LogisticModel):
        return _logistic(model, train, features, say)
    return _svm(model, train, valid, features=features, seed=seed, say=say)


def _matrix(rows: Rows, features: int) -> Any:
    from scipy.sparse import csr_matrix

    return csr_matrix((rows.value, rows.feature.astype(np.int32), rows.start), (len(rows), features))


def _naive_bayes(model: NaiveBayesModel, train: Examples, features: int) -> Linear:
    from sklearn.naive_bayes import ComplementNB, MultinomialNB

    made = (ComplementNB if model.variant == "complement" else MultinomialNB)(alpha=model.alpha)
    made.fit(_matrix(train.rows, features), train.target, sample_weight=train.weight)
    prior = made.class_log_prior_ if model.variant == "multinomial" else np.zeros(len(made.classes_))
    weight = made.feature_log_prob_.T
    if len(prior) == 2:
        weight, prior = weight[:, 1:] - weight[:, :1], prior[1:] - prior[:1]
    return _linear(weight, prior, apart=False)


def _logistic(model: LogisticModel, train: Examples, features: int, say: Say) -> Linear:
    from sklearn.linear_model import LogisticRegression

    made = LogisticRegression(C=model.c, max_iter=model.iterations)
    _fitted(made, train, features, say)
    return _linear(made.coef_.T, made.intercept_, apart=False)


def _svm(
    model: SvmModel, train: Examples, valid: Examples, *, features: int, seed: int, say: Say
) -> Linear:  # fmt: skip
    from sklearn.svm import LinearSVC

    made = LinearSVC(C=model.c, max_iter=model.iterations, random_state=seed)
    _fitted(made, train, features, say)
    score = made.decision_function(_matrix(valid.rows, features)).reshape(len(valid.target), -1)
    is_pair = score.shape[1] == 1
    wanted = [1] if is_pair else range(score.shape[1])
    platt = [platt_scaling(score[:, place], valid.target == number) for place, number in enumerate(wanted)]
    slope, offset = np.array(platt).T
    return _linear(made.coef_.T * slope, made.intercept_ * slope + offset, apart=not is_pair)


def _fitted(made: Any, train: Examples, features: int, say: Say) -> None:
    """Fit, and say so when the solver stopped before its end."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made.fit(_matrix(train.rows, features), train.target, sample_weight=train.weight)
    if told:
        say(f"the solver stopped before its end, after {made.max_iter:,} iterations: raise model.iterations, or lower model.c")


def _linear(weight: np.ndarray, bias: np.ndarray, *, apart: bool) -> Linear:
    return Linear(np.ascontiguousarray(weight, np.float32), np.asarray(bias, np.float32), apart)


def platt_scaling(score: np.ndarray, is_right: np.ndarray) -> tuple[float, float]:
    """Slope and offset with which the sigmoid of scores [N] is the probability of being right (Platt 1999, with his smoothed targets)."""
    from sklearn.linear_model import LogisticRegression

    right = int(is_right.sum())
    share = np.where(is_right, (right + 1) / (right + 2), 1 / (len(score) - right + 2))
    made = LogisticRegression(C=NO_PENALTY, solver="newton-cholesky", max_iter=1000)
    doubled = np.concatenate([score, score])[:, None]
    made.fit(doubled, np.repeat([1, 0], len(score)), sample_weight=np.concatenate([share, 1 - share]))
    return float(made.coef_[0, 0]), float(made.intercept_[0])


def require_all_classes(target: np.ndarray, labels: list[str]) -> None:
    """DataError when a class has no training text: such a model could never say it."""
    if without := [label for number, label in enumerate(labels) if not (target == number).any()]:
        raise DataError(f"no training text is {without[0]!r}: a fitted model learns each class from texts of it; give some, or leave it out")
