"""An encoder-decoder in PyTorch behind the interface that is searched: see `decode.Backend`."""

import numpy as np
import torch
from torch import Tensor

from bmtool.text.seq2seq.model import EncoderDecoder


class TorchEncoderDecoder:
    """The state stays on the model's device, as tensors."""

    def __init__(self, model: EncoderDecoder):
        self.model = model.eval()

    @torch.inference_mode()
    def start(self, source_BS: np.ndarray) -> dict[str, Tensor]:
        return self.model.start(self._tensor(source_BS))

    @torch.inference_mode()
    def step(self, token_R: np.ndarray, state: dict[str, Tensor]) -> tuple[np.ndarray, dict[str, Tensor]]:
        scores, moved = self.model.step(self._tensor(token_R), state)
        return scores.float().cpu().numpy(), state | moved

    def reorder(self, state: dict[str, Tensor], rows_R: np.ndarray) -> dict[str, Tensor]:
        rows = self._tensor(rows_R)
        return {name: value[rows] for name, value in state.items()}

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(next(self.model.parameters()).device)
