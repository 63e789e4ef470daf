"""Backbones and heads from a `model` section, or from a checkpoint of others; and the loss of what they say."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as again

from bmtool.errors import ConfigError, DataError
from bmtool.nn.distillation import soft_nats
from bmtool.text.backbones import decoder, encoder
from bmtool.text.backbones.config import DecoderModel, EncoderModel
from bmtool.text.backbones.hub import Checkpoint, Shape
from bmtool.text.tokenizer import CONFIG, FILE, VOCABULARY, Tokenizer, open_tokenizer

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


def require_fit(model: EncoderModel | DecoderModel, prepared: str, tokenizer: Tokenizer, shape: Shape) -> None:
    """ConfigError for a shape that a checkpoint does not have; DataError for the tokens of another model."""
    if model.context > shape.context:
        raise ConfigError(f"model.context: {model.weights} reads {shape.context:,} tokens, not {model.context:,}")
    folder = model.weights
    if folder is None:
        return
    if other := unlike(model, shape):
        key, given, found = other[0]
        raise ConfigError(
            f"model.{key}: {given}, and {folder} has {found}, which is used: leave it out, or model.weights"
        )
    with_tokenizer = any((Path(folder) / name).is_file() for name in (FILE, VOCABULARY))
    fits = tokenizer.sha256 == open_tokenizer(folder).sha256 if with_tokenizer else tokenizer.size == shape.vocabulary
    if not fits or tokenizer.size > shape.vocabulary:
        raise DataError(
            f"{prepared} has tokens of another model than {folder} ({tokenizer.size:,} tokens, {shape.vocabulary:,} "
            f"embeddings): prepare it with `--set data.tokenizer={folder}` ({CONFIG} beside it included)"
        )


def build(
    shape: Shape, model: EncoderModel | DecoderModel, given: Checkpoint | None = None, *, head: bool = True
) -> dict[str, nn.Module]:  # fmt: skip
    """`backbone` and, unless a task brings its own, `head`: with the dropout and checkpointing of the section, and the weights of a
    checkpoint if there is one.

    DataError when it is of another network, or lacks a part.
    """
    how = {"dropout": model.dropout, "checkpointing": model.checkpointing}
    with torch.device("meta") if given else nullcontext():
        if isinstance(shape, encoder.Shape):
            modules = {"backbone": encoder.Encoder(shape, **how), "head": encoder.MaskedHead(shape)}
        else:
            modules = {"backbone": decoder.Decoder(shape, **how), "head": decoder.CausalHead(shape)}
    if not head:
        del modules["head"]
    if given:
        take_over(modules, given)
    return modules


def take_over(modules: Mapping[str, nn.Module], checkpoint: Checkpoint) -> None:
    """The weights of a checkpoint in the place of those that are there. DataError as for `build`."""
    shapes = {part: {n: tuple(t.shape) for n, t in module.state_dict().items()} for part, module in modules.items()}
    for part, tensors in checkpoint.tensors(shapes).items():
        if shapes[part] and not tensors:
            raise DataError(f"{checkpoint.folder} holds no {part} of a language model: name a checkpoint that has one")
        # One after the other, each let go when it is copied: the weights are never in memory twice.
        copied = {name: _copied(tensors.pop(name)) for name in list(tensors)}
        modules[part].load_state_dict(copied, assign=True)


def _copied(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=torch.float32).copy_(tensor)


def table(backbone: nn.Module) -> Tensor:
    """The embeddings of all tokens [V, D], which heads use again."""
    embedding = backbone.embeddings.word_embeddings if isinstance(backbone, encoder.Encoder) else backbone.embed_tokens
    return embedding.weight  # type: ignore[return-value, union-attr]


class Place(NamedTuple):
    """What stands at the places [N, D] of which something is asked, and what makes scores [N, V] of it."""

    head: nn.Module
    x_ND: Tensor
    table_VD: Tensor

    def scores(self, x_ND: Tensor) -> Tensor:
        return self.head(x_ND, self.table_VD).float()


def nats(head: nn.Module, x_ND: Tensor, table_VD: Tensor, target_N: Tensor) -> Tensor:
    """-log p of each target, float32 [N]; the scores [N, V] are never held as a whole where they are many."""
    ours = Place(head, x_ND, table_VD)

    def part(x: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(ours.scores(x), target, reduction="none")

    return _by_parts(part, len(table_VD), x_ND, target_N)


def nats_taught(ours: Place, theirs: Place, target_N: Tensor, temperature: float) -> Tensor:
    """-log p of each target, and how far each answer is from that of a teacher, float32 [2, N]; scores as in `nats`."""

    def part(x: Tensor, y: Tensor, target: Tensor) -> Tensor:
        scores = ours.scores(x)
        hard = F.cross_entropy(scores, target, reduction="none")
        return torch.stack([hard, soft_nats(scores, theirs.scores(y), temperature)], dim=1)

    return _by_parts(part, len(ours.table_VD), ours.x_ND, theirs.x_ND, target_N).T


def _by_parts(part: Callable[..., Tensor], vocabulary: int, *rows: Tensor) -> Tensor:
    """What `part` makes of these rows; so many at once that their scores are not too many."""
    count = max(1, SCORES // vocabulary)
    if len(rows[0]) <= count:
        return part(*rows)
    pieces = zip(*(held.split(count) for held in rows))
    if not torch.is_grad_enabled():
        return torch.cat([part(*piece) for piece in pieces])
    return torch.cat([again(part, *piece, use_reentrant=False) for piece in pieces])


@torch.no_grad()
def likeliest(head: nn.Module, x_ND: Tensor, table_VD: Tensor) -> Tensor:
    """The token with the highest score, int64 [N]."""
    rows = max(1, SCORES // len(table_VD))
    return torch.cat([head(x, table_VD).argmax(dim=1) for x in x_ND.split(rows)])
