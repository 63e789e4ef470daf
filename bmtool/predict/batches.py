"""Inputs of like length together, so that little of what is computed is padding."""

from collections.abc import Iterator, Sequence

BATCH_TOKENS = 2048
SMALL = 256  # tokens of a batch that may hold items of any lengths


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of items of similar length, about BATCH_TOKENS a batch; those of length 0 are left out.

    A batch takes the memory of its longest item for each: only what is small holds some more than twice as long as others.
    """
    order = sorted((number for number, length in enumerate(lengths) if length), key=lambda number: lengths[number])
    batch: list[int] = []
    for number in order:
        padded = (len(batch) + 1) * lengths[number]
        if batch and padded > (SMALL if lengths[number] > 2 * lengths[batch[0]] else BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
