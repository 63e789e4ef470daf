"""Attention blocks. Shapes: B batch, T queries, S keys, H heads, K width of a head, D model width."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.nn.autocast import in_float32


def rotary_angles(
    length: int, head_width: int, device: torch.device, start: int | Tensor = 0, *, base: float = 10_000.0
) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each [length, head_width / 2], of rotary position embedding (Su et al. 2021, section 3.2.2)."""
    frequency = base ** (-torch.arange(0, head_width, 2, device=device, dtype=torch.float32) / head_width)
    angle_TK = (torch.arange(length, device=device, dtype=torch.float32) + start)[:, None] * frequency
    return angle_TK.cos(), angle_TK.sin()


def rotate(x_BHTK: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the two halves of every head by the position's angles; dot products then depend on distances only."""
    cos, sin = angles
    left, right = x_BHTK.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


class Attention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2.2), rotary positions when angles are given."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)

    def split(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, H, T, K]."""
        return x_BTD.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def keys_values(self, x_BSD: Tensor, angles: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Keys and values of `x_BSD` as one tensor [B, 2, H, S, K], which is also what a decoding step caches."""
        key, value = map(self.split, self.key_value(x_BSD).chunk(2, dim=-1))
        return torch.stack([key if angles is None else rotate(key, angles), value], dim=1)

    def attend(
        self,
        x_BTD: Tensor,
        keys_values: Tensor,
        keep: Tensor | None = None,
        angles: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """`keep`, broadcastable to [B, H, T, S], is True where a key may be attended to; None lets every key be."""
        query = self.split(self.query(x_BTD))
        query = query if angles is None else rotate(query, angles)
        attention = partial(F.scaled_dot_product_attention, attn_mask=keep)
        out = in_float32(attention, query, keys_values[:, 0], keys_values[:, 1])
        return self.out(out.transpose(1, 2).flatten(2))


class AdditiveAttention(nn.Module):
    """v . tanh(W q + U k) (Bahdanau et al. 2015, appendix A.1.2) for one query [B, D] over keys [B, S, D]."""

    def __init__(self, query_width: int, key_width: int, width: int):
        super().__init__()
        self.query = nn.Linear(query_width, width)
        self.key = nn.Linear(key_width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, query_BD: Tensor, keys_BSA: Tensor) -> Tensor:
        """Scores [B, S]; `keys_BSA` is `self.key(memory)`, computed once a sentence."""
        return self.score(torch.tanh(self.query(query_BD)[:, None] + keys_BSA)).squeeze(-1)


class DotAttention(nn.Module):
    """Scaled dot product of one projected query [B, D] with projected keys [B, S, A] (Vaswani et al. 2017, section 3.2.1)."""

    def __init__(self, query_width: int, key_width: int, width: int):
        super().__init__()
        self.query = nn.Linear(query_width, width)
        self.key = nn.Linear(key_width, width, bias=False)
        self.scale = width**-0.5

    def forward(self, query_BD: Tensor, keys_BSA: Tensor) -> Tensor:
        """Scores [B, S]; `keys_BSA` is `self.key(memory)`, computed once a sentence."""
        return (keys_BSA @ self.query(query_BD)[:, :, None]).squeeze(-1) * self.scale
