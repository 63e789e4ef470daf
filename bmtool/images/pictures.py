"""One image file to pixels, and pixels to sheets that people look at. Needs Pillow and numpy only."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps, UnidentifiedImageError

from bmtool.errors import BadInput

MAX_PIXELS = 64_000_000
MIN_SIDE = 4
_DEEP = ("I;16", "I;16B", "I;16L", "I")  # grey with more than 8 bits a pixel
_ROW = 14  # pixels of a caption


class BadImage(BadInput):
    """Why an image cannot be used, in a few words that are the same for every such image."""


def read(raw: Any, size: int, channels: int) -> np.ndarray:
    """uint8 [size, size, channels] of a file, of its bytes, or of pixels uint8 [H, W] or [H, W, C]; BadImage when it is no image."""
    if isinstance(raw, Path | bytes):
        return decode(raw, size, channels)
    if raw.shape == (size, size, channels):
        return raw
    return fit(Image.fromarray(raw.squeeze(-1) if raw.shape[-1] == 1 else raw), size, channels)


def decode(source: Path | bytes, size: int, channels: int) -> np.ndarray:
    """The middle square of an image, scaled to uint8 [size, size, channels] (1: grey, 3: RGB); BadImage when it cannot be read.

    EXIF rotation is undone, transparency becomes white, 16 bits become 8. The size is known before a pixel is decoded, so a
    small file that would unfold to a huge picture costs nothing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BadImage(f"more than {MAX_PIXELS // 1_000_000} million pixels")
                if min(image.size) < MIN_SIDE:
                    raise BadImage(f"under {MIN_SIDE} pixels wide or high")
                image.draft("RGB", (size, size))  # JPEG: decoded at the smallest scale that is large enough
                return fit(ImageOps.exif_transpose(image), size, channels)
        except BadImage:
            raise
        except Image.DecompressionBombError as error:
            raise BadImage(f"more than {MAX_PIXELS // 1_000_000} million pixels") from error
        except FileNotFoundError as error:
            raise BadImage("no such file") from error
        except UnidentifiedImageError as error:
            raise BadImage("no image, or of a kind that is not known") from error
        except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError, OverflowError) as error:
            raise BadImage("broken image") from error  # Pillow raises all of these on damaged files


def fit(image: Image.Image, size: int, channels: int) -> np.ndarray:
    """The middle square of an image, scaled to uint8 [size, size, channels]."""
    plain = flatten(image, "L" if channels == 1 else "RGB")
    if plain.size != (size, size):
        plain = ImageOps.fit(plain, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(plain, np.uint8).reshape(size, size, channels)


def flatten(image: Image.Image, mode: str) -> Image.Image:
    """Any mode to L or RGB, on white where it is transparent."""
    if image.mode in _DEEP:
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray((deep >> 8 if deep.max(initial=0) > 255 else deep).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA"):
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


def save(image: Image.Image, path: Path) -> Path:
    """Write a PNG, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "PNG")
    return path
