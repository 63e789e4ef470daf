"""Prepared images as people look at them: a few lines for the console, and a page (Markdown) with a sheet of samples (PNG)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.base.files import write_text
from bmtool.images import pictures
from bmtool.images.prepare import SPLITS, Images

SHOWN_CLASSES, SHOWN_EACH = 20, 10


def lines(manifest: dict) -> Iterator[str]:
    """What was read, kept and dropped and why, in short."""
    settings = manifest["settings"]
    size = f"{settings['size']}x{settings['size']}, {'grey' if settings['channels'] == 1 else 'RGB'}"
    yield f"{settings['source']}: {manifest['read']:,} images read, {manifest['kept']:,} kept ({size}), {len(manifest['labels'])} classes"
    for reason, count in manifest["dropped"].items():
        yield f"dropped {count:,} x {reason}  e.g. {manifest['examples'][reason][0]}"
    counts = manifest["splits"]["train"]["classes"]
    if len(counts) > 1 and max(counts) > 3 * max(1, min(counts)):
        least, most = (manifest["labels"][counts.index(pick(counts))] for pick in (min, max))
        yield f"classes are uneven: {min(counts):,} of {least}, {max(counts):,} of {most} (balance: over, or loss.class_weights, may help)"


def write(directory: Path, manifest: dict) -> Path:
    """Write `report/report.md` and its picture into a prepared directory; returns the page's path."""
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    pictures.save(_sheet(directory, manifest), folder / "samples.png")
    page = folder / "report.md"
    write_text(page, "\n".join(_page(directory.name, manifest)) + "\n")
    return page


def _sheet(directory: Path, manifest: dict):
    """A row of training images for each class."""
    images = Images(directory, "train")
    chosen = []
    for number in range(min(SHOWN_CLASSES, len(manifest["labels"]))):
        held = np.flatnonzero(images.labels == number)[:SHOWN_EACH]
        chosen += [*held.tolist(), *[-1] * (SHOWN_EACH - len(held))]
    chosen = chosen or list(range(min(len(images), SHOWN_CLASSES * SHOWN_EACH)))
    pixels = images.pixels(np.maximum(chosen, 0))
    pixels[np.array(chosen) < 0] = 255
    return pictures.sheet(pixels, SHOWN_EACH)


def _page(name: str, manifest: dict) -> Iterator[str]:
    yield from (
        f"# {name}",
        "",
        f"Data hash `{manifest['data_hash'][:12]}`; everything in full in `manifest.json`.",
        "",
    )
    yield from (f"- {line}" for line in lines(manifest))
    yield from ("", "| class | " + " | ".join(SPLITS) + " |", "|---|" + "--:|" * len(SPLITS))
    counts = [manifest["splits"][split]["classes"] for split in SPLITS]
    for number, label in enumerate(manifest["labels"]):
        yield f"| {label} | " + " | ".join(f"{held[number]:,}" for held in counts) + " |"
    yield f"| all | {' | '.join(format(manifest['splits'][split]['examples'], ',') for split in SPLITS)} |"
    for reason, examples in manifest["examples"].items():
        yield from ("", f"## Dropped: {reason} ({manifest['dropped'][reason]:,})", "")
        yield from (f"- {shown}" for shown in examples)
    yield from ("", "## Training images, a row a class", "", "![samples](samples.png)")
