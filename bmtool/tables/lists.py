"""Lists in the cells of tables: ids (a|b|c, or a JSON list), and the words of a text."""

import json
import re
from collections.abc import Sequence
from typing import Any

from bmtool.base.files import parse_json
from bmtool.errors import BadInput, DataError

BAR = "|"
LONGEST = 100_000  # characters of a list or a text
# A letter of a script without spaces (Han, Kana) by itself, or letters and digits together.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+")


def cell(value: Sequence[Any]) -> str:
    """A list out of JSON or Parquet as the text of a cell; BadInput for one of lists or objects."""
    return json.dumps(_parsed(value), ensure_ascii=False)


def ids(text: str) -> list[str]:
    """The ids of a cell, the newest last; BadInput for what is no list."""
    if len(text) > LONGEST:
        raise BadInput(f"a list of {len(text):,} characters: {LONGEST:,} at most")
    if not text.startswith("["):
        return [found for part in text.split(BAR) if (found := part.strip())]
    try:
        held = parse_json(text, list, origin="the cell", again="")
    except DataError as error:
        raise BadInput("a list that begins with [ and is no JSON") from error
    return _parsed(held)


def _parsed(held: Sequence[Any]) -> list[str]:
    if any(isinstance(item, (dict, list, bytes)) or item is None for item in held):
        raise BadInput("a list of lists, objects or nulls: a history holds texts or numbers")
    return [str(item).lower() if isinstance(item, bool) else str(item).strip() for item in held]


def words(text: str) -> list[str]:
    """The different words of a text in small letters, in their order."""
    return list(dict.fromkeys(_WORD.findall(text[:LONGEST].casefold())))
