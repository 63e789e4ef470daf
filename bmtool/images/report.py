"""Prepared images as people look at them: a few lines for the console, and a page (Markdown) with a sheet of samples (PNG)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.base.files import write_text
from bmtool.base.markdown import line
from bmtool.data.prepared import page_title
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import passed_over
from bmtool.images import pictures
from bmtool.images.prepare import Images
from bmtool.images.targets import VOID
from bmtool.sources import parts

SHOWN_CLASSES, SHOWN_EACH = 20, 10
_TOLD = {
    "label": "{} classes",
    "boxes": "{} classes of boxes",
    "mask": "{} classes of pixels",
    "image": "each with another",
}


def lines(manifest: dict) -> Iterator[str]:
    """What was read, kept, dropped and why, changed and passed over, in short."""
    settings = manifest["settings"]
    size = f"{settings['size']}x{settings['size']}, {'grey' if settings['channels'] == 1 else 'RGB'}"
    told = _TOLD[manifest.get("target", "label")].format(len(manifest["labels"]))
    yield f"{settings['source']}: {manifest['read']:,} images read, {manifest['kept']:,} kept ({size}), {told}"
    if told := parts.told(manifest.get("brought", {})):
        yield told
    examples = manifest["examples"]
    for reason, count in manifest["dropped"].items():
        yield f"dropped {count:,} x {reason}  e.g. {examples[reason][0]}"
    for reason, count in manifest.get("noted", {}).items():
        yield f"noted {count:,} x {reason}  e.g. {examples[reason][0]}"
    if told := passed_over(manifest.get("ignored", {}), examples):
        yield told
    yield from (f"warning: {warning}" for warning in manifest.get("warnings", []))
    counts = manifest["splits"]["train"]["classes"]
    if manifest.get("target", "label") == "label" and len(counts) > 1 and max(counts) > 3 * max(1, min(counts)):
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
    """A row of training images for each class; without classes the first images, with other targets with what belongs to them."""
    images = Images(directory, "train")
    first = np.arange(min(len(images), 4 * SHOWN_EACH))
    if images.kind != "label":
        return pictures.sheet(_with_targets(images, first), SHOWN_EACH)
    if not manifest["labels"]:
        return pictures.sheet(images.pixels(first), SHOWN_EACH)
    chosen = []
    for number in range(min(SHOWN_CLASSES, len(manifest["labels"]))):
        held = np.flatnonzero(images.labels == number)[:SHOWN_EACH]
        chosen += [*held.tolist(), *[-1] * (SHOWN_EACH - len(held))]
    pixels = images.pixels(np.maximum(chosen, 0))
    pixels[np.array(chosen) < 0] = 255
    return pictures.sheet(pixels, SHOWN_EACH)


def _with_targets(images: Images, examples: np.ndarray) -> np.ndarray:
    """uint8 [N, H, W, C]: boxes drawn in, pixels of a class in red, a paired image on the right."""
    pixels, targets = images.pixels(examples), images.targets(examples)
    if images.kind == "boxes":
        return np.stack([pictures.outlined(image, target.boxes) for image, target in zip(pixels, targets)])
    if images.kind == "mask":
        return pictures.overlay(pixels, np.stack([(t.mask > 0) & (t.mask != VOID) for t in targets]))
    return np.concatenate([pixels, np.stack([target.image for target in targets])], axis=2)


def _page(name: str, manifest: dict) -> Iterator[str]:
    yield from page_title(name, manifest)
    yield from (f"- {said}" for said in lines(manifest))
    yield from ("", "| class | " + " | ".join(SPLITS) + " |", "|---|" + "--:|" * len(SPLITS))
    counts = [manifest["splits"][split]["classes"] for split in SPLITS]
    for number, label in enumerate(manifest["labels"]):
        yield line([label, *(f"{held[number]:,}" for held in counts)])
    yield f"| all | {' | '.join(format(manifest['splits'][split]['examples'], ',') for split in SPLITS)} |"
    for heading, counts in (("Dropped", "dropped"), ("Noted", "noted"), ("Ignored", "ignored")):
        for reason, count in manifest.get(counts, {}).items():
            yield from ("", f"## {heading}: {reason} ({count:,})", "")
            yield from (f"- {shown}" for shown in manifest["examples"][reason])
    yield from ("", f"## Training images{_shown(manifest)}", "", "![samples](samples.png)")


def _shown(manifest: dict) -> str:
    """How a heading goes on that stands over the sheet."""
    if manifest.get("target", "label") != "label":
        return ", and what belongs to them"
    return ", a row a class" if manifest["labels"] else ""
