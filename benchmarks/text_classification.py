"""Linear text classifiers beside scikit-learn on the same texts, and how many texts a second a model answers.

    python benchmarks/text_classification.py fit data/text-classification/reviews.csv --label topic
    python benchmarks/text_classification.py answer RUN_OR_FILE.onnx texts.jsonl

`fit`: n-grams, the fit and the answers of `bmtool pretrain` and of a pipeline of scikit-learn with the same settings, in this process:
seconds of each part, texts answered a second, accuracy. The last fifth of the rows is what is answered.
`answer`: the texts of a file (of a text file each line) through a run or an export, AT_ONCE together; the median of REPEATS.
Both print one JSON object a line. They use as many cores as OMP_NUM_THREADS says.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bmtool.commands.loading import load_model
from bmtool.predict.backends import TorchBackend
from bmtool.sources.rows import READERS, rows
from bmtool.text import grams
from bmtool.text.labelled.linear import fit, module
from bmtool.text.labelled.linear.config import LinearModel, LogisticModel, NaiveBayesModel, SvmModel
from bmtool.text.labelled.linear.predict import scores

AT_ONCE, REPEATS = 64, 5
MODELS: tuple[LinearModel, ...] = (
    NaiveBayesModel(kind="naive-bayes"), LogisticModel(kind="logistic-regression"), SvmModel(kind="svm"),
)  # fmt: skip
Texts = list[str]


def read(path: Path, text: str, label: str | None) -> tuple[Texts, list[str]]:
    """Texts, and labels where a column of them is named."""
    if path.suffix not in READERS:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()], []
    found = [row.values for row in rows(path) if row.values is not None]
    return [str(row[text]) for row in found], [str(row[label]) for row in found] if label else []


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


# --- fitting ---


def split(texts: Texts, labels: list[str]) -> tuple[Texts, np.ndarray, Texts, np.ndarray]:
    names = sorted(set(labels))
    numbers, last = np.array([names.index(label) for label in labels]), len(texts) * 4 // 5
    return texts[:last], numbers[:last], texts[last:], numbers[last:]


def ours(model: LinearModel, texts: Texts, target: np.ndarray, asked: Texts) -> tuple[np.ndarray, dict[str, float]]:
    """Class numbers of `asked`, and seconds. Platt's numbers are of the training texts here: they change no class that is said."""
    made, learn_s = timed(lambda: grams.learned(texts, grams.Kind(), least=2, most=1_000_000)[0])
    features, features_s = timed(lambda: made.features(texts))
    examples = fit.Examples(features, target)
    how = fit.How(len(made.weight), 1, balanced=False, say=print)
    linear, fit_s = timed(lambda: fit.fit(model, examples, examples, how))
    backend = TorchBackend([module.graph(linear, "two" if linear.weight.shape[1] == 1 else "softmax")])
    said, answer_s = timed(lambda: scores(made, backend, asked).argmax(axis=1))
    return said, {"features_s": learn_s + features_s, "fit_s": fit_s, "answer_s": answer_s}


def theirs(model: LinearModel, texts: Texts, target: np.ndarray, asked: Texts) -> tuple[np.ndarray, dict[str, float]]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import ComplementNB
    from sklearn.svm import LinearSVC

    made = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True)
    estimators: dict[str, Callable[[], Any]] = {
        "naive-bayes": lambda: ComplementNB(alpha=model.alpha), "svm": lambda: LinearSVC(C=model.c, random_state=1),
        "logistic-regression": lambda: LogisticRegression(C=model.c, max_iter=model.iterations),
    }  # fmt: skip
    features, features_s = timed(lambda: made.fit_transform(texts))
    estimator, fit_s = timed(lambda: estimators[model.kind]().fit(features, target))
    said, answer_s = timed(lambda: estimator.predict(made.transform(asked)))
    return said, {"features_s": features_s, "fit_s": fit_s, "answer_s": answer_s}


def fits(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    import sklearn.svm  # noqa: F401  # what takes seconds, and is no part of a fit

    texts, target, asked, truth = split(*read(arguments.file, arguments.text, arguments.label))
    for model in MODELS:
        for name, fitting in (("bmtool", ours), ("scikit-learn", theirs)):
            said, seconds = fitting(model, texts, target, asked)
            rounded = {key: round(value, 3) for key, value in seconds.items()}
            rate, accuracy = round(len(asked) / seconds["answer_s"]), round(float((said == truth).mean()), 4)
            yield {
                "by": name,
                "model": model.kind,
                "texts": len(texts),
                **rounded,
                "texts_per_s": rate,
                "accuracy": accuracy,
            }


# --- answering ---


def answers(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    loaded = load_model(arguments.model, print)
    texts, _ = read(arguments.file, arguments.text, None)
    texts = list(chain.from_iterable([texts] * -(-arguments.least // len(texts))))
    answer(loaded.predictor, texts[:AT_ONCE])
    spent = [timed(lambda: answer(loaded.predictor, texts))[1] for _ in range(REPEATS)]
    characters = statistics.mean(map(len, texts))
    rate = round(len(texts) / statistics.median(spent))
    yield {"model": str(arguments.model), "texts": len(texts), "characters": round(characters, 1), "texts_per_s": rate}


def answer(predictor: Any, texts: Sequence[str]) -> None:
    for first in range(0, len(texts), AT_ONCE):
        predictor.predict([predictor.read(text) for text in texts[first : first + AT_ONCE]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    fitting = kinds.add_parser("fit")
    fitting.add_argument("file", type=Path)
    fitting.add_argument("--text", default="text", help="the column of texts")
    fitting.add_argument("--label", default="label", help="the column of classes")
    fitting.set_defaults(run=fits)
    answering = kinds.add_parser("answer")
    answering.add_argument("model", type=Path)
    answering.add_argument("file", type=Path)
    answering.add_argument("--text", default="text", help="the column of texts")
    answering.add_argument("--least", type=int, default=2000, help="texts at least: a smaller file is asked again")
    answering.set_defaults(run=answers)
    arguments = parser.parse_args()
    for line in arguments.run(arguments):
        print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
