"""A PyTorch model behind the interfaces that the predictor searches over."""

import numpy as np
import torch
from torch import Tensor

from bmtool.tasks.pinyin2hanzi.model import EncoderDecoder, Tagger


class _Torch:
    def __init__(self, model: torch.nn.Module):
        self.model = model.eval()

    def tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(next(self.model.parameters()).device)


class TorchTagger(_Torch):
    model: Tagger

    @torch.inference_mode()
    def log_p(self, source_BT: np.ndarray, known_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        return self.model(*map(self.tensor, (source_BT, known_BT, pairs_BTC))).cpu().numpy()


class TorchEncoderDecoder(_Torch):
    model: EncoderDecoder

    @torch.inference_mode()
    def start(self, source_BT: np.ndarray) -> dict[str, Tensor]:
        return self.model.start(self.tensor(source_BT))

    @torch.inference_mode()
    def step(self, token_R: np.ndarray, state: dict[str, Tensor]) -> tuple[np.ndarray, dict[str, Tensor]]:
        scores, moved = self.model.step(self.tensor(token_R), state)
        return scores.float().cpu().numpy(), state | moved

    def reorder(self, state: dict[str, Tensor], rows_R: np.ndarray) -> dict[str, Tensor]:
        rows = self.tensor(rows_R)
        return {name: value[rows] for name, value in state.items()}
