"""Convolutions over tokens. Shapes: B texts, T tokens, E width of an embedding, D features of all convolutions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.text.labelled.models import TextCnnModel


class TextCnn(nn.Module):
    """token, keep, kind [B, T] to [B, T, D], none below 0, and 0 at what stands behind a text."""

    def __init__(self, settings: TextCnnModel, vocabulary: int):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, settings.width)
        self.kinds = nn.Embedding(2, settings.width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(settings.width, settings.channels, size) for size in settings.windows
        )
        self.features = settings.channels * len(settings.windows)
        nn.init.normal_(self.tokens.weight, std=0.5)
        nn.init.zeros_(self.kinds.weight)

    def forward(self, token: Tensor, keep: Tensor, kind: Tensor) -> Tensor:
        x_BTE = (self.tokens(token) + self.kinds(kind)) * keep[:, :, None]
        x_BET = x_BTE.transpose(1, 2)
        seen = [F.relu(convolution(_framed(x_BET, convolution.kernel_size[0]))) for convolution in self.convolutions]
        return torch.cat(seen, dim=1).transpose(1, 2) * keep[:, :, None]


def _framed(x_BET: Tensor, size: int) -> Tensor:
    """With zeros around it, so that a convolution of `size` gives as many places as there are tokens."""
    return F.pad(x_BET, ((size - 1) // 2, size // 2))
