"""Trunks: tokens to a vector each, by the kind of a `model` section. Shapes: B windows, T tokens, D width.

Each is a module with `features` (D). The encoder stands under the names of a language model, so that weights pass from one to the other.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bmtool.base.files import read_json
from bmtool.engine.task import TRAIN_AGAIN
from bmtool.errors import ConfigError
from bmtool.text.backbones import build, encoder, hub
from bmtool.text.labelled.trunks import small
from bmtool.text.tokenizer import Tokenizer

SHAPE = "config.json"  # among the assets: an encoder, as the Hugging Face format describes it


def fresh(model: Any, prepared: str, tokenizer: Tokenizer) -> nn.Module:
    """With the weights that the section names, or new ones."""
    if model.kind in small.KINDS:
        return small.build(model, tokenizer.size)
    given = hub.open_of_kind(Path(model.weights), "encoder") if model.weights else None
    shape = given.shape if given else build.shape_of(model, tokenizer.size)
    build.require_fit(model, prepared, tokenizer, shape)
    return build.build(shape, model, given, head=False)["backbone"]


def open_(model: Any, tokenizer: Tokenizer, assets: Path) -> nn.Module:
    """Of a run."""
    if model.kind in small.KINDS:
        return small.build(model, tokenizer.size)
    described = read_json(assets / SHAPE, dict[str, Any], TRAIN_AGAIN)
    return build.build(hub.shape_of(described, str(assets / SHAPE)), model, head=False)["backbone"]


def take_over(trunk: nn.Module, weights: Path) -> None:
    """Weights of a checkpoint of others. ConfigError for a trunk that has none."""
    if not isinstance(trunk, encoder.Encoder):
        raise ConfigError("model.weights is for model.kind: encoder")
    build.take_over({"backbone": trunk}, hub.open_of_kind(weights, "encoder"))


def read(
    trunk: nn.Module, token_BT: Tensor, keep_BT: Tensor, kind_BT: Tensor, added_BTD: Tensor | None = None
) -> Tensor:  # fmt: skip
    """[B, T, D]; what stands where `keep` is False means nothing. `added` joins the embeddings: the encoder and `rnn` take it."""
    if isinstance(trunk, encoder.Encoder):
        return trunk(token_BT, keep_BT[:, None, None, :], None, kind_BT, added_BTD)
    return trunk(token_BT, keep_BT, kind_BT) if added_BTD is None else trunk(token_BT, keep_BT, kind_BT, added_BTD)


def assets(trunk: nn.Module) -> Mapping[str, str | bytes]:
    """What a run needs to build it again."""
    if not isinstance(trunk, encoder.Encoder):
        return {}
    name, shape = hub.described(trunk.shape)
    return {SHAPE: json.dumps({"model_type": name} | shape)}
