"""What questions are asked of: a text beside them, or documents in which passages are looked for."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bmtool.base.console import Console
from bmtool.commands.loading import Loaded
from bmtool.data.tally import Tally, passed_over
from bmtool.errors import ConfigError, DataError, TooLong
from bmtool.predict.inputs import Named, named, of_context
from bmtool.text.retrieval.index import Embed, How, Index
from bmtool.text.retrieval.passages import SIZE, Passage, read
from bmtool.text.retrieval.reading import PASSAGES, FromDocuments

SEARCHES = ("hybrid", "words", "vectors")
EMBEDDED = 5_000  # passages whose vectors are computed; more are found by words
LONGEST = 1 << 20  # characters of a text
READ = PASSAGES * SIZE  # characters that a question to documents is asked of


class Of(NamedTuple):
    """`context` is a file of text, `documents` a file or folder of them; of documents so many `passages` are read, found by `search`.

    Where answers are `is_public`, their sources are named from the folder on, without where it lies.
    """

    context: str | None = None
    documents: str | None = None
    search: str | None = None
    passages: int | None = None
    is_public: bool = False


NOTHING = Of()


def require_fit(of: Of) -> None:
    """ConfigError for what does not go together."""
    if of.context is not None and of.documents is not None:
        raise ConfigError("--context names one text, --documents many: leave one of them out")
    if of.search is not None and of.search not in SEARCHES:
        raise ConfigError(f"--search: one of {', '.join(SEARCHES)}, got {of.search!r}")
    if of.documents is None and (of.search is not None or of.passages is not None):
        raise ConfigError(f"--{'search' if of.search is not None else 'passages'} is for --documents: add it")


def parted(loaded: Loaded, options: dict[str, Any], of: Of) -> tuple[dict[str, Any], Of]:
    """Of any model but those that are asked questions, `--context` is an option of its own, or none."""
    if of.context is None or loaded.entry.gives == "answer":
        return options, of
    return options | {"context": of.context}, of._replace(context=None)


def inputs(loaded: Loaded, given: Sequence[str], of: Of, ignore: Callable[[str, str], None]) -> Iterator[Named]:
    """What is asked. With documents the predictor becomes one of questions alone. ConfigError for a model that is asked none."""
    if of == NOTHING:
        return named(loaded.entry.takes, given, ignore, _columns_of(loaded))
    if of.documents is None:
        require_asked(loaded)
        return of_context(given, _text(str(of.context)))
    loaded.predictor = from_documents(loaded, of)
    return named("text", given, ignore)


def require_asked(loaded: Loaded) -> None:
    """ConfigError for a model that is asked no questions."""
    if loaded.entry.gives != "answer":
        raise ConfigError(f"--documents: models of {loaded.task} are asked no questions of a text")


def from_documents(loaded: Loaded, of: Of) -> FromDocuments:
    """A predictor of questions that are asked of the documents. ConfigError for a model that is asked none."""
    require_asked(loaded)
    index = opened(loaded.predictor, of)
    return FromDocuments(loaded.predictor, index, how=how(of), passages=of.passages or PASSAGES)


def _columns_of(loaded: Loaded) -> Mapping[str, str] | None:
    """Which columns of a table hold the texts of a model on labelled text; None of any other."""
    if (loaded.entry.takes, loaded.entry.kit) != ("text", "text.labelled"):
        return None
    return {name: loaded.predictor.named.get(name, name) for name in loaded.predictor.columns}


def how(of: Of) -> How:
    return of.search or "hybrid"  # type: ignore[return-value]


def _text(path: str) -> str:
    """DataError for a file that is no text."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start}): convert it") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error} (--context names a file)") from error
    if not text.strip():
        raise DataError(f"{path} holds no text")
    if len(text) > LONGEST:
        raise DataError(f"{path} has more than {LONGEST:,} characters: look for passages in it with --documents {path}")
    return text


def opened(predictor: Any, of: Of) -> Index:
    """The index of documents. What of them is passed over is counted and said, and whether vectors are compared."""
    console, tally = Console(), Tally()
    passages = _named(read(str(of.documents), tally), of)
    if told := passed_over(tally.ignored, tally.examples):
        console.say(told)
    embed = embedder(predictor) if of.search != "words" and hasattr(predictor, "embed") else None
    if embed is not None and len(passages) > EMBEDDED:
        if of.search is not None:
            raise ConfigError(
                f"--search {of.search}: {len(passages):,} passages are more than {EMBEDDED:,}: use --search words"
            )
        console.warn(
            f"{len(passages):,} passages are more than {EMBEDDED:,}: they are found by words alone, without vectors"
        )
        embed = None
    if embed is None and of.search not in (None, "words"):
        raise ConfigError(f"--search {of.search}: the model makes no vectors of texts: use --search words")
    console.say(f"{of.documents}: {len(passages):,} passages, found by {'words and vectors' if embed else 'words'}")
    return Index(passages, embed)


def _named(passages: list[Passage], of: Of) -> list[Passage]:
    """With the names of their files as answers are to show them."""
    if not of.is_public:
        return passages
    above = Path(str(of.documents)).absolute().parent
    return [one._replace(file=str(Path(one.file).absolute().relative_to(above))) for one in passages]


def embedder(predictor: Any) -> Embed:
    """Texts to vectors by a model; of a text that is longer than it reads at once the mean over its parts."""

    def embed(texts: Sequence[str]) -> np.ndarray:
        parts = [(number, part) for number, text in enumerate(texts) for part in _parts(predictor, text)]
        owner = np.array([number for number, _ in parts])
        weight = np.array([len(part.tokens) for _, part in parts], np.float64)
        total = np.zeros((len(texts), *(found := predictor.embed([part for _, part in parts])).shape[1:]))
        np.add.at(total, owner, found * weight[:, None])
        return total / np.bincount(owner, weight)[:, None]

    return embed


def _parts(predictor: Any, text: str) -> list[Any]:
    try:
        return [predictor.read_to_embed(text)]
    except TooLong:
        half = len(text) // 2
        return [*_parts(predictor, text[:half]), *_parts(predictor, text[half:])]
