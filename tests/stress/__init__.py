"""What tries to break bmtool: `make stress` does all of it, the suite a sample of each.

A module here has `attempts(sample, seed)`: everything there is to try, or `sample` of them drawn by `seed`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """One thing tried; `problem` is what went wrong, "" when nothing did."""

    name: str
    problem: str = ""
