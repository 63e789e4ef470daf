"""Prepared tables as people look at them: a few lines for the console, and a page (Markdown) with a histogram of each column (PNG)."""

from collections.abc import Iterator
from pathlib import Path

from bmtool.base.files import write_text
from bmtool.base.markdown import line
from bmtool.base.units import few, shortened
from bmtool.data.prepared import page_title
from bmtool.data.splitting import SPLITS
from bmtool.data.tally import passed_over
from bmtool.sources import parts
from bmtool.tables.columns import Column, Schema
from bmtool.tables.table import Table

SHOWN = 5  # names in a line
PANELS = 24  # of the picture


def lines(manifest: dict) -> Iterator[str]:
    """What was read, kept and dropped and why, what was guessed, and what to look at."""
    settings, noted = manifest["settings"], manifest.get("noted", {})  # tables of 0.4 have no counts
    yield f"{settings['source']}: {manifest['read']:,} rows read, {manifest['kept']:,} kept, target {settings['target']!r}"
    if told := parts.told(manifest.get("brought", {})):
        yield told
    ignored = manifest.get("ignored", {})
    if told := passed_over(ignored, manifest["examples"]):
        yield told
    for reason, examples in manifest["examples"].items():
        if reason in ignored:
            continue
        if reason in manifest["dropped"]:
            yield f"dropped {manifest['dropped'][reason]:,} x {reason}  e.g. {examples[0]}"
        else:
            count = f"{noted[reason]:,} x " if reason in noted else ""
            yield f"taken as missing: {count}{reason}  e.g. {examples[0]}"
    for kind, names in manifest["guessed"].items():
        columns = "column" if len(names) == 1 else "columns"
        yield f"{len(names)} {columns} guessed to be {kind}: {few(names, SHOWN)}"
    for warning in manifest["warnings"]:
        yield f"warning: {warning}"


def write(directory: Path, manifest: dict) -> Path:
    """Write `report/report.md` and its picture into a prepared directory; returns the page's path."""
    from bmtool.tables import plots

    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    table = Table(directory, "train")
    plots.columns(table.values, table.schema.columns[:PANELS], folder / "columns.png")
    page = folder / "report.md"
    write_text(page, "\n".join(_page(directory.name, manifest, table.schema)) + "\n")
    return page


def _page(name: str, manifest: dict, schema: Schema) -> Iterator[str]:
    yield from page_title(name, manifest)
    yield from (f"- {said}" for said in lines(manifest))
    yield from ("", line(["split", "rows", *schema.labels]), "|---|--:|" + "--:|" * len(schema.labels))
    for split in SPLITS:
        held = manifest["splits"][split]
        cells = [split, f"{held['examples']:,}", *(f"{count:,}" for count in held.get("classes", []))]
        yield line(cells)
    yield from ("", "## Columns of the training rows", "", "| column | holds | missing | values |", "|---|---|--:|---|")
    yield from (line(_cells(column)) for column in schema.columns)
    for reason, examples in manifest["examples"].items():
        yield from ("", f"## {reason}", "")
        yield from (f"- {shown}" for shown in examples)
    shown = min(PANELS, len(schema.columns))
    yield from ("", f"## {shown} of {len(schema.columns)} columns as histograms", "", "![columns](columns.png)")


def _cells(column: Column) -> tuple[str, str, str, str]:
    missing = ", ".join(f"{count:,} x {token or 'nothing'!r}" for token, count in column.missing.items()) or "0"
    if column.kind == "number":
        return column.name, "number", missing, f"{column.low:g} to {column.high:g}, median {column.median:g}"
    shown = ", ".join(f"{shortened(name)} {count:,}" for name, count in zip(column.categories[:SHOWN], column.counts))
    more = len(column.categories) - SHOWN
    return column.name, _kind(column), missing, shown + (f" and {more:,} more" if more > 0 else "")


def _kind(column: Column) -> str:
    if column.kind == "list":
        what = "words" if column.words else f"ids of {column.of}" if column.of else "ids"
        return f"list of {what}, {column.length} read"
    return f"category, hashed to {column.buckets:,}" if column.buckets else "category"
