"""A conditional random field on a linear chain of tags (Lafferty, McCallum, Pereira 2001), as a loss; `nn.chain` decodes.

Shapes: B texts, T places, K tags.
"""

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.nn.chain import NEVER, Transitions


class Crf(nn.Module):
    """Scores of tags that follow each other. What may not follow (NEVER in `legal`) never does, and is no weight."""

    def __init__(self, legal: Transitions):
        super().__init__()
        for name, scores in zip(Transitions._fields, legal):
            self.register_parameter(name, nn.Parameter(torch.zeros(scores.shape)))
            self.register_buffer(f"never_{name}", torch.from_numpy(scores <= NEVER), persistent=False)

    def _held(self) -> list[Tensor]:
        """Transitions, with NEVER where something may not be."""
        names = Transitions._fields
        return [getattr(self, name).float().masked_fill(getattr(self, f"never_{name}"), NEVER) for name in names]

    def transitions(self) -> Transitions:
        return Transitions(*(part.detach().cpu().numpy().astype(np.float32) for part in self._held()))

    def nats(self, scores_BTK: Tensor, target_BT: Tensor, keep_BT: Tensor) -> Tensor:
        """-log p of the right tags, [B]. Places that are not kept are passed over: the next kept one follows the one before them."""
        scores_BTK, target_BT = scores_BTK.float(), target_BT.masked_fill(~keep_BT, 0)
        between_KK, first_K, last_K = self._held()
        weight_KK = between_KK.exp()
        whole_BK = torch.zeros_like(scores_BTK[:, 0])
        right_B, begun_B, tag_B = whole_BK[:, 0], torch.zeros_like(keep_BT[:, 0]), target_BT[:, 0]
        for at in range(scores_BTK.shape[1]):
            here_BK, next_B, kept_B = scores_BTK[:, at], target_BT[:, at], keep_BT[:, at]
            ways_BK = torch.where(begun_B[:, None], _product(whole_BK, weight_KK), first_K)
            way_B = torch.where(begun_B, between_KK[tag_B, next_B], first_K[next_B])
            whole_BK = torch.where(kept_B[:, None], ways_BK + here_BK, whole_BK)
            right_B = torch.where(kept_B, right_B + way_B + here_BK.gather(1, next_B[:, None])[:, 0], right_B)
            tag_B, begun_B = torch.where(kept_B, next_B, tag_B), begun_B | kept_B
        ended_B = (whole_BK + last_K).logsumexp(dim=1) - right_B - last_K[tag_B]
        return torch.where(begun_B, ended_B, torch.zeros_like(ended_B))


def _product(logs_BK: Tensor, weight_KK: Tensor) -> Tensor:
    """Log of exp(logs) @ weights, as `nn.chain` has it: a third of the time of a log-sum-exp over all pairs."""
    top_B1 = logs_BK.detach().amax(dim=1, keepdim=True)
    return ((logs_BK - top_B1).exp() @ weight_KK).clamp_min(1e-37).log() + top_B1
