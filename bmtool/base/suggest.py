"""What somebody may have meant."""

import difflib
from collections.abc import Iterable

LONGEST = 100  # characters of a word that somebody may have meant something by


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when something known is close to `word`, else an empty string."""
    if len(word) > LONGEST:
        return ""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
