"""Text to tokens and back, by a `tokenizer.json` of the `tokenizers` library: one that was learned here, or one of a checkpoint of others.

A token stands for bytes. So whatever is tokenised comes back letter by letter where a tokenizer keeps all (char, bpe, unigram), text can be
written while its last letter is still missing bytes, and letters are counted alike whatever the tokens are.
"""

import codecs
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.files import parse_json, read_json
from bmtool.errors import DataError
from bmtool.text.characters import WORD, Text, unit_kinds

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # work is shared among processes already

FILE, CONFIG, VOCABULARY = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
TEMPLATE = "chat_template.jinja"  # where newer checkpoints have what older ones have in tokenizer_config.json
AGAIN = "copy it again from where it came"
REPLACEMENT = "\ufffd"
_SURROGATE = re.compile("[\ud800-\udfff]")
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")


class Special(NamedTuple):
    """Numbers of the tokens that stand for no text, by what they are for; None for those that a tokenizer lacks."""

    pad: int | None
    unknown: int | None
    begin: int | None
    end: int | None
    mask: int | None


# role -> the keys of tokenizer_config.json that name it, and the usual names where none does
_ROLES = {
    "pad": (("pad_token",), ("[PAD]", "<pad>", "<|pad|>")),
    "unknown": (("unk_token",), ("[UNK]", "<unk>")),
    "begin": (("bos_token", "cls_token"), ("[CLS]", "<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>")),
    "end": (("eos_token", "sep_token"), ("[SEP]", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>")),
    "mask": (("mask_token",), ("[MASK]", "<mask>")),
}
NAMES = {role: names[0] for role, (_, names) in _ROLES.items()}  # of a tokenizer that is learned here


class Tokenizer:
    """One tokenizer, whoever learned it. Numbers of tokens are int64 [tokens], without special ones."""

    def __init__(self, text: str, config: dict[str, Any], origin: str):
        """`text` is a tokenizer.json, `config` what tokenizer_config.json says. DataError when it is none."""
        self.text, self.config, self.origin = text, config, origin
        self.inner = self.obeying()
        # "[CLS]" in a text is text
        self.inner.encode_special_tokens = True
        self._numbers = self.inner.get_vocab(with_added_tokens=True)
        self.size = max(self._numbers.values(), default=-1) + 1
        self._style = _style(parse_json(text, dict[str, Any], origin=origin, again=AGAIN))
        self.special = Special(*(self._role(role) for role in _ROLES))
        if self.special.begin is None and self.special.end is None:
            raise DataError(
                f"{origin}: no token begins or ends a text: name bos_token or eos_token in {CONFIG} beside it"
            )

    def _role(self, role: str) -> int | None:
        keys, names = _ROLES[role]
        given = map(self.named, keys)
        return next((self._numbers[name] for name in (*given, *names) if name in self._numbers), None)

    def named(self, key: str) -> str | None:
        """What tokenizer_config.json calls a special token, such as `bos_token`."""
        value = self.config.get(key)
        name = value.get("content") if isinstance(value, dict) else value
        return name if isinstance(name, str) else None

    def obeying(self) -> Any:
        """The library's own tokenizer, to which the name of a special token in a text is that token. DataError when it is none."""
        import tokenizers

        try:
            library = tokenizers.Tokenizer.from_str(self.text)
        except Exception as error:  # the library raises plain Exception
            raise DataError(
                f"{self.origin} is no tokenizer that can be read ({str(error).splitlines()[0][:120]}): {AGAIN}"
            ) from error
        library.no_truncation()
        library.no_padding()
        return library

    @property
    def begin(self) -> int:
        """What stands before every text; the one token that parts texts where there is one only."""
        return int(self.special.end if self.special.begin is None else self.special.begin)  # type: ignore[arg-type]

    @property
    def end(self) -> int:
        return int(self.special.begin if self.special.end is None else self.special.end)  # type: ignore[arg-type]

    @property
    def pad(self) -> int:
        return self.end if self.special.pad is None else self.special.pad

    @cached_property
    def sha256(self) -> str:
        """Of all that decides which tokens a text becomes."""
        return hashlib.sha256(json.dumps([self.files()[FILE].decode(), self.special]).encode()).hexdigest()

    def files(self) -> dict[str, bytes]:
        """What `open_tokenizer` reads again."""
        config = json.dumps(self.config, ensure_ascii=False, indent=1, sort_keys=True)
        return {FILE: self.text.encode(), CONFIG: config.encode()}

    def for_others(self, *, causal: bool) -> dict[str, bytes]:
        """Files that put what begins a text, and for a masked model what ends it, around it by themselves."""
        from tokenizers import Tokenizer as Library
        from tokenizers import processors

        held = Library.from_str(self.text)
        around = [self.begin] if causal else [self.begin, self.end]
        named = [(self.name(number), number) for number in dict.fromkeys(around)]
        begin, end = named[0][0], named[-1][0]
        held.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A" if causal else f"{begin} $A {end}",
            pair=f"{begin} $A $B" if causal else f"{begin} $A {end} $B:1 {end}:1", special_tokens=named,
        )  # fmt: skip
        config = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"} | self.config, ensure_ascii=False, indent=1)
        return {FILE: held.to_str().encode(), CONFIG: config.encode()}

    def name(self, number: int) -> str:
        return self.inner.id_to_token(number) or ""

    # --- there ---

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each text, int64."""
        if self._style == "char" and not any("\n" in text for text in texts):
            flat, ends = self.flat(texts)
            return np.split(flat, ends[:-1])
        return [np.array(found.ids, np.int64) for found in self._encodings(texts)]

    def flat(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(the tokens of all texts one after the other, where each ends). None of them holds a newline."""
        if self._style != "char":
            each = self.encode(texts)
            ends = np.cumsum([len(tokens) for tokens in each], dtype=np.int64)
            return np.concatenate([np.empty(0, np.int64), *each]), ends
        if not len(texts):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        text = Text([plain(text) for text in texts])
        tokens = self._by_code[text.codes]
        tokens[text.starts + text.lengths] = _BREAK
        tokens = _spelt(tokens, text.codes, self._by_byte)
        ends = np.flatnonzero(tokens == _BREAK) - np.arange(len(texts))
        return tokens[tokens != _BREAK].astype(np.int64), ends

    def spans(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """(tokens, from where to where in the text each stands, int64 [tokens, 2]). What is spelt in bytes shares its place."""
        found = self.inner.encode(plain(text), add_special_tokens=False)
        return np.array(found.ids, np.int64), np.array(found.offsets, np.int64).reshape(-1, 2)

    def _encodings(self, texts: Iterable[str]) -> list[Any]:
        return self.inner.encode_batch([plain(text) for text in texts], add_special_tokens=False)

    @cached_property
    def _by_code(self) -> np.ndarray:
        """Code point -> token, _SPELT where its bytes are spelt; int32 [1114112]."""
        table = np.full(0x110000, _SPELT, np.int32)
        held = {ord(name): number for name, number in self._numbers.items() if len(name) == 1}
        table[list(held)] = list(held.values())
        return table

    @cached_property
    def _by_byte(self) -> np.ndarray:
        return np.array([self._numbers[f"<0x{byte:02X}>"] for byte in range(256)], np.int32)

    # --- and back ---

    @cached_property
    def bytes(self) -> list[bytes]:
        """What each token stands for, b"" for special ones; what is unknown is one U+FFFD."""
        out, special = [b""] * self.size, set(self.special)
        inverse = _bytes_of_letters()
        for name, number in self._numbers.items():
            out[number] = b"" if number in special else _bytes(name, self._style, inverse)
        for number, added in self.inner.get_added_tokens_decoder().items():
            out[number] = b"" if added.special else added.content.encode()
        if self.special.unknown is not None:
            out[self.special.unknown] = REPLACEMENT.encode()
        return out

    @cached_property
    def characters(self) -> np.ndarray:
        """How many characters each token stands for, int64 [size]: of those that are spelt in bytes, the first byte counts."""
        return np.array([sum(byte & 0xC0 != 0x80 for byte in held) for held in self.bytes], np.int64)

    def decode(self, tokens: Iterable[int]) -> str:
        return b"".join(self.pieces(tokens)).decode("utf-8", "replace")

    def pieces(self, tokens: Iterable[int], before: int | None = None) -> Iterator[bytes]:
        """What each token adds to the text behind `before`."""
        for token in tokens:
            yield (b" " if self._is_apart(before, token) else b"") + self.bytes[token]
            before = token if self.bytes[token] else before

    def _is_apart(self, before: int | None, token: int) -> bool:
        """Pieces of words forget white space: it belongs between words that are written with it."""
        return self._style == "wordpiece" and before is not None and bool(self._closes[before] and self._opens[token])

    @cached_property
    def _opens(self) -> np.ndarray:
        out = np.zeros(self.size, bool)
        for name, number in self._numbers.items():
            out[number] = bool(self.bytes[number]) and not name.startswith("##") and unit_kinds()[ord(name[0])] == WORD
        return out

    @cached_property
    def _closes(self) -> np.ndarray:
        out = np.zeros(self.size, bool)
        for name, number in self._numbers.items():
            out[number] = bool(self.bytes[number]) and unit_kinds()[ord(name[-1])] == WORD
        return out


class Writer:
    """Tokens to text as they come: what is given out never changes again."""

    def __init__(self, tokenizer: Tokenizer, before: int | None = None):
        """`before` is the token that stands before the first."""
        self._tokenizer, self._before = tokenizer, before
        self._letters = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token: int) -> str:
        """The letters that are complete now."""
        (piece,) = self._tokenizer.pieces([token], self._before)
        self._before = token if piece else self._before
        return self._letters.decode(piece)

    def end(self) -> str:
        return self._letters.decode(b"", True)


def plain(text: str) -> str:
    """Halves of surrogate pairs, which no encoding has, become U+FFFD one by one, so that places in the text stay what they are."""
    return _SURROGATE.sub(REPLACEMENT, text)


_SPELT, _BREAK = -1, -2


def _spelt(tokens: np.ndarray, codes: np.ndarray, by_byte: np.ndarray) -> np.ndarray:
    """Tokens with the bytes of what has none in its place."""
    at = np.flatnonzero(tokens == _SPELT)
    if not len(at):
        return tokens
    spelt = [chr(code).encode() for code in codes[at].tolist()]
    lengths = np.array([len(letter) for letter in spelt])
    times = np.ones(len(tokens), np.int64)
    times[at] = lengths
    out = np.repeat(tokens, times)
    out[out == _SPELT] = by_byte[np.frombuffer(b"".join(spelt), np.uint8)]
    return out


def _style(held: dict[str, Any]) -> str:
    """How the names of tokens are to be read."""
    model, around = held["model"], json.dumps([held.get("pre_tokenizer"), held.get("decoder")])
    if model.get("type") == "WordPiece":
        return "wordpiece"
    if '"ByteLevel"' in around:
        return "byte-level"
    if '"Metaspace"' in around or "\\u2581" in around:
        return "metaspace"
    is_bare = not model.get("merges") and held.get("normalizer") is None and held.get("pre_tokenizer") is None
    return "char" if model.get("type") == "BPE" and model.get("byte_fallback") and is_bare else "plain"


def _bytes(name: str, style: str, inverse: dict[str, int]) -> bytes:
    if style == "byte-level":
        if all(letter in inverse for letter in name):
            return bytes(inverse[letter] for letter in name)
        return name.encode()
    if style == "wordpiece":
        return name.removeprefix("##").encode()
    if match := _BYTE.fullmatch(name):
        return bytes([int(match[1], 16)])
    return (name.replace("\u2581", " ") if style == "metaspace" else name).encode()


def _bytes_of_letters() -> dict[str, int]:
    """The letters that stand for bytes in byte-level tokens (Radford et al. 2019): printable ones for themselves."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


# --- where tokenizers lie ---


def open_tokenizer(folder: str | Path) -> Tokenizer:
    """Of prepared data, a run, or a checkpoint: `tokenizer.json`, or a BERT's `vocab.txt`. DataError when there is none."""
    place = Path(folder)
    place = place / "assets" if (place / "assets" / FILE).is_file() else place
    config = read_json(place / CONFIG, dict[str, Any], AGAIN) if (place / CONFIG).is_file() else {}
    if (place / TEMPLATE).is_file():
        config |= {"chat_template": _read(place / TEMPLATE)}
    if (place / FILE).is_file():
        return Tokenizer(_read(place / FILE), config, str(place / FILE))
    if (place / VOCABULARY).is_file():
        return Tokenizer(_from_words(_read(place / VOCABULARY), config), config, str(place / VOCABULARY))
    raise DataError(f"{folder} has no {FILE} or {VOCABULARY}: name a directory that holds a tokenizer")


def from_files(read: Any, origin: str) -> Tokenizer:
    """Of what `Tokenizer.files` gave; `read` gives the bytes of a name."""
    config = parse_json(bytes(read(CONFIG)), dict[str, Any], origin=origin, again=AGAIN)
    return Tokenizer(bytes(read(FILE)).decode(), config, origin)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8: {AGAIN}") from error


def _from_words(text: str, config: dict[str, Any]) -> str:
    """The tokenizer.json of a BERT's list of words, with the settings of its tokenizer_config.json."""
    from tokenizers import Tokenizer as Library
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    words = {word: number for number, word in enumerate(text.rstrip("\n").split("\n"))}
    held = Library(models.WordPiece(words, unk_token=str(config.get("unk_token", NAMES["unknown"]))))
    lower = bool(config.get("do_lower_case", True))
    held.normalizer = normalizers.BertNormalizer(
        lowercase=lower, handle_chinese_chars=bool(config.get("tokenize_chinese_chars", True)),
        strip_accents=config.get("strip_accents"),
    )  # fmt: skip
    held.pre_tokenizer, held.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    held.add_special_tokens([name for name in NAMES.values() if name in words])
    return held.to_str()
