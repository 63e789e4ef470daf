"""Backbones and heads from a `model` section, or from a checkpoint of others; and the loss of what they say."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as again

from bmtool.errors import DataError
from bmtool.text.backbones import decoder, encoder
from bmtool.text.backbones.config import DecoderModel, EncoderModel
from bmtool.text.backbones.hub import Checkpoint, Shape

# Scores that are held together: more are computed part by part, and once more when their gradient is.
SCORES = 1 << 26


def shape_of(model: EncoderModel | DecoderModel, vocabulary: int) -> Shape:
    """Of a network from scratch."""
    if isinstance(model, EncoderModel):
        return encoder.Shape(vocabulary, model.width, model.layers, model.heads, model.feedforward, model.context)
    return decoder.Shape(
        vocabulary, model.width, model.layers, model.heads, model.key_value_heads or model.heads, model.width // model.heads,
        model.feedforward, model.context, qkv_bias=model.qkv_bias, tied=model.tied, rope_base=model.rope_base,
    )  # fmt: skip


# of a `model` section and of a shape: what a checkpoint brings
KEYS = ("width", "layers", "heads", "feedforward", "key_value_heads", "qkv_bias", "tied", "rope_base")


def unlike(model: EncoderModel | DecoderModel, shape: Shape) -> list[tuple[str, Any, Any]]:
    """(key, what is set, what the shape has) of what a section sets to something else; what it leaves as it is says nothing."""
    fields, found = type(model).model_fields, []
    for key in KEYS:
        if key in fields and (given := getattr(model, key)) not in (fields[key].default, getattr(shape, key)):
            found.append((key, given, getattr(shape, key)))
    return found


def build(shape: Shape, model: EncoderModel | DecoderModel) -> dict[str, nn.Module]:
    """`backbone` and `head`, with the dropout and checkpointing of the section."""
    how = {"dropout": model.dropout, "checkpointing": model.checkpointing}
    if isinstance(shape, encoder.Shape):
        return {"backbone": encoder.Encoder(shape, **how), "head": encoder.MaskedHead(shape)}
    return {"backbone": decoder.Decoder(shape, **how), "head": decoder.CausalHead(shape)}


def take_over(modules: Mapping[str, nn.Module], checkpoint: Checkpoint) -> None:
    """The weights of a checkpoint. DataError when it is of another network, or lacks a part."""
    shapes = {part: {n: tuple(t.shape) for n, t in module.state_dict().items()} for part, module in modules.items()}
    for part, tensors in checkpoint.tensors(shapes).items():
        if shapes[part] and not tensors:
            raise DataError(f"{checkpoint.folder} holds no {part} of a language model: name a checkpoint that has one")
        modules[part].load_state_dict(tensors)


def table(backbone: nn.Module) -> Tensor:
    """The embeddings of all tokens [V, D], which heads use again."""
    embedding = backbone.embeddings.word_embeddings if isinstance(backbone, encoder.Encoder) else backbone.embed_tokens
    return embedding.weight  # type: ignore[return-value, union-attr]


def nats(head: nn.Module, x_ND: Tensor, table_VD: Tensor, target_N: Tensor) -> Tensor:
    """-log p of each target, float32 [N]; the scores [N, V] are never held as a whole where they are many."""

    def part(x: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(head(x, table_VD).float(), target, reduction="none")

    rows = max(1, SCORES // len(table_VD))
    if len(x_ND) <= rows:
        return part(x_ND, target_N)
    pairs = zip(x_ND.split(rows), target_N.split(rows))
    if not torch.is_grad_enabled():
        return torch.cat([part(*pair) for pair in pairs])
    return torch.cat([again(part, *pair, use_reentrant=False) for pair in pairs])


@torch.no_grad()
def likeliest(head: nn.Module, x_ND: Tensor, table_VD: Tensor) -> Tensor:
    """The token with the highest score, int64 [N]."""
    rows = max(1, SCORES // len(table_VD))
    return torch.cat([head(x, table_VD).argmax(dim=1) for x in x_ND.split(rows)])
