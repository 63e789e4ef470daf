"""What reads typed letters: lines of pinyin become lattices. `read` is the way in."""

from bmtool.chinese.syllables import FUZZY
from bmtool.tasks.pinyin2hanzi.typed.parts import Part, read

__all__ = ["FUZZY", "Part", "read"]
