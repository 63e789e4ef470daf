"""Reading prepared data, and files as prepared data would hold them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from bmtool.config.text import Clean
from bmtool.data.prepared import AGAIN, described, read_manifest
from bmtool.data.shards import Shards
from bmtool.data.tally import Tally
from bmtool.errors import DataError
from bmtool.text.assemble import Manifest
from bmtool.text.cleaning import clean_block
from bmtool.text.decode import decode
from bmtool.text.recipe import FORMAT
from bmtool.text.sources import File, blocks
from bmtool.text.task import Encoded

# Measuring takes text as it is: nothing but what makes characters comparable, and what cuts it into sentences.
AS_IS = Clean(
    html=False,
    markdown=False,
    boilerplate=False,
    min_letters=0,
    min_letters_share=0.0,
    max_repeats=0,
    max_characters=1 << 20,
)


def open_split(
    directory: str | Path, split: str, *, task: str, rules: int, fields: tuple[str, ...]
) -> tuple[Manifest, Shards]:
    """Manifest and shards of a prepared split; DataError that names the command to run when there is none, or of another kind."""
    path = Path(directory)
    said = described(path)
    if said.get("task") != task:
        raise DataError(
            f"{path} was prepared for {said.get('task', 'another task')}, not {task}: name another data.prepared"
        )
    manifest = read_manifest(path, Manifest, lambda said: said.get("format") == FORMAT)
    if manifest["rules"] != rules:
        raise DataError(f"{path} was prepared by another version: {AGAIN}")
    return manifest, Shards(path, split, fields)


def read_examples(
    file: File, tally: Tally, encode: Callable[..., Encoded], settings: Clean = AS_IS
) -> Iterator[dict[str, np.ndarray]]:
    """The fields of every example of a file, as `encode` makes them; what cannot be used is counted in `tally`."""
    for block in blocks(file, tally):
        lines = decode(file, block)
        tally.read += lines.count
        cleaned = clean_block(lines, settings, file.layout.column)
        for line, reason, held in cleaned.dropped:
            tally.drop(reason, f"{file.name}:{block.first + line}", held)
        none = np.zeros(len(cleaned.sentences), np.uint64)
        encoded = encode(cleaned.sentences, none, none.astype(bool))
        for row, reason in encoded.dropped:
            tally.drop(reason, f"{file.name}:{block.first + int(cleaned.line[row])}", cleaned.sentences[row])
        for start, length in zip(encoded.starts.tolist(), encoded.lengths.tolist()):
            yield {name: values[start : start + length] for name, values in encoded.fields.items()}
