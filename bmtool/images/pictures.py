"""One image file to pixels, and pixels to sheets that people look at. Needs Pillow and numpy only."""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from bmtool.base.files import write_bytes
from bmtool.images import levels
from bmtool.images.levels import BadImage
from bmtool.predict.folders import formats

MAX_PIXELS = 64_000_000
MIN_SIDE = 4
# What the readers of Pillow raise on damaged files.
_DAMAGED = (
    OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
_ROW = 14  # pixels of a caption
_GREY = 128  # beside an image that is no square
_ORIENTATION = 0x0112  # EXIF: 2 to 8 are turned or mirrored; from 5 on width and height change places
_TURNED, _LIES = range(2, 9), range(5, 9)


# What is said of images that are used all the same.
UPRIGHT = "turned upright, as its EXIF says"
FIRST = "several frames or pages, of which the first"
CLEAR = "transparent pixels, laid on white"
GREYED = "several channels made grey"
ENLARGED = "smaller than data.size, enlarged"
CROPPED = "over half of it outside the middle square"


class Window(NamedTuple):
    """Where an image lies in its stored square: stored x = scale_x * x + left, stored y = scale_y * y + top, in pixels."""

    scale_x: float
    scale_y: float
    left: float
    top: float

    def inside(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [N, 4] (x1, y1, x2, y2) of the original image as boxes of the stored one."""
        return boxes * self._scale() + self._shift()

    def outside(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [N, 4] of the stored image as boxes of the original one."""
        return (boxes - self._shift()) / self._scale()

    def _scale(self) -> np.ndarray:
        return np.array([self.scale_x, self.scale_y] * 2, np.float64)

    def _shift(self) -> np.ndarray:
        return np.array([self.left, self.top] * 2, np.float64)


class Frame(NamedTuple):
    """The square that images are stored in: `size` pixels a side, filled with their middle ("square") or with the whole ("pad").

    `range` says which values of images of more than 8 bits are black and white in it.
    """

    size: int
    fit: str = "square"
    range: levels.Range = "auto"

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> "Frame":
        """That of a model, which says how it reads; one of an earlier version does not say all."""
        return cls(about["size"], about.get("fit", "square"), about.get("range", "auto"))

    def window(self, shape: tuple[int, int]) -> Window:
        """Where an image of `shape` (W, H) lies in it."""
        if self.fit == "square":
            scale = self.size / min(shape)
            return Window(scale, scale, *((self.size - scale * side) / 2 for side in shape))
        inner = self.inner(shape)
        scales = (new / old for new, old in zip(inner, shape))
        return Window(*scales, *((self.size - side) // 2 for side in inner))

    def inner(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Width and height, in whole pixels, of the whole of an image of `shape` in it."""
        width, height = (max(1, round(side * self.size / max(shape))) for side in shape)
        return width, height


class Placed(NamedTuple):
    """An image as it is stored."""

    # uint8 [size, size, channels]
    pixels: np.ndarray
    # width and height of the original, upright
    shape: tuple[int, int]
    window: Window
    # what was done to it that not every image needs
    notes: tuple[str, ...] = ()


def read(raw: Any, channels: int, frame: Frame) -> np.ndarray:
    """uint8 [size, size, channels] of a file, of its bytes, of a PIL image, or of pixels uint8 [H, W] or [H, W, C].

    BadImage when it is no image.
    """
    if isinstance(raw, np.ndarray):
        _require_pixels(raw)
        if raw.shape == (frame.size, frame.size, channels):
            return raw
        raw = raw[..., 0] if raw.ndim == 3 and raw.shape[2] == 1 else raw
    return place(raw, channels, frame).pixels


def _require_pixels(raw: np.ndarray) -> None:
    flat = raw.ndim == 2 or (raw.ndim == 3 and raw.shape[2] in (1, 3))
    if not flat or raw.dtype != np.uint8:
        raise BadImage(f"pixels are uint8 [H, W] or [H, W, 3], got {raw.dtype} {list(raw.shape)}")


def decode(source: Path | bytes, size: int, channels: int) -> np.ndarray:
    """The middle square of an image, scaled to uint8 [size, size, channels] (1: grey, 3: RGB); BadImage when it cannot be read."""
    return place(source, channels, Frame(size)).pixels


def place(source: Path | bytes | np.ndarray | Image.Image, channels: int, frame: Frame) -> Placed:
    """An image file, a PIL image, or pixels uint8 [H, W] or [H, W, 3], as it is stored; BadImage when it cannot be read.

    Grey fills what a whole image leaves of its frame. EXIF rotation is undone, transparency becomes white, more bits become 8, of
    several frames or pages the first is taken. The size is known before a pixel is decoded, so a small file that would unfold to a
    huge picture costs nothing.
    """
    mode, grey = ("L", _GREY) if channels == 1 else ("RGB", (_GREY,) * 3)
    with _opened(source) as image:
        how = levels.stored(image)  # before its EXIF is asked for, which decodes a PNG
        orientation = image.getexif().get(_ORIENTATION, 1)
        shape = image.size[::-1] if orientation in _LIES else image.size
        image.draft("RGB", (frame.size, frame.size))  # JPEG: decoded at the smallest scale that is large enough
        coarse, notes = levels.to_8bit(ImageOps.exif_transpose(image), how, frame.range)
        notes += (
            [GREYED] * (mode == "L" and _has_colours(coarse))
            + [CLEAR] * _is_clear(coarse)
            + [UPRIGHT] * (orientation in _TURNED)
        )
        scaled = _scaled(flatten(coarse, mode), shape, frame, Image.Resampling.BICUBIC, grey)
        notes += [FIRST] * _has_more(image)
    pixels = np.asarray(scaled, np.uint8).reshape(frame.size, frame.size, channels)
    return Placed(pixels, shape, frame.window(shape), (*notes, *_of_shape(shape, frame)))


def _of_shape(shape: tuple[int, int], frame: Frame) -> Iterator[str]:
    """What is to be said of an image of `shape` (W, H) in its frame."""
    side = min(shape) if frame.fit == "square" else max(shape)
    if side < frame.size:
        yield ENLARGED
    if frame.fit == "square" and max(shape) > 2 * min(shape):
        yield CROPPED


def _has_colours(image: Image.Image) -> bool:
    return image.mode in ("RGB", "RGBA", "CMYK", "YCbCr", "LAB")


def _is_clear(image: Image.Image) -> bool:
    return _may_be_clear(image) and image.convert("RGBA").getextrema()[3][0] < 255


def _may_be_clear(image: Image.Image) -> bool:
    return "transparency" in image.info or image.mode in ("RGBA", "LA", "PA")


def _has_more(image: Image.Image) -> bool:
    """Whether a decoded image has frames or pages after its first. Second pictures of a camera's JPEG (MPO) and layers are none."""
    if image.format in ("MPO", "PSD"):
        return False
    try:
        image.seek(1)
    except Exception:  # Pillow raises all sorts on damaged frames, and EOFError where there is none
        return False
    return True


def place_mask(source: Path, shape: tuple[int, int], frame: Frame, *, void: int) -> np.ndarray:
    """The class of each pixel, uint8 [size, size], `void` beside the image; BadImage unless it fits an image of `shape` (W, H)."""
    with _opened(source) as image:
        if image.mode not in ("L", "P", "1"):
            raise BadImage("a mask that holds no class numbers (one channel of 8 bits)")
        if image.size != shape:
            raise BadImage("a mask of another size than its image")
        numbers = np.asarray(image).astype(np.uint8)  # of a palette the indices, not the colours
    scaled = _scaled(Image.fromarray(numbers), shape, frame, Image.Resampling.NEAREST, void)
    return np.asarray(scaled, np.uint8)


@contextmanager
def _opened(source: Path | bytes | np.ndarray | Image.Image) -> Iterator[Image.Image]:
    """An image that is not decoded yet; whatever goes wrong while it is decoded is a BadImage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with _open(source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BadImage(f"more than {MAX_PIXELS // 1_000_000} million pixels")
                if min(image.size) < MIN_SIDE:
                    raise BadImage(f"under {MIN_SIDE} pixels wide or high")
                yield image
        except BadImage:
            raise
        except Image.DecompressionBombError as error:
            raise BadImage(f"more than {MAX_PIXELS // 1_000_000} million pixels") from error
        except FileNotFoundError as error:
            raise BadImage("no such file") from error
        except UnidentifiedImageError as error:
            raise BadImage("no image, or of a kind that is not known") from error
        except _DAMAGED as error:
            raise BadImage("broken image") from error


def _open(source: Path | bytes | np.ndarray | Image.Image) -> Image.Image:
    if isinstance(source, np.ndarray):
        return Image.fromarray(source)
    if isinstance(source, Image.Image):
        return source.copy()  # it stays open, and as large as it is
    if not isinstance(source, (str, Path, bytes)):
        raise BadImage(f"no image: expected a file, its bytes, a PIL image or pixels, got {type(source).__name__}")
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats())


def _scaled(
    plain: Image.Image, shape: tuple[int, int], frame: Frame, resample: Image.Resampling, beside: Any
) -> Image.Image:
    """An image whose original has `shape`, placed as `frame.window` says; `beside` is the colour next to it."""
    square = (frame.size, frame.size)
    if plain.size == square:
        return plain
    if frame.fit == "square":
        return ImageOps.fit(plain, square, resample)
    inner = frame.inner(shape)
    canvas = Image.new(plain.mode, square, beside)
    canvas.paste(plain.resize(inner, resample), tuple((frame.size - side) // 2 for side in inner))
    return canvas


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Any mode of 8 bits a channel to L or RGB, on white where it is transparent."""
    if _may_be_clear(image):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def sheet(images: np.ndarray, columns: int, captions: Sequence[str] = (), scale: int | None = None) -> Image.Image:
    """Images uint8 [N, H, W, C] in rows, each with a caption under it when there are captions."""
    count, height, width = images.shape[:3]
    scale = scale or max(1, 64 // max(height, width))
    tall, wide = height * scale + (_ROW if captions else 0) + 2, width * scale + 2
    canvas = Image.new("RGB", (columns * wide, -(-count // columns) * tall), "white")
    pen = ImageDraw.Draw(canvas)
    for number, pixels in enumerate(images):
        x, y = number % columns * wide, number // columns * tall
        picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        canvas.paste(
            picture.convert("RGB").resize((width * scale, height * scale), Image.Resampling.NEAREST), (x + 1, y + 1)
        )
        if captions:
            pen.text((x + 2, y + height * scale + 1), captions[number][: wide // 6], fill="black")
    return canvas


def as_input(images: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C] to float32 [N, C, H, W] in 0 .. 1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / np.float32(255)


def as_pixels(images: np.ndarray) -> np.ndarray:
    """float [N, H, W, C] in 0 .. 1 to uint8."""
    return (images.clip(0, 1) * 255).round().astype(np.uint8)


def overlay(images: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Images uint8 [N, H, W, C] in grey with `heat` [N, h, w] in 0 .. 1 laid over in red; uint8 [N, H, W, 3]."""
    out = []
    for pixels, map_ in zip(images, heat):
        grey = pixels.mean(axis=2, keepdims=True).repeat(3, axis=2)
        scaled = Image.fromarray((255 * map_).astype(np.uint8)).resize(pixels.shape[1::-1], Image.Resampling.BICUBIC)
        share = 0.7 * np.asarray(scaled)[:, :, None] / 255
        out.append((grey * (1 - share) + np.array([255, 0, 0]) * share).astype(np.uint8))
    return np.stack(out)


def outlined(pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """An image uint8 [H, W, C] with boxes [N, 4] (x1, y1, x2, y2) drawn on it in red; uint8 [H, W, 3]."""
    picture = Image.fromarray(np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3))))
    pen = ImageDraw.Draw(picture)
    for x1, y1, x2, y2 in boxes.tolist():
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=(255, 0, 0))
    return np.asarray(picture)


def save(image: Image.Image, path: Path) -> Path:
    """Write a PNG in one step, its folder made if need be."""
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    write_bytes(path, encoded.getvalue())
    return path
