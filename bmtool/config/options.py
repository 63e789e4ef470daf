"""What a user may ask of a predictor beyond its input: the flags of `predict` and `translate`, and the fields of a request.

A field that is marked `LOCAL` names a file of the user's and is no field of a request; one that is marked by `times` is dear.
Nothing heavy is imported here.
"""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

LOCAL: dict[str, Any] = {"local": True}


def times(factor: int) -> dict[str, Any]:
    """Marks a field that makes an input so many times as dear: a server counts that before it takes a request."""
    return {"times": factor}


class Options(BaseModel):
    """The options of a predictor that has none; a task's own are a subclass in its `config.py`.

    `pictures` are what a model can draw for people: name of the flag -> help.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    pictures: ClassVar[dict[str, str]] = {}


class Top(Options):
    """Of what gives classes."""

    top: int = Field(5, ge=1, le=1000, description="So many of the likeliest answers.")


class NBest(Options):
    """Of what answers from a text."""

    n_best: int = Field(1, ge=1, le=20, description="So many of the likeliest answers.")
