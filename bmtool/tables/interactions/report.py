"""Prepared interactions as people look at them: a few lines for the console, and a page (Markdown) with the curve of popularity (PNG)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bmtool.base.files import write_text
from bmtool.base.markdown import line
from bmtool.data.prepared import page_title
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import passed_over
from bmtool.tables.interactions.store import Interactions

POPULAR = 20  # items in the page


def lines(manifest: dict) -> Iterator[str]:
    """What was read, kept and dropped and why, how it was split, and what to look at."""
    counts, ignored = manifest["counts"], manifest["ignored"]
    yield f"{manifest['settings']['source']}: {manifest['read']:,} rows read, {counts['interactions']:,.0f} interactions kept"
    yield (
        f"{counts['users']:,} users, {counts['items']:,} items; {counts['density']:.3%} of all pairs are there; "
        f"half the interactions are of {counts['items_of_half_the_interactions']:,} items"
    )
    yield f"seen once: {counts['users_seen_once']:,} users, {counts['items_seen_once']:,} items"
    yield f"split {manifest['rule']}"
    if manifest["times"]:
        tied = counts["share_of_ties_in_time"]
        yield f"times are {manifest['times']}; {tied:.1%} of the interactions have the time of another of the same user"
    if left := counts["left_out_by_core"]:
        yield f"left out by data.core {manifest['settings']['core']}: {left:,} interactions"
    if told := passed_over(ignored, manifest["examples"]):
        yield told
    for reason, examples in manifest["examples"].items():
        if reason not in ignored:
            how, count = (
                ("dropped", manifest["dropped"]) if reason in manifest["dropped"] else ("noted", manifest["noted"])
            )
            yield f"{how} {count[reason]:,} x {reason}  e.g. {examples[0]}"
    for warning in manifest["warnings"]:
        yield f"warning: {warning}"


def write(directory: Path, manifest: dict) -> Path:
    """Write `report/report.md` and its picture into a prepared directory; returns the page's path."""
    from bmtool.tables.interactions import plots

    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    held = Interactions(directory)
    taken = sum(held.split(split).popularity(len(held.items)) for split in SPLITS)
    plots.popularity(taken, folder / "popularity.png")
    page = folder / "report.md"
    write_text(page, "\n".join(_page(directory.name, manifest, held, taken)) + "\n")
    return page


def _page(name: str, manifest: dict, held: Interactions, taken: np.ndarray) -> Iterator[str]:
    yield from page_title(name, manifest)
    yield from (f"- {said}" for said in lines(manifest))
    yield from ("", line(["split", "interactions", "users", "users without training rows"]), "|---|--:|--:|--:|")
    for split in SPLITS:
        counts = manifest["counts"]
        new = counts.get(f"{split}_users_without_training_rows", 0)
        yield line([split, f"{manifest['splits'][split]['examples']:,}", f"{counts[f'{split}_users']:,}", f"{new:,}"])
    yield from ("", "## How often items were taken", "", "![popularity](popularity.png)", "")
    yield from (line(["item", "title", "interactions"]), "|---|---|--:|")
    for item in np.argsort(-taken, kind="stable")[:POPULAR].tolist():
        title = held.titles.at(item) if held.titles is not None else ""
        yield line([held.items[item], title, f"{taken[item]:,}"])
    for reason, examples in manifest["examples"].items():
        yield from ("", f"## {reason}", "")
        yield from (f"- {shown}" for shown in examples)
