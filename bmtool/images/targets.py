"""What a model learns to say of an image, beside its pixels: a class, boxes, a mask of classes, or another image.

A prepared directory holds one kind of target. Boxes are `boxes.npy` (float32 [M, 4]), `box_labels.npy` (int32 [M]) and
`box_starts.npy` (int64 [N + 1]); masks are `masks.npy` (uint8 [N, size, size]), paired images `paired.npy` (as `images.npy`).
"""

import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from bmtool.base.files import allocate
from bmtool.data.prepared import array
from bmtool.data.shards import ragged

NAMES = {"label": "classes", "boxes": "boxes", "mask": "masks", "image": "paired images"}  # kinds of target
VOID = 255  # in a mask: no class, not counted; beside an image that is no square, and where a rotation uncovers nothing
_NO_BOXES = np.zeros((0, 4), np.float32)
MIN_BOX = 1.0  # pixels a side; less than that of a box is nothing to find


@dataclass(frozen=True)
class Target:
    """Of one image; what its source does not give is None."""

    # -1: none
    label: int = -1
    # float32 [N, 4]: x1, y1, x2, y2 in pixels of the stored image
    boxes: np.ndarray | None = None
    # int32 [N]
    box_labels: np.ndarray | None = None
    # uint8 [H, W], VOID where there is no class
    mask: np.ndarray | None = None
    # uint8 [H, W, C]
    image: np.ndarray | None = None


class Clipped(NamedTuple):
    boxes: np.ndarray
    labels: np.ndarray


def clip(boxes: np.ndarray, labels: np.ndarray, size: int) -> Clipped:
    """What of boxes [N, 4] lies in a square of `size` pixels; those of which under MIN_BOX a side does are left out."""
    inside = boxes.clip(0, size)
    kept = ((inside[:, 2:] - inside[:, :2]) >= MIN_BOX).all(axis=1)
    return Clipped(inside[kept], labels[kept])


class Ragged(NamedTuple):
    """So many values for each of N examples."""

    starts: np.ndarray
    values: np.ndarray

    def of(self, examples: np.ndarray) -> np.ndarray:
        """The values of the examples, one after the other."""
        starts = self.starts[examples]
        return self.values[ragged(starts, self.starts[examples + 1] - starts)]


def gather(rows: list[np.ndarray], like: np.ndarray) -> Ragged:
    """Rows of any lengths, an example each; `like` has the type and the shape of an empty one."""
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Ragged(starts, np.concatenate([like, *rows]).astype(like.dtype))


class Growing:
    """A `.npy` of `shape` that is written an example at a time, without holding more than one. ResourceError when it has no room."""

    def __init__(self, path: Path, shape: tuple[int, ...]):
        self._stream: IO[bytes] = path.open("wb")
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        self._nothing = bytes(math.prod(shape[1:]))
        try:
            np.lib.format.write_array_header_1_0(self._stream, header)
            allocate(self._stream, self._stream.tell() + math.prod(shape))
        except BaseException:
            self._stream.close()
            raise

    def add(self, values: np.ndarray | None) -> None:
        """uint8 of the shape of one example; zeros for None."""
        self._stream.write(self._nothing if values is None else np.ascontiguousarray(values).data)

    def __enter__(self) -> "Growing":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()


class Writer:
    """The targets of N examples into a new directory, one after the other; `with Writer(...) as writer`."""

    def __init__(self, folder: Path, kind: str, shape: tuple[int, ...]):
        """`kind` is "label", "boxes", "mask" or "image"; `shape` that of `images.npy`, [N, size, size, channels]."""
        self._folder, self._kind, self._stack = folder, kind, ExitStack()
        self._boxes: list[np.ndarray] = []
        # the classes in each example, which is what is counted
        self._classes: list[np.ndarray] = []
        self._pixels = None
        if kind in ("mask", "image"):
            name, wanted = ("masks.npy", shape[:3]) if kind == "mask" else ("paired.npy", shape)
            self._pixels = self._stack.enter_context(Growing(folder / name, wanted))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, target: Target | None) -> None:
        """None for an example that cannot be used: it keeps its place."""
        target = target or Target()
        self._classes.append(_classes(target))
        if self._kind == "boxes":
            self._boxes.append(_NO_BOXES if target.boxes is None else target.boxes)
        if self._pixels is not None:
            self._pixels.add(target.mask if self._kind == "mask" else target.image)

    def finish(self) -> Ragged:
        """Write what is not written yet; returns the classes in each example."""
        classes = gather(self._classes, np.zeros(0, np.int32))
        if self._kind == "boxes":
            np.save(self._folder / "boxes.npy", gather(self._boxes, _NO_BOXES).values)
            np.save(self._folder / "box_labels.npy", classes.values)
            np.save(self._folder / "box_starts.npy", classes.starts)
        return classes


def _classes(target: Target) -> np.ndarray:
    """The class of an image, of each of its boxes, or those that its mask shows; int32."""
    if target.box_labels is not None:
        return target.box_labels
    if target.mask is not None:
        shown = np.unique(target.mask)
        return shown[shown != VOID].astype(np.int32)
    return np.array([target.label] if target.label >= 0 else [], np.int32)


class Reader:
    """The targets that `Writer` wrote; masks and images stay on disk until they are asked for."""

    def __init__(self, folder: Path, kind: str):
        self.kind = kind
        self._labels = array(folder / "labels.npy")
        if kind == "boxes":
            starts = array(folder / "box_starts.npy")
            self._boxes = Ragged(starts, array(folder / "boxes.npy", mapped=True))
            self._box_labels = Ragged(starts, array(folder / "box_labels.npy", mapped=True))
        if kind in ("mask", "image"):
            self._pixels = array(folder / ("masks.npy" if kind == "mask" else "paired.npy"), mapped=True)

    def __getitem__(self, number: int) -> Target:
        if self.kind == "boxes":
            one = np.array([number])
            return Target(boxes=self._boxes.of(one), box_labels=self._box_labels.of(one))
        if self.kind == "mask":
            return Target(mask=np.array(self._pixels[number]))
        if self.kind == "image":
            return Target(image=np.array(self._pixels[number]))
        return Target(int(self._labels[number]))
