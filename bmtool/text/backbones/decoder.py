"""Llama, Qwen2 and GPT-2, under the names that the Hugging Face format gives the tensors of the first two.

Shapes: B rows, T tokens, S tokens with those before, H heads, G heads of keys and values, K width of a head, D width, V vocabulary.

Hugo Touvron et al.: LLaMA: Open and Efficient Foundation Language Models, 2023. Joshua Ainslie et al.: GQA, EMNLP 2023. Noam Shazeer:
GLU Variants Improve Transformer, 2020. Biao Zhang, Rico Sennrich: Root Mean Square Layer Normalization, NeurIPS 2019. Alec Radford
et al.: Language Models are Unsupervised Multitask Learners, 2019.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bmtool.nn.attention import rotary_angles, rotate
from bmtool.nn.autocast import in_float32

Angles = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Shape:
    """What config.json says of a decoder. `classic` is GPT-2: layer norms, learned positions, two linear maps with GELU, biases."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    feedforward: int
    context: int
    qkv_bias: bool = False
    tied: bool = True
    rope_base: float = 10_000.0
    epsilon: float = 1e-6
    classic: bool = False


def _norm(shape: Shape) -> nn.Module:
    kind = nn.LayerNorm if shape.classic else nn.RMSNorm
    return kind(shape.width, eps=shape.epsilon)


class Attention(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.head_width = shape.head_width
        bias = shape.qkv_bias or shape.classic
        inside, shared = shape.heads * shape.head_width, shape.key_value_heads * shape.head_width
        self.q_proj = nn.Linear(shape.width, inside, bias=bias)
        self.k_proj = nn.Linear(shape.width, shared, bias=bias)
        self.v_proj = nn.Linear(shape.width, shared, bias=bias)
        self.o_proj = nn.Linear(inside, shape.width, bias=shape.classic)
        self.groups = shape.heads // shape.key_value_heads

    def forward(
        self, x_BTD: Tensor, past: Tensor | None, keep: Tensor | None, angles: Angles | None
    ) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, D], and keys and values [B, 2, G, S, K] of all tokens so far. `keep` None: each sees those before it."""
        query, key, value = (
            part(x_BTD).unflatten(-1, (-1, self.head_width)).transpose(1, 2)
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        if angles is not None:
            query, key = rotate(query, angles), rotate(key, angles)
        held = torch.stack([key, value], dim=1)
        held = held if past is None else torch.cat([past, held], dim=3)
        key, value = (
            part.repeat_interleave(self.groups, dim=1) if self.groups > 1 else part for part in held.unbind(1)
        )
        out = in_float32(
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=keep, is_causal=keep is None),
            query, key, value,
        )  # fmt: skip
        return self.o_proj(out.transpose(1, 2).flatten(2)), held


class GatedFeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.feedforward, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.feedforward, bias=False)
        self.down_proj = nn.Linear(shape.feedforward, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class ClassicFeedForward(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.up_proj = nn.Linear(shape.width, shape.feedforward)
        self.down_proj = nn.Linear(shape.feedforward, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.up_proj(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, shape: Shape, dropout: float):
        super().__init__()
        self.input_layernorm, self.self_attn = _norm(shape), Attention(shape)
        self.post_attention_layernorm = _norm(shape)
        self.mlp = ClassicFeedForward(shape) if shape.classic else GatedFeedForward(shape)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x_BTD: Tensor, past: Tensor | None, keep: Tensor | None, angles: Angles | None
    ) -> tuple[Tensor, Tensor]:
        attended, held = self.self_attn(self.input_layernorm(x_BTD), past, keep, angles)
        x_BTD = x_BTD + self.dropout(attended)
        return x_BTD + self.dropout(self.mlp(self.post_attention_layernorm(x_BTD))), held


class Decoder(nn.Module):
    """Tokens to a vector each, of the tokens up to it."""

    def __init__(self, shape: Shape, *, dropout: float = 0.0, checkpointing: bool = False):
        super().__init__()
        self.shape, self.checkpointing = shape, checkpointing
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        if shape.classic:
            self.embed_positions = nn.Embedding(shape.context, shape.width)
        self.layers = nn.ModuleList(Block(shape, dropout) for _ in range(shape.layers))
        self.norm = _norm(shape)
        self.dropout = nn.Dropout(dropout)
        self.apply(initialised)
        for block in self.layers:  # as many are added up as there are blocks, twice (Radford et al. 2019, section 2.3)
            for last in (block.self_attn.o_proj, block.mlp.down_proj):
                nn.init.normal_(last.weight, std=0.02 / (2 * shape.layers) ** 0.5)

    @property
    def blocks(self) -> nn.ModuleList:
        return self.layers

    def empty_past(self, rows: int, device: torch.device) -> Tensor:
        """The cache before the first token, [B, layers, 2, G, 0, K]."""
        shape = self.shape
        return torch.zeros(rows, shape.layers, 2, shape.key_value_heads, 0, shape.head_width, device=device)

    def forward(
        self,
        tokens_BT: Tensor,
        keep: Tensor | None = None,
        positions_BT: Tensor | None = None,
    ) -> Tensor:
        """[B, T, D]. `keep`, broadcastable to [B, H, T, T], is True where a token sees another, None: each sees those before it;
        positions count from 0 unless they are given."""
        if positions_BT is None:
            positions_BT = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None]
        x_BTD, angles = self._embedded(tokens_BT, positions_BT)
        for block in self.layers:
            if self.checkpointing and self.training:
                x_BTD, _ = checkpoint(block, x_BTD, None, keep, angles, use_reentrant=False)
            else:
                x_BTD, _ = block(x_BTD, None, keep, angles)
        return self.norm(x_BTD)

    def step(self, tokens_BT: Tensor, past: Tensor, keep_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, D] behind what `past` holds, and the longer cache. `keep_BS` is False at what a row has only to be as long as
        others: it stands in front."""
        before, length = past.shape[4], tokens_BT.shape[1]
        positions_BS = (keep_BS.long().cumsum(1) - 1).clamp(min=0)
        x_BTD, angles = self._embedded(tokens_BT, positions_BS[:, before:])
        rows = torch.arange(length, device=tokens_BT.device)[:, None] + before
        seen_TS = torch.arange(before + length, device=tokens_BT.device)[None, :] <= rows
        # What stands in front sees itself: attention to nothing would be no number.
        own_TS = torch.arange(before + length, device=tokens_BT.device)[None, :] == rows
        keep = (seen_TS & keep_BS[:, None, :] | own_TS)[:, None]
        grown = []
        for number, block in enumerate(self.layers):
            x_BTD, longer = block(x_BTD, past[:, number], keep, angles)
            grown.append(longer)
        return self.norm(x_BTD), torch.stack(grown, dim=1)

    def _embedded(self, tokens_BT: Tensor, positions_BT: Tensor) -> tuple[Tensor, Angles | None]:
        x_BTD = self.embed_tokens(tokens_BT)
        if self.shape.classic:
            return self.dropout(x_BTD + self.embed_positions(positions_BT)), None
        cos, sin = rotary_angles(self.shape.context, self.shape.head_width, tokens_BT.device, base=self.shape.rope_base)
        return self.dropout(x_BTD), (cos[positions_BT][:, None], sin[positions_BT][:, None])


class CausalHead(nn.Module):
    """Scores of the next token: a matrix of its own, or the table of embeddings again."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.tied = shape.tied
        if not shape.tied:
            self.lm_head = nn.Linear(shape.width, shape.vocabulary, bias=False)
            nn.init.normal_(self.lm_head.weight, std=0.02)

    def forward(self, x_ND: Tensor, table_VD: Tensor) -> Tensor:
        """[N, V]."""
        return F.linear(x_ND, table_VD) if self.tied else self.lm_head(x_ND)


def initialised(module: nn.Module) -> None:
    """A normal distribution of deviation 0.02, biases of 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
