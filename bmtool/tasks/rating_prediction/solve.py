"""What each kind of model is fitted to ratings by: arrays as `modules.Part` takes them, after every round. Shapes: P parts, N ratings."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bmtool.base.memory import require_room
from bmtool.tasks.rating_prediction.bayes import bpmf
from bmtool.tasks.rating_prediction.config import Knn
from bmtool.tasks.rating_prediction.factors import svd, svdpp
from bmtool.tasks.rating_prediction.neighbours import nearest
from bmtool.tasks.rating_prediction.ratings import Arrays, Ratings, baseline, biases, with_typical

RIDGE = 1e-3  # of a blend, as a share of what is added up
SWEEPS = 1000  # over its parts, after which weights no longer move


def parts_of(settings: Any) -> list[Any]:
    """The sections of a blend; of another kind, itself."""
    return getattr(settings, "parts", [settings])


def fit(settings: Any, ratings: Ratings, *, seed: int, say: Callable[[str], None]) -> Iterator[Arrays]:
    """Of one part; ratings are in the order of users."""
    if settings.kind != "biases":
        say(_room(settings, ratings))
    match settings.kind:
        case "biases":
            yield _whole(biases(ratings, settings.l2_users, settings.l2_items), ratings)
        case "item-knn" | "user-knn":
            yield _whole(_knn(settings, ratings), ratings)
        case "svd":
            yield from (_whole(found, ratings) for found in svd(settings, ratings, seed))
        case "svdpp":
            yield from (_whole(found, ratings) for found in svdpp(settings, ratings, seed))
        case _:
            yield from (_whole(found, ratings) for found in bpmf(settings, ratings, seed))


def _room(settings: Any, ratings: Ratings) -> str:
    """What to say of the memory that a model takes. ResourceError where it is not there."""
    users, items = ratings.shape
    if settings.kind in ("item-knn", "user-knn"):
        count = items if settings.kind == "item-knn" else users
        kept = min(settings.kept, count)
        return require_room(3.0 * kept * count, f"{kept:,} neighbours of each of {count:,}", "lower model.kept")
    if settings.kind == "bpmf":
        factors, what = settings.draws * (settings.factors + 1), f"factors of {settings.draws:,} draws"
        return require_room(3.0 * factors * (users + items), what, "lower model.draws, or choose model.kind: svd")
    factors = settings.factors
    implicit = users * factors if settings.kind == "svdpp" else 0
    instead = "lower model.factors, or choose model.kind: svd" if implicit else "lower model.factors"
    return require_room(factors * (users + items + implicit), f"{factors:,} factors of each user and item", instead)


def _knn(settings: Knn, ratings: Ratings) -> Arrays:
    held = biases(ratings, settings.l2_users, settings.l2_items)
    left = ratings.values - baseline(held, ratings.rows, ratings.columns)
    if settings.kind == "user-knn":
        return held | nearest(ratings, left, settings)
    return held | nearest(ratings.turned(), ratings.with_values(left).turned().values, settings)


_OF_USERS, _OF_ITEMS = ("user_bias", "left", "implicit", "weight"), ("item_bias", "right", "said")


def _whole(held: Arrays, ratings: Ratings) -> Arrays:
    """With a row for unknown users and items, who are like the mean of all."""
    of_users, of_items = ratings.counts, np.bincount(ratings.columns, minlength=ratings.shape[1])
    if "said" in held:
        held = held | {"weight": 1 / np.sqrt(np.maximum(of_users, 1))}
    counts = dict.fromkeys(_OF_USERS, of_users) | dict.fromkeys(_OF_ITEMS, of_items)
    return {name: with_typical(values, counts[name]) if name in counts else values for name, values in held.items()}


def weights(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[P + 1]: how much each part counts and a constant, by least squares on what they say, [N, P], of what is right, [N].

    No part counts less than 0: what parts say of unknown users and items would be far off.
    """
    mean, right = said.mean(axis=0), truth.mean()
    moved = (said - mean).astype(np.float64)
    gram = moved.T @ moved
    gram += RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    wanted, found = moved.T @ (truth - right), np.zeros(len(gram))
    for _ in range(SWEEPS):
        for part in range(len(found)):
            found[part] = max(0.0, found[part] + (wanted[part] - gram[part] @ found) / gram[part, part])
    return np.append(found, right - mean @ found)


def width(arrays: Arrays) -> int:
    """Numbers that a row takes in the model beside the ratings that are read, at a guess."""
    return sum(2 * len(values) for name, values in arrays.items() if name.endswith("near")) + max(
        (values.shape[1] for name, values in arrays.items() if values.ndim == 2), default=1
    )
