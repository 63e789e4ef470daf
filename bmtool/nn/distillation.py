"""Learning from what another model says (Hinton et al. 2015). Shapes: N answers, C classes or tokens."""

import torch.nn.functional as F
from torch import Tensor


def soft_nats(scores_NC: Tensor, teacher_NC: Tensor, temperature: float) -> Tensor:
    """How far each answer is from the teacher's, float32 [N]: the divergence of both at this temperature, times its square, by which the
    gradient counts the same at any temperature (section 2). Scores are logits, or log-probabilities."""
    ours, theirs = (F.log_softmax(scores.float() / temperature, dim=1) for scores in (scores_NC, teacher_NC))
    return F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1) * temperature**2
