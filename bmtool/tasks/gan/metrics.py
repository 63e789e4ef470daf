"""Measuring generators: as many images as there are real ones, compared as two sets."""

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np

from bmtool.errors import DataError
from bmtool.images import pictures
from bmtool.images.prepare import Example, folder_examples, split_examples
from bmtool.measure.bootstrap import BLOCK, RESAMPLES, Sums, ratio, weights
from bmtool.measure.report import Measured
from bmtool.tasks.gan.distances import Features, Moments, diversity, frechet, kernel_distance
from bmtool.tasks.gan.predict import Generator

METRICS = ("frechet", "kernel_distance", "diversity")
RESAMPLED = 128  # features up to which the Frechet distance gets an interval

file_examples = folder_examples
__all__ = ["METRICS", "evaluate", "file_examples", "split_examples"]


def evaluate(predictor: Generator, examples: Iterable[Example], keep: Callable[[dict], None]) -> Measured:
    """Every metric against `examples`; `keep` receives the seed beside each of them. DataError when there are under two.

    Kernel distance and diversity are means over blocks of images, which are also what is resampled for their intervals.
    """
    features, stream, drawn = Features(predictor.features), iter(examples), weights()
    blocks, moments, seen = Sums(3), None, 0
    while len(block := list(islice(stream, BLOCK))) > 1:
        weight = next(drawn)[: len(block)]
        real = np.stack([example.pixels for example in block]) / np.float32(255)
        made = predictor.make(range(seen, seen + len(block)))
        ours, theirs = features(made), features(real)
        width = ours.shape[1]
        columns = 1 + RESAMPLES if width <= RESAMPLED else 1
        moments = moments or (Moments(width, columns), Moments(width, columns))
        for held, values in zip(moments, (ours, theirs)):
            held.add(values, weight[:, :columns])
        blocks.add(np.array([[1.0, kernel_distance(ours, theirs), diversity(made, real)]]), weight[:1])
        for number, example in enumerate(block):
            keep({"seed": seen + number, "beside": example.name})
        seen += len(block)
    if moments is None:
        raise DataError("nothing to compare with: two images or more are needed")
    distance = np.full(1 + RESAMPLES, np.nan)
    distance[: len(moments[0].count)] = frechet(*moments)
    count, kernel, spread = blocks.total.T
    samples = pictures.as_pixels(predictor.make(range(64)))
    return Measured(
        examples=seen,
        resamples={"frechet": distance, "kernel_distance": ratio(kernel, count), "diversity": ratio(spread, count)},
        pictures={"samples": lambda path: pictures.save(pictures.sheet(samples, 8), path)},
    )
