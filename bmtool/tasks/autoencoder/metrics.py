"""Measuring autoencoders: how far what they make is from what they saw."""

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np

from bmtool.errors import DataError
from bmtool.images import pictures
from bmtool.images.prepare import Example, folder_examples, split_examples
from bmtool.measure.bootstrap import BLOCK, Sums, ratio, weights
from bmtool.measure.report import Measured
from bmtool.tasks.autoencoder.predict import Autoencoder, beside

METRICS = ("mse", "psnr")
SHOWN = 30

file_examples = folder_examples
__all__ = ["METRICS", "evaluate", "file_examples", "split_examples"]


def evaluate(predictor: Autoencoder, examples: Iterable[Example], keep: Callable[[dict], None]) -> Measured:
    """Every metric over `examples`; `keep` receives one record after the other. DataError when there are none."""
    sums, by_class, shown = Sums(3), {}, []
    stream, drawn = iter(examples), weights()
    while block := list(islice(stream, BLOCK)):
        weight = next(drawn)[: len(block)]
        pixels = np.stack([example.pixels for example in block])
        made = predictor.run(pixels)[1]
        error = np.square(made - pixels / np.float32(255)).reshape(len(block), -1).mean(axis=1).astype(np.float64)
        rows = np.stack([np.ones(len(block)), error, -10 * np.log10(np.maximum(error, 1e-10))], axis=1)
        sums.add(rows, weight)
        labels = np.array([example.label for example in block])
        for label in np.unique(labels[labels >= 0]):
            by_class.setdefault(int(label), Sums(3)).add(rows[labels == label], weight[labels == label])
        for example, mse in zip(block, error):
            keep({"file": example.name, "mse": round(float(mse), 7)})
        if len(shown) < SHOWN:
            shown += list(zip(pixels, pictures.as_pixels(made)))[: SHOWN - len(shown)]
    if not sums.examples:
        raise DataError("nothing to evaluate on: no image")
    seen, made_of_them = (np.stack(part) for part in zip(*shown))
    return Measured(
        examples=sums.examples,
        resamples=_figures(sums),
        slices={"class": {str(label): _figures(held) for label, held in sorted(by_class.items())}},
        pictures={"reconstructions": lambda path: pictures.save(beside(seen, made_of_them), path)},
    )


def _figures(sums: Sums) -> dict[str, np.ndarray]:
    count, error, psnr = sums.total.T
    return {"mse": ratio(error, count), "psnr": ratio(psnr, count)}
