"""What a hanzi is, and traditional characters."""

import sys

import numpy as np
import pytest

from bmtool.chinese import traditional
from bmtool.chinese.hanzi import gb2312, hanzi_mask, hanzi_runs, is_hanzi
from bmtool.errors import ConfigError


def test_a_hanzi_is_the_same_in_arrays_and_in_patterns():
    codes = np.arange(0x20000)
    assert hanzi_mask(codes).tolist() == [is_hanzi(chr(code)) for code in codes.tolist()]
    assert hanzi_runs("〇一㐀 a鿿，𠀀龥") == ["〇一㐀", "鿿", "龥"]
    assert len(gb2312()) == 6763 and all(map(is_hanzi, gb2312()))


def test_traditional_and_back():
    pytest.importorskip("opencc")
    assert traditional.to_traditional("汉语的头发和发展 abc") == "漢語的頭髮和發展 abc"
    assert traditional.to_simplified("漢語的頭髮和發展 abc") == "汉语的头发和发展 abc"


def test_a_missing_opencc_is_an_error_that_names_the_package(monkeypatch):
    traditional._opencc.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(ConfigError, match=r"pip install opencc$"):
        traditional.to_simplified("漢")
