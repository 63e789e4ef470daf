"""The turns of a dialogue, as records hold them: `{"role": "user", "content": "..."}`, one after the other."""

from typing import Any

from typing_extensions import TypedDict

from bmtool.errors import BadInput

# Bits of the field `turns` of prepared dialogues: the assistant says the token; a dialogue begins with it.
ANSWERS, BEGINS = 1, 2
SYSTEM, USER, ASSISTANT = ROLES = ("system", "user", "assistant")


class Turn(TypedDict):
    role: str
    content: str


def turn(role: str, content: str) -> Turn:
    return {"role": role, "content": content}


def read(value: Any) -> list[Turn]:
    """Turns, each of a known role and with something said. BadInput with the reason for anything else."""
    if not isinstance(value, list) or not value:
        raise BadInput("no list of turns")
    for one in value:
        if not isinstance(one, dict) or not all(isinstance(one.get(key), str) for key in ("role", "content")):
            raise BadInput("a turn without a role and a content that are text")
        if one["role"] not in ROLES:
            raise BadInput(f"a turn of a role that is none of {', '.join(ROLES)}")
        if not one["content"].strip():
            raise BadInput("a turn in which nothing is said")
    return [turn(one["role"], one["content"]) for one in value]


def to_learn(value: Any) -> list[Turn]:
    """Turns to learn from: user and assistant by turns, the assistant last, the system before both if at all. BadInput otherwise."""
    turns = read(value)
    spoken = [one["role"] for one in turns[turns[0]["role"] == SYSTEM :]]
    if SYSTEM in spoken:
        raise BadInput("the system speaks behind others")
    if spoken != [USER, ASSISTANT] * (len(spoken) // 2) + [USER] * (len(spoken) % 2) or not spoken:
        raise BadInput("user and assistant do not take turns")
    if spoken[-1] != ASSISTANT:
        raise BadInput("the last turn is not the assistant's")
    return turns


def to_answer(value: Any) -> list[Turn]:
    """Turns that the assistant is to answer. BadInput where it spoke last."""
    turns = read(value)
    if turns[-1]["role"] == ASSISTANT:
        raise BadInput("the last turn is the assistant's: there is nothing to answer")
    return turns
