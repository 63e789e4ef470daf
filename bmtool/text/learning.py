"""Learning a tokenizer from text: characters by themselves, or parts of words by one of three methods.

WordPiece as BERT has it (Devlin et al. 2019); byte-level byte pairs (Sennrich et al. 2016, Radford et al. 2019); unigrams (Kudo 2018). All
but WordPiece spell in bytes what they have no token for, so that nothing is unknown.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any
from unicodedata import category

import numpy as np

from bmtool.base.files import parse_json
from bmtool.chinese.hanzi import hanzi_mask
from bmtool.text.tokenizer import NAMES, Tokenizer, plain

SPECIALS = list(NAMES.values())
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
BATCH = 10_000  # texts that are counted together
# Words with the space before them, numbers, marks: what parts of words stay within.
WORDS = r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+"
# Of names that stand for something else: no text is read as one of them.
NEVER = -100.0
DIGITS = 6  # of scores, which a machine may round otherwise


def learn(texts: Iterable[str], *, kind: str, size: int) -> Tokenizer:
    """A tokenizer of `size` tokens at most, special ones and bytes among them."""
    held = KINDS[kind](map(plain, texts), size)
    held.add_special_tokens(SPECIALS)
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token", "bos_token", "eos_token")
    names = dict(zip(keys, [*SPECIALS, NAMES["begin"], NAMES["end"]]))
    return Tokenizer(
        held.to_str(), names | {"tokenizer_class": "PreTrainedTokenizerFast"}, "the tokenizer that was learned"
    )


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(texts, BATCH)):
        yield batch


def _commonest(batches: Iterable[list[str]], most: int) -> list[str]:
    """The commonest characters, so many at most; of those that are as common the lower code goes first."""
    counts = np.zeros(0x110000, np.int64)
    for batch in batches:
        codes = np.frombuffer("".join(batch).encode("utf-32-le"), np.uint32)
        seen, times = np.unique(codes, return_counts=True)
        counts[seen] += times
    order = np.argsort(-counts, kind="stable")[: max(0, most)]
    return [chr(code) for code in order.tolist() if counts[code]]


def _vocabulary(learned: Any) -> Any:
    """Of a tokenizer of the library: names with numbers, or with scores."""
    return parse_json(learned.to_str(), dict[str, Any], origin="what was learned", again="learn again")["model"][
        "vocab"
    ]


def _char(texts: Iterator[str], size: int) -> Any:
    """The commonest characters."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models

    names = [*SPECIALS, *BYTES, *_commonest(_batches(texts), size - len(SPECIALS) - len(BYTES))]
    held = Library(models.BPE(_numbered(names), [], unk_token=NAMES["unknown"], byte_fallback=True))
    held.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return held


def _numbered(names: list[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _wordpiece(texts: Iterator[str], size: int) -> Any:
    """The trainer numbers characters within words as it meets them, in no fixed order: it is given them all."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    batches = list(_batches(texts))
    letters = sorted(_commonest(batches, size * 4 // 5))
    inside = [f"##{letter}" for letter in letters if _continues(letter)]
    learning = Library(models.WordPiece(unk_token=NAMES["unknown"]))
    learning.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    learning.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[*SPECIALS, *inside], initial_alphabet=letters, limit_alphabet=len(letters), show_progress=False,
    )  # fmt: skip
    learning.train_from_iterator(batches, trainer)
    numbers = _vocabulary(learning)
    held = Library(models.WordPiece(_numbered(sorted(numbers, key=numbers.get)), unk_token=NAMES["unknown"]))
    held.normalizer, held.pre_tokenizer, held.decoder = (
        learning.normalizer, learning.pre_tokenizer, decoders.WordPiece(),
    )  # fmt: skip
    return held


def _continues(letter: str) -> bool:
    """Whether a word can go on with it: hanzi and marks are words of their own."""
    return not hanzi_mask(np.array([ord(letter)]))[0] and category(letter)[0] not in "PZC"


def _bpe(texts: Iterator[str], size: int) -> Any:
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, pre_tokenizers, trainers

    held = Library(models.BPE())
    held.pre_tokenizer, held.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    held.train_from_iterator(_batches(texts), trainer)
    return held


def _unigram(texts: Iterator[str], size: int) -> Any:
    from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
    from tokenizers import Tokenizer as Library

    split = pre_tokenizers.Split(Regex(WORDS), "isolated")
    learning = Library(models.Unigram())
    learning.pre_tokenizer = split
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=[*SPECIALS, *BYTES], unk_token=NAMES["unknown"], show_progress=False,
        initial_alphabet=[chr(code) for code in range(0x20, 0x7F)],
    )  # fmt: skip
    learning.train_from_iterator(_batches(texts), trainer)
    aside = {*SPECIALS, *BYTES}
    pieces = [(name, NEVER if name in aside else round(score, DIGITS)) for name, score in _vocabulary(learning)]
    held = Library(models.Unigram(pieces, SPECIALS.index(NAMES["unknown"]), byte_fallback=True))
    held.pre_tokenizer = split
    held.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return held


KINDS: dict[str, Callable[[Iterator[str], int], Any]] = {
    "char": _char, "wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram,
}  # fmt: skip
