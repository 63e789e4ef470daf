"""BERT, under the names that the Hugging Face format gives its tensors. Shapes: B rows, T tokens, D width, V vocabulary.

Jacob Devlin, Ming-Wei Chang, Kenton Lee, Kristina Toutanova: BERT: Pre-training of Deep Bidirectional Transformers for Language
Understanding, NAACL 2019.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bmtool.nn.autocast import in_float32


@dataclass(frozen=True)
class Shape:
    """What config.json says of an encoder."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    feedforward: int
    context: int
    kinds: int = 2  # of texts, that a token is told to be of: the first, the second
    epsilon: float = 1e-12
    activation: str = "gelu"


ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "gelu_new": lambda x: F.gelu(x, approximate="tanh")}


class Embeddings(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.width)
        self.position_embeddings = nn.Embedding(shape.context, shape.width)
        self.token_type_embeddings = nn.Embedding(shape.kinds, shape.width)
        self.LayerNorm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, tokens_BT: Tensor, positions_BT: Tensor, kinds_BT: Tensor, added_BTD: Tensor | None = None
    ) -> Tensor:  # fmt: skip
        found = self.word_embeddings(tokens_BT) + self.token_type_embeddings(kinds_BT)
        found = found if added_BTD is None else found + added_BTD
        return self.dropout(self.LayerNorm(found + self.position_embeddings(positions_BT)))


class _Dense(nn.Module):
    """A linear map, then with what it is added to a norm."""

    def __init__(self, inside: int, shape: Shape, dropout: float):
        super().__init__()
        self.dense = nn.Linear(inside, shape.width)
        self.LayerNorm = nn.LayerNorm(shape.width, eps=shape.epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTE: Tensor, before_BTD: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x_BTE)) + before_BTD)


class _SelfAttention(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.heads = shape.heads
        self.query, self.key, self.value = (nn.Linear(shape.width, shape.width) for _ in range(3))

    def forward(self, x_BTD: Tensor, keep: Tensor | None) -> Tensor:
        query, key, value = (
            part(x_BTD).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        out = in_float32(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=keep), query, key, value)
        return out.transpose(1, 2).flatten(2)


class _Attention(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.self = _SelfAttention(shape)
        self.output = _Dense(shape.width, shape, dropout)

    def forward(self, x_BTD: Tensor, keep: Tensor | None) -> Tensor:
        return self.output(self.self(x_BTD, keep), x_BTD)


class _Intermediate(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.dense = nn.Linear(shape.width, shape.feedforward)
        self.activation = ACTIVATIONS[shape.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.activation(self.dense(x_BTD))


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.attention = _Attention(shape, dropout)
        self.intermediate = _Intermediate(shape)
        self.output = _Dense(shape.feedforward, shape, dropout)

    def forward(self, x_BTD: Tensor, keep: Tensor | None) -> Tensor:
        x_BTD = self.attention(x_BTD, keep)
        return self.output(self.intermediate(x_BTD), x_BTD)


class _Layers(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.layer = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))


class Encoder(nn.Module):
    """Tokens to a vector each."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, checkpointing: bool = False):
        super().__init__()
        self.shape, self.checkpointing = shape, checkpointing
        self.embeddings = Embeddings(shape, dropout)
        self.encoder = _Layers(shape, dropout)
        self.apply(initialised)

    @property
    def features(self) -> int:
        return self.shape.width

    @property
    def blocks(self) -> nn.ModuleList:
        return self.encoder.layer

    def forward(
        self,
        tokens_BT: Tensor,
        keep: Tensor | None = None,
        positions_BT: Tensor | None = None,
        kinds_BT: Tensor | None = None,
        added_BTD: Tensor | None = None,
    ) -> Tensor:
        """[B, T, D]. `keep`, broadcastable to [B, heads, T, T], is True where a token sees another, None where all see all; positions
        count from 0 and kinds are all 0 unless they are given; `added` joins the embeddings."""
        if positions_BT is None:
            positions_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device).expand_as(tokens_BT)
        if kinds_BT is None:
            kinds_BT = torch.zeros_like(tokens_BT)
        x_BTD = self.embeddings(tokens_BT, positions_BT, kinds_BT, added_BTD)
        for block in self.blocks:
            if self.checkpointing and self.training:
                x_BTD = checkpoint(block, x_BTD, keep, use_reentrant=False)
            else:
                x_BTD = block(x_BTD, keep)
        return x_BTD


class _Transform(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.dense = nn.Linear(shape.width, shape.width)
        self.activation = ACTIVATIONS[shape.activation]
        self.LayerNorm = nn.LayerNorm(shape.width, eps=shape.epsilon)

    def forward(self, x: Tensor) -> Tensor:
        return self.LayerNorm(self.activation(self.dense(x)))


class MaskedHead(nn.Module):
    """Scores of what stands under a mask: the table of embeddings is used again."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.transform = _Transform(shape)
        self.bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.apply(initialised)

    def forward(self, x_ND: Tensor, table_VD: Tensor) -> Tensor:
        """[N, V]."""
        return F.linear(self.transform(x_ND), table_VD, self.bias)


def initialised(module: nn.Module) -> None:
    """As in the paper: a normal distribution of deviation 0.02, biases of 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
