"""Pre-norm transformer blocks with rotary positions. Shapes: B batch, T targets, S sources, H heads, K head width, D width, L layers."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.nn.attention import Attention, rotary_angles


class FeedForward(nn.Module):
    """Two linear maps with GELU between (Vaswani et al. 2017, section 3.3; Hendrycks & Gimpel 2016)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class EncoderBlock(nn.Module):
    """Self-attention and feed-forward, each on a normalised input and added back (Xiong et al. 2020)."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.feedforward_norm, self.feedforward = nn.LayerNorm(width), FeedForward(width, feedforward)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BTD: Tensor, keep: Tensor | None, angles: tuple[Tensor, Tensor] | None) -> Tensor:
        normed = self.attention_norm(x_BTD)
        keys_values = self.attention.keys_values(normed, angles)
        x_BTD = x_BTD + self.dropout(self.attention.attend(normed, keys_values, keep, angles))
        return x_BTD + self.dropout(self.feedforward(self.feedforward_norm(x_BTD)))


class Encoder(nn.Module):
    """A stack of EncoderBlocks and a last norm."""

    def __init__(self, *, width: int, layers: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.head_width = width // heads
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, feedforward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x_BTD: Tensor, keep_BT: Tensor | None) -> Tensor:
        """`keep_BT` is True at real positions; None when there is no padding."""
        keep = None if keep_BT is None else keep_BT[:, None, None, :]
        angles = rotary_angles(x_BTD.shape[1], self.head_width, x_BTD.device)
        for block in self.blocks:
            x_BTD = block(x_BTD, keep, angles)
        return self.norm(x_BTD)


class DecoderBlock(nn.Module):
    """Self-attention over what has been written, attention to the memory, feed-forward."""

    def __init__(self, width: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.self_norm, self.self_attention = nn.LayerNorm(width), Attention(width, heads)
        self.cross_norm, self.cross_attention = nn.LayerNorm(width), Attention(width, heads)
        self.feedforward_norm, self.feedforward = nn.LayerNorm(width), FeedForward(width, feedforward)
        self.dropout = nn.Dropout(dropout)

    def forward(  # noqa: PLR0913
        self,
        x_BTD: Tensor,
        past: Tensor,
        memory: Tensor,
        *,
        keep_past: Tensor | None,
        keep_memory: Tensor | None,
        angles,
    ) -> tuple[Tensor, Tensor]:
        """`past` and `memory` are keys and values [B, 2, H, *, K]; returns the output and `past` with these positions added."""
        normed = self.self_norm(x_BTD)
        past = torch.cat([past, self.self_attention.keys_values(normed, angles)], dim=3)
        x_BTD = x_BTD + self.dropout(self.self_attention.attend(normed, past, keep_past, angles))
        x_BTD = x_BTD + self.dropout(self.cross_attention.attend(self.cross_norm(x_BTD), memory, keep_memory))
        return x_BTD + self.dropout(self.feedforward(self.feedforward_norm(x_BTD))), past


class Decoder(nn.Module):
    """A stack of DecoderBlocks. Training runs all positions at once; decoding runs one position on a cache. Same code."""

    def __init__(self, *, width: int, layers: int, heads: int, feedforward: int, dropout: float):
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.blocks = nn.ModuleList(DecoderBlock(width, heads, feedforward, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def memory(self, encoded_BSD: Tensor) -> Tensor:
        """Keys and values of the memory for every block, [B, L, 2, H, S, K]."""
        return torch.stack([block.cross_attention.keys_values(encoded_BSD) for block in self.blocks], dim=1)

    def empty_past(self, batch: int, device: torch.device) -> Tensor:
        """The cache before the first position, [B, L, 2, H, 0, K]."""
        return torch.zeros(batch, len(self.blocks), 2, self.heads, 0, self.head_width, device=device)

    def forward(self, x_BTD: Tensor, past: Tensor, memory: Tensor, keep_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs [B, T, D] and the longer cache; position t sees the past and positions up to t."""
        before, length = past.shape[4], x_BTD.shape[1]
        rows = torch.arange(length, device=x_BTD.device)[:, None] + before
        keep_past = torch.arange(before + length, device=x_BTD.device)[None, :] <= rows
        angles = rotary_angles(length, self.head_width, x_BTD.device, start=before)
        grown = []
        for index, block in enumerate(self.blocks):
            x_BTD, longer = block(
                x_BTD, past[:, index], memory[:, index],
                keep_past=keep_past, keep_memory=keep_BS[:, None, None, :], angles=angles,
            )  # fmt: skip
            grown.append(longer)
        return self.norm(x_BTD), torch.stack(grown, dim=1)
