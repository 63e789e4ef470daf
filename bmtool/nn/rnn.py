"""Recurrent encoder and attentional decoder. Shapes: B batch, T targets, S sources, D width, L layers, E embedding width."""

import torch
from torch import Tensor, nn

from bmtool.nn.attention import AdditiveAttention, DotAttention

LAYERS = {"gru": nn.GRU, "lstm": nn.LSTM}
CELLS = {"gru": nn.GRUCell, "lstm": nn.LSTMCell}
ATTENTIONS = {"additive": AdditiveAttention, "dot": DotAttention}


class BidirectionalEncoder(nn.Module):
    """GRU or LSTM read in both directions (Schuster & Paliwal 1997), half the width each.

    The backward direction reads each sentence reversed within its own length, so padding never enters a state.
    """

    def __init__(self, *, cell: str, width: int, layers: int, dropout: float):
        super().__init__()
        make = LAYERS[cell]
        self.forwards = nn.ModuleList(make(width, width // 2, batch_first=True) for _ in range(layers))
        self.backwards = nn.ModuleList(make(width, width // 2, batch_first=True) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BSD: Tensor, keep_BS: Tensor) -> Tensor:
        length_B1 = keep_BS.sum(dim=1, keepdim=True)
        position_1S = torch.arange(x_BSD.shape[1], device=x_BSD.device)[None]
        reverse_BS = torch.where(position_1S < length_B1, length_B1 - 1 - position_1S, position_1S)
        for ahead, back in zip(self.forwards, self.backwards):
            x_BSD = self.dropout(x_BSD)
            right = _take(back(_take(x_BSD, reverse_BS))[0], reverse_BS)
            x_BSD = torch.cat([ahead(x_BSD)[0], right], dim=-1)
        return x_BSD


def _take(x_BSD: Tensor, index_BS: Tensor) -> Tensor:
    return x_BSD.gather(1, index_BS[:, :, None].expand(-1, -1, x_BSD.shape[2]))


class AttentionalDecoder(nn.Module):
    """One step of the decoder of Bahdanau et al. 2015: attend with the last state, feed the context to the recurrence.

    State: hidden [B, L, D] and cell [B, L, D] (zeros for a GRU).
    """

    def __init__(self, *, cell: str, attention: str, width: int, layers: int, dropout: float):
        super().__init__()
        self.is_lstm = cell == "lstm"
        self.cells = nn.ModuleList(CELLS[cell](2 * width if index == 0 else width, width) for index in range(layers))
        self.attention = ATTENTIONS[attention](width, width, width)
        self.first = nn.Linear(width, width)
        self.out = nn.Linear(3 * width, width)
        self.dropout = nn.Dropout(dropout)

    def start(self, memory_BSD: Tensor, keep_BS: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden and cell before the first step, from the mean of the memory."""
        weight_BS = keep_BS / keep_BS.sum(dim=1, keepdim=True)
        mean_BD = (weight_BS[:, None] @ memory_BSD).squeeze(1)
        hidden_BLD = torch.tanh(self.first(mean_BD))[:, None].repeat(1, len(self.cells), 1)
        return hidden_BLD, torch.zeros_like(hidden_BLD)

    def forward(  # noqa: PLR0913
        self,
        x_BD: Tensor,
        hidden_BLD: Tensor,
        cell_BLD: Tensor,
        *,
        memory_BSD: Tensor,
        keys_BSA: Tensor,
        keep_BS: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Output [B, D] for the embedding of the previous target, and the next hidden and cell."""
        score_BS = self.attention(hidden_BLD[:, -1], keys_BSA).masked_fill(~keep_BS, -torch.inf)
        context_BD = (score_BS.softmax(dim=-1)[:, None] @ memory_BSD).squeeze(1)
        hidden, cell, below = [], [], torch.cat([x_BD, context_BD], dim=-1)
        for index, step in enumerate(self.cells):
            if self.is_lstm:
                below, memory_cell = step(below, (hidden_BLD[:, index], cell_BLD[:, index]))
            else:
                below, memory_cell = step(below, hidden_BLD[:, index]), cell_BLD[:, index]
            hidden.append(below)
            cell.append(memory_cell)
            below = self.dropout(below)
        out_BD = torch.tanh(self.out(torch.cat([below, context_BD, x_BD], dim=-1)))
        return out_BD, torch.stack(hidden, dim=1), torch.stack(cell, dim=1)
