"""Prepared labelled text as people look at it: a few lines for the console, and a page (Markdown)."""

from collections.abc import Iterator
from pathlib import Path

from bmtool.base.files import write_text
from bmtool.base.markdown import line
from bmtool.base.units import few
from bmtool.data.prepared import page_title
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import passed_over
from bmtool.sources import parts

SHOWN = 10  # classes in a line


def lines(manifest: dict) -> Iterator[str]:
    """What was read, kept and dropped and why, and what to look at."""
    yield f"{manifest['settings']['source']}: {manifest['read']:,} rows read, {manifest['kept']:,} kept"
    if told := parts.told(manifest["brought"]):
        yield told
    if told := passed_over(manifest["ignored"], manifest["examples"]):
        yield told
    for reason, examples in manifest["examples"].items():
        for counts, did in ((manifest["dropped"], "dropped"), (manifest["noted"], "kept")):
            if reason in counts:
                yield f"{did} {counts[reason]:,} x {reason}  e.g. {examples[0]}"
    if classes := manifest["splits"]["train"]["classes"]:
        yield f"to learn: {few([f'{name} {count:,}' for name, count in classes.items()], SHOWN)}"
    for warning in manifest["warnings"]:
        yield f"warning: {warning}"


def write(directory: Path, manifest: dict) -> Path:
    """Write `report/report.md` into a prepared directory; returns the page's path."""
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    page = folder / "report.md"
    write_text(page, "\n".join(_page(directory.name, manifest)) + "\n")
    return page


def _page(name: str, manifest: dict) -> Iterator[str]:
    yield from page_title(name, manifest)
    yield from (f"- {said}" for said in lines(manifest))
    splits = manifest["splits"]
    yield from ("", line(["split", "examples"]), "|---|--:|")
    yield from (line([split, f"{splits[split]['examples']:,}"]) for split in SPLITS)
    if names := list(dict.fromkeys(name for split in SPLITS for name in splits[split]["classes"])):
        yield from ("", line(["class", *SPLITS]), "|---|" + "--:|" * len(SPLITS))
        yield from (line([one, *(f"{splits[split]['classes'].get(one, 0):,}" for split in SPLITS)]) for one in names)
    for reason, examples in manifest["examples"].items():
        yield from ("", f"## {reason}", "")
        yield from (f"- {shown}" for shown in examples)
