"""A PyTorch model behind the interfaces that the predictor searches over."""

import numpy as np
import torch

from bmtool.tasks.pinyin2hanzi.model import Tagger


class TorchTagger:
    def __init__(self, model: Tagger):
        self.model = model.eval()

    @torch.inference_mode()
    def log_p(self, source_BT: np.ndarray, known_BT: np.ndarray, pairs_BTC: np.ndarray) -> np.ndarray:
        device = next(self.model.parameters()).device
        arrays = (source_BT, known_BT, pairs_BTC)
        return self.model(*(torch.from_numpy(array).to(device) for array in arrays)).cpu().numpy()
