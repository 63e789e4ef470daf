"""What a language model is asked to answer from: the passages that were found, each with its number, and the question."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bmtool.errors import BadInput
from bmtool.text.retrieval.passages import Passage

_CHINESE = re.compile("[\u4e00-\u9fff]")


class Words(NamedTuple):
    asks: str
    question: str
    answer: str


CHINESE = Words("请只根据下面的资料回答问题；资料里没有答案，就说不知道。", "问题：", "回答：")
ENGLISH = Words(
    "Answer the question from these passages alone; if they do not hold the answer, say so.", "Question: ", "Answer:"
)


class Grounded(NamedTuple):
    """A prompt as text and as a model takes it, and the passages in it, with as much of the last as has room."""

    text: str
    read: Any
    passages: tuple[Passage, ...]


def prompt(question: str, passages: Sequence[Passage], *, chats: bool) -> str:
    """`chats`: as what a user says, rather than as a text that goes on with the answer."""
    words = CHINESE if _CHINESE.search(question) else ENGLISH
    held = "\n\n".join(f"[{number}] {passage.text}" for number, passage in enumerate(passages, 1))
    text = f"{words.asks}\n\n{held}\n\n{words.question}{question}"
    return text if chats else f"{text}\n{words.answer}"


def grounded(
    question: str, passages: Sequence[Passage], *, chats: bool, read: Callable[[str], Any], room: int
) -> Grounded:  # fmt: skip
    """The prompt with as many passages as fit into `room` tokens; `read` makes a prompt of a text, with its `tokens`.

    BadInput where there is no passage, or no room for a part of the first.
    """
    if not passages:
        raise BadInput("no passage has anything to do with it")
    held = list(passages)
    while held:
        text = prompt(question, held, chats=chats)
        if (found := _read(read, text)) is not None and len(found.tokens) <= room:
            return Grounded(text, found, tuple(held))
        last = held.pop()
        if not held and len(last.text) > 1:
            held.append(last._replace(text=last.text[: len(last.text) // 2]))
    raise BadInput(
        f"no room for a passage beside the question in the {room:,} tokens that the model reads before it answers"
    )


def _read(read: Callable[[str], Any], text: str) -> Any:
    """None for what is too long."""
    try:
        return read(text)
    except BadInput:
        return None
