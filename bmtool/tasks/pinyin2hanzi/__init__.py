"""Pinyin syllables to Chinese characters: the flagship task."""
