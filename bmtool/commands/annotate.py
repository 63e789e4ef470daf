"""`annotate`: Chinese text with its pinyin, a line in and a line out."""

from pathlib import Path

from bmtool.base.console import answer
from bmtool.chinese.annotate import STYLES
from bmtool.chinese.annotate import annotate as annotate_line
from bmtool.chinese.readings import labeller, load_dictionary
from bmtool.commands.lines import chunks
from bmtool.errors import ConfigError


def annotate(
    texts: list[str], *, input_file: str | None = None, style: str = "marks", readings: str | None = None
) -> None:
    """Print every line with its pinyin; `readings` is the user's own dictionary of readings."""
    if style not in STYLES:
        raise ConfigError(f"--style: expected {', '.join(STYLES)}, got {style!r}")
    reader = labeller(tuple(load_dictionary(Path(readings)).items()) if readings else ())
    for _, _, lines in chunks(texts, input_file):
        for line in lines:
            answer(annotate_line(reader, line, style))
