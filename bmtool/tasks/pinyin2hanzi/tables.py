"""What the tagger's decoder knows besides the weights, kept as files of arrays: n-grams of hanzi, and the tones of each reading."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save

from bmtool.base.files import damaged, read_text
from bmtool.data.prepared import AGAIN
from bmtool.errors import ConfigError, DataError
from bmtool.ngram import estimate
from bmtool.ngram.model import NgramModel, pack
from bmtool.predict.assets import TABLE_AGAIN, Assets, arrays
from bmtool.tasks.pinyin2hanzi import config
from bmtool.tasks.pinyin2hanzi.vocab import INPUT_ID, SPECIALS, Vocabulary

SUFFIX = ".safetensors"
_TONES = "tones" + SUFFIX
_TOKENS = 1 << 25  # counted at a time


class Tables(NamedTuple):
    ngram: NgramModel
    tones: np.ndarray  # uint8 [pairs, 6]: the share of each tone among a pair's readings, in 255ths; column 0: unknown


def count(prepared: str, vocabulary: Vocabulary, settings: config.Ngram) -> Tables:
    """The tables of the training split under `prepared`; marks, words and hanzi outside the vocabulary are boundaries."""
    from bmtool.tasks.pinyin2hanzi import prepare

    symbols = len(vocabulary.hanzi) + 1
    if symbols > estimate.SYMBOLS:
        raise ConfigError(
            f"an n-gram model has room for {estimate.SYMBOLS - 1:,} hanzi, the vocabulary has {symbols - 1:,}: raise data.min_count"
        )
    _, shards = prepare.open_split(prepared, "train")
    number = np.maximum(vocabulary.target_lookup() - SPECIALS + 1, 0)

    def sequences() -> Iterator[np.ndarray]:
        for hanzi in shards.flat("hanzi", _TOKENS):
            yield number[hanzi]

    counted = estimate.count(sequences(), settings.order)
    smoothed = estimate.kneser_ney(counted, symbols)
    return Tables(pack(estimate.prune(smoothed, counted, settings.entries)), _tones(Path(prepared), vocabulary))


def _tones(prepared: Path, vocabulary: Vocabulary) -> np.ndarray:
    """From the readings that were counted while the data was prepared."""
    seen = np.zeros((vocabulary.pairs, 6), np.int64)
    for line in read_text(prepared / "readings.tsv", AGAIN).splitlines()[1:]:
        hanzi, reading, times = line.split("\t")
        tone = int(reading[-1]) if reading[-1].isdigit() else 0
        pair = vocabulary.pair_id(INPUT_ID[reading.rstrip("12345")], hanzi)
        if pair >= 0:
            seen[pair, tone] += int(times)
    return np.round(255 * seen / np.maximum(seen.sum(axis=1, keepdims=True), 1)).astype(np.uint8)


def files(tables: Tables) -> dict[str, bytes]:
    """File name -> contents."""
    held = tables.ngram.arrays() | {"tones": {"tones": tables.tones}}
    return {name + SUFFIX: save(value) for name, value in held.items()}


def paths(directory: Path) -> list[Path]:
    """The files of the tables in a directory."""
    return sorted([*directory.glob(f"ngram-*{SUFFIX}"), *directory.glob(_TONES)])


def load(assets: Assets) -> Tables:
    """The tables that are among the assets; DataError when one is missing or broken."""
    names = [name for name in assets.names() if name == _TONES or (name.startswith("ngram-") and name.endswith(SUFFIX))]
    found = {name.removesuffix(SUFFIX): arrays(assets, name) for name in names}
    for name in ("tones", "ngram-1"):
        if name not in found:
            raise DataError(f"no {name}{SUFFIX} beside the tagger's weights, where its tables belong")
    try:
        tones = found.pop("tones")["tones"]
        return Tables(NgramModel.from_arrays(found), tones)
    except (KeyError, ValueError, TypeError) as error:
        raise damaged(f"the tables ngram-*{SUFFIX}", f"no {error}", TABLE_AGAIN) from error
