"""Prepared data as people look at it: a few lines for the console, and a page (Markdown) with histograms (PNG)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from bmtool.base.files import write_text
from bmtool.base.units import few
from bmtool.data.prepared import page_title
from bmtool.sources import parts
from bmtool.text.records import NO_COLUMN

HINTS = {
    "not UTF-8": " (if it is GBK, name the source as {path: ..., encoding: gb18030})",
    "NUL byte": " (UTF-16 is not read: convert it with `iconv -f UTF-16 -t UTF-8`)",
}
OTHER_LETTERS = " (for a task that learns from other letters: data.clean.letters: hanzi, latin or any)"
KEY = "data.columns"
COLUMNS = f" (columns that are called otherwise are named in {KEY}: {{text: review}})"
LISTED = 20  # sources that the console names one by one


def hint(reason: str) -> str:
    """What to do when much or all is dropped for this reason."""
    if reason.startswith(NO_COLUMN) and KEY not in reason:
        return COLUMNS
    return OTHER_LETTERS if reason.endswith((" hanzi", " letters", " Latin letters")) else HINTS.get(reason, "")


def write(directory: Path, manifest: dict) -> Path:
    """Write `report/report.md` and its pictures into a prepared directory; returns the page's path."""
    folder = directory / "report"
    folder.mkdir(exist_ok=True)
    figures = _figures(manifest)
    for name, figure in figures.items():
        _draw(figure, folder / f"{name}.png")
    page = folder / "report.md"
    write_text(page, "\n".join(_page(directory.name, manifest, figures)) + "\n")
    return page


def lines(manifest: dict) -> Iterator[str]:
    """What was read, kept and dropped and why, in short."""
    sources = manifest["sources"]
    largest = sorted(sources, key=lambda name: -sources[name]["read"])[:LISTED]
    for name in (name for name in sources if name in largest):
        source = sources[name]
        gone = sum(source["dropped"].values())
        yield f"{name}: {source['read']:,} lines read, {source['kept']:,} sentences kept, {gone:,} dropped"
    brought = Counter(source["split"] for source in sources.values() if "split" in source)
    if told := parts.told(brought):
        yield told
    if len(sources) > LISTED:
        yield f"... and {len(sources) - LISTED} smaller sources: {sum(s['read'] for s in sources.values()):,} lines in all"
    for place, names in manifest.get("passed_over", {}).items():
        yield f"passed over {len(names):,} x {place}  e.g. {names[0]}"
    read = sum(source["read"] for source in sources.values())
    for reason, count in _total(manifest, "dropped").most_common():
        much = hint(reason) if reason in HINTS or 2 * count > read else ""
        yield f"dropped {count:,} x {reason}{much}" + "".join(
            f"  e.g. {shown}" for shown in _examples(manifest, reason)[:1]
        )
    for note, count in _total(manifest, "flagged").most_common():
        yield f"kept {count:,} x {note}" + "".join(f"  e.g. {shown}" for shown in _examples(manifest, note)[:1])


def _total(manifest: dict, what: str) -> Counter:
    return sum((Counter(source[what]) for source in manifest["sources"].values()), Counter())


def _examples(manifest: dict, reason: str) -> list[str]:
    """Examples of a reason, from all sources in turn."""
    listed = [source["examples"].get(reason, []) for source in manifest["sources"].values()]
    longest = max(map(len, listed), default=0)
    return [examples[at] for at in range(longest) for examples in listed if at < len(examples)]


# --- the page ---


def _page(name: str, manifest: dict, figures: dict[str, dict]) -> Iterator[str]:
    yield from _summary(name, manifest)
    yield from _table("What was dropped", "reason", _total(manifest, "dropped"))
    yield from _table("What was kept and marked", "note", _total(manifest, "flagged"))
    yield from _table("Lines that cleaning changed", "step", _total(manifest, "changed"))
    yield from _vocabulary(manifest)
    yield from ("", "## Figures", "")
    yield from (f"![{figure['title']}]({name}.png)" for name, figure in figures.items())
    yield from _sources(manifest)
    yield from ("", "## Examples", "")
    for reason in [key for what in ("dropped", "flagged", "changed") for key in _total(manifest, what)]:
        yield from (f"**{reason}**", "")
        yield from (f"- `{shown.replace('`', chr(39))}`" for shown in _examples(manifest, reason)[:10])
        yield ""


def _summary(name: str, manifest: dict) -> Iterator[str]:
    sources, splits = manifest["sources"].values(), manifest["splits"]
    yield from page_title(name, manifest)
    yield from ("| split | examples | tokens |", "|---|--:|--:|")
    yield from (f"| {split} | {counts['examples']:,} | {counts['tokens']:,} |" for split, counts in splits.items())
    read, kept, characters = (sum(source[key] for source in sources) for key in ("read", "kept", "characters"))
    seconds = manifest["seconds"]
    yield from ("", f"{read:,} lines ({characters:,} characters) read, {kept:,} sentences kept, in {seconds:.0f} s.")
    if manifest["named_twice"]:
        yield from ("", f"Named twice, read once: {', '.join(manifest['named_twice'])}.")
    for place, names in manifest.get("passed_over", {}).items():
        yield from ("", f"Passed over, {place}: {len(names):,} ({few(names, LISTED)}).")


def _sources(manifest: dict) -> Iterator[str]:
    yield from ("", "## Sources", "")
    yield "| source | domain | weight | lines | kept | dropped | train | valid | test | seconds |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    for title, source in manifest["sources"].items():
        of = (source["examples_of_split"].get(split, 0) for split in manifest["splits"])
        numbers = [source["read"], source["kept"], sum(source["dropped"].values()), *of]
        cells = " | ".join(f"{number:,}" for number in numbers)
        yield f"| {title} | {source['domain']} | {source['weight']:g} | {cells} | {source['seconds']:.1f} |"


def _table(title: str, heading: str, counts: Counter) -> Iterator[str]:
    if counts:
        yield from ("", f"## {title}", "", f"| {heading} | count |", "|---|--:|")
        yield from (f"| {name} | {count:,} |" for name, count in counts.most_common())


def _vocabulary(manifest: dict) -> Iterator[str]:
    facts = manifest.get("vocabulary", {})
    if not facts:
        return
    yield from (
        "",
        "## Vocabulary",
        "",
        *(f"- {key}: {value:,}" for key, value in facts.items() if isinstance(value, int)),
    )
    for split, seen in facts.get("coverage", {}).items():
        if seen["hanzi"]:
            yield f"- {split}: {seen['covered'] / seen['hanzi']:.4%} of {seen['hanzi']:,} hanzi are candidates of their syllable"


# --- the pictures ---


def _figures(manifest: dict) -> dict[str, dict]:
    sizes = {int(size): count for size, count in manifest["lengths"].items()}
    domains: Counter = Counter()
    for source in manifest["sources"].values():
        domains[source["domain"]] += sum(source["examples_of_split"].values())
    top = domains.most_common(30)
    return {
        "lengths": {
            "title": "Length of the training examples", "xlabel": "tokens", "ylabel": "examples", "kind": "bars",
            "x": sorted(sizes), "y": [sizes[size] for size in sorted(sizes)],
        },
        "domains": {
            "title": "Examples of a domain" + (f" (the {len(top)} largest of {len(domains)})" if len(domains) > len(top) else ""),
            "xlabel": "examples", "ylabel": "", "kind": "names", "x": [name for name, _ in top], "y": [n for _, n in top],
        },
        **manifest.get("statistics", {}),
    }  # fmt: skip


def _draw(figure: dict, path: Path) -> None:
    from bmtool.base.drawing import plt, save

    names = figure["kind"] == "names"
    canvas, axes = plt.subplots(figsize=(7, max(2.5, 0.25 * len(figure["x"])) if names else 4), layout="constrained")
    if names:
        axes.barh(figure["x"][::-1], figure["y"][::-1])
    elif figure["kind"] == "bars":
        axes.bar(figure["x"], figure["y"], width=1.0)
    else:
        axes.plot(figure["x"], figure["y"], marker="o", markersize=3)
        axes.set_xscale("log")
        axes.set_yscale("log" if figure["kind"] == "loglog" else "linear")
    axes.set(title=figure["title"], xlabel=figure["xlabel"], ylabel=figure["ylabel"])
    axes.grid(alpha=0.3)
    save(canvas, path)
