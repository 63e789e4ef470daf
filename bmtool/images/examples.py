"""Images to measure on: of a prepared split, or of folders and tables, each as it came and with the name of its class."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bmtool.config.image import ImageData
from bmtool.data.tally import Tally
from bmtool.errors import ConfigError, DataError
from bmtool.images.levels import BadImage
from bmtool.images.pictures import Frame
from bmtool.images.prepare import Images
from bmtool.images.sources import held, items
from bmtool.predict.contract import Predictor
from bmtool.predict.examples import Example


def split(data: ImageData, prepared: Path, name: str, reads: Sequence[Predictor]) -> Iterator[Example]:
    """The images of a split in stored order; where a model of `reads` reads otherwise than is stored, as their source has them."""
    images = Images(prepared, name)
    labels = [*images.manifest["labels"], None]
    stored = (data.channels, Frame(data.size, data.fit, data.range))
    raw = _stored(images) if all(_reads(one) in (stored, None) for one in reads) else _original(data, images)
    for number, (title, pixels) in enumerate(zip(images.names(), raw)):
        yield Example(title, pixels, labels[int(images.labels[number])])


def _reads(predictor: Predictor) -> tuple[int, Frame] | None:
    return (predictor.channels, predictor.frame) if hasattr(predictor, "frame") else None


def _stored(images: Images) -> Iterator[np.ndarray]:
    return (images.pixels(np.array([number]))[0] for number in range(len(images)))


def _original(data: ImageData, images: Images) -> Iterator[Path | bytes | np.ndarray]:
    """What each image was prepared from. DataError when the source has gone."""
    found = {item.name: item for item in items(data, Tally())}
    for name in images.names():
        if name not in found:
            raise DataError(
                f"{name} is no longer in {data.source}: models that read images otherwise are compared on the images as they came, "
                "so give them with --data"
            )
        yield held(found[name])


def fields(data: ImageData) -> dict[str, dict[str, str]]:
    """Name of an image -> the columns of its row beside path and label, where the source is a list or table with more of them.

    Read from the source again, as prepared images lack them: DataError where it has gone.
    """
    return {item.name: dict(item.fields) for item in items(data, Tally())}


def key(example: Example) -> tuple:
    """What tells an image in splits of any preparation: where it came from."""
    return example.name, example.truth


def file(path: Path, unit: str | None, tally: Tally, reads: Sequence[Predictor]) -> Iterator[Example]:
    """Images from folders, lists, tables or tars as `data.source` names them; where there is a test split among them, those of it alone."""
    if unit is not None:
        raise ConfigError("--unit is for text")
    # Not validated: a path that a shell has expanded is a path, whatever it holds.
    listed = items(ImageData.model_construct(source=str(path)), tally)
    tests = any(item.split == "test" for item in listed)
    for item in listed:
        if tests and item.split != "test":
            tally.ignore("image of another split than test", item.name)
            continue
        tally.read += 1
        try:
            raw = held(item)
        except BadImage as error:
            tally.drop(str(error), item.name)
            continue
        yield Example(item.name, raw, item.label, fields=dict(item.fields))
