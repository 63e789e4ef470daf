"""Schedules by hand; who decays, who is clipped, who is sparse."""

import math

import pytest
import torch
from torch import nn

from bmtool.config.schema import Optim, Schedule
from bmtool.engine.optim import MovingAverage, Optimizers, Plateau, rate_factor, sparse_parameters


@pytest.mark.parametrize("schedule, step, expected", [
    (Schedule(name="constant"), 70, 1.0),
    (Schedule(name="constant", warmup_steps=10), 0, 0.1),
    (Schedule(name="constant", warmup_steps=10), 9, 1.0),
    (Schedule(name="linear", final=0.0, warmup_steps=20), 60, 0.5),
    (Schedule(name="linear", final=0.2), 100, 0.2),
    (Schedule(name="cosine", final=0.0), 50, 0.5),
    (Schedule(name="cosine", final=0.1), 100, 0.1),
    (Schedule(name="exponential", final=0.01), 50, 0.1),
    (Schedule(name="step", step_every=30, factor=0.5), 59, 0.5),
    (Schedule(name="step", step_every=30, factor=0.5), 60, 0.25),
    (Schedule(name="inverse_sqrt", warmup_steps=4), 15, 0.5),
    (Schedule(name="inverse_sqrt", warmup_steps=4), 3, 1.0),
    (Schedule(name="plateau"), 80, 1.0),
])  # fmt: skip
def test_schedules(schedule, step, expected):
    assert rate_factor(step, 100, schedule) == pytest.approx(expected)


def test_plateau_waits_then_reduces():
    plateau = Plateau(Schedule(name="plateau", factor=0.5, plateau_patience=2))
    scales = []
    for improved in (True, False, False, False, True, False, False):
        plateau.see(improved)
        scales.append(plateau.scale)
    assert scales == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.norm, self.table = nn.Linear(3, 2), nn.LayerNorm(2), nn.Embedding(9, 3, sparse=True)

    def forward(self, ids):
        return self.norm(self.linear(self.table(ids))).pow(2).sum()


def make(settings: Optim, lr_scale: dict | None = None) -> tuple[Net, Optimizers]:
    net = Net()
    return net, Optimizers(dict(net.named_parameters()), [net], settings, lr_scale or {})


def test_decay_is_for_matrices_and_never_for_sparse_tables():
    net, optimizers = make(Optim(weight_decay=0.3))
    decay = {
        id(p): g["weight_decay"]
        for o in optimizers._all
        for g in o.param_groups
        for p in g["params"]
        if "weight_decay" in g
    }
    assert decay[id(net.linear.weight)] == 0.3
    assert decay[id(net.linear.bias)] == decay[id(net.norm.weight)] == 0.0
    assert id(net.table.weight) not in decay


def test_the_longest_prefix_scales_the_rate():
    net, optimizers = make(Optim(lr=1.0, sparse_lr=2.0), {"linear": 0.5, "linear.bias": 0.1})
    optimizers.set_rate(0.5)
    rate = {id(p): g["lr"] for o in optimizers._all for g in o.param_groups for p in g["params"]}
    expected = {net.linear.weight: 0.25, net.linear.bias: 0.05, net.norm.weight: 0.5, net.table.weight: 1.0}
    assert all(rate[id(p)] == pytest.approx(value) for p, value in expected.items())


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd", "adagrad", "rmsprop"])
def test_every_optimizer_learns_and_its_state_comes_back(name):
    net, optimizers = make(Optim(name=name, lr=0.05))
    losses = []
    for _ in range(30):
        optimizers.zero_grad()
        loss = (net.linear(net.table(torch.tensor([1, 2, 2]))) - 3).pow(2).sum()
        loss.backward()
        optimizers.coalesce()
        optimizers.finish_gradients(3)
        optimizers.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] * 0.8
    assert torch.equal(net.table.weight[5], Net().table.weight[5])  # a row that was never met
    other_net, other = make(Optim(name=name, lr=0.05))
    other_net.load_state_dict(net.state_dict())
    other.load_state_dict(optimizers.state_dict())


def test_gradients_become_means_are_clipped_and_get_l1():
    net, optimizers = make(Optim(clip_norm=0.5, l1=0.1))
    net(torch.tensor([1, 1, 4])).backward()
    optimizers.coalesce()
    before = {name: p.grad.to_dense().clone() for name, p in net.named_parameters()}
    norm = math.sqrt(sum(float(g.pow(2).sum()) for g in before.values())) / 4
    assert optimizers.finish_gradients(4) == pytest.approx(norm, rel=1e-5)
    scale = min(1.0, 0.5 / norm) / 4
    for name, p in net.named_parameters():
        l1 = 0.1 * p.detach().sign() if name == "linear.weight" else 0.0
        torch.testing.assert_close(p.grad.to_dense(), before[name] * scale + l1, rtol=1e-4, atol=1e-6)


def test_the_average_follows_and_swapping_twice_changes_nothing():
    net = Net()
    average = MovingAverage(dict(net.named_parameters()), {}, sparse_parameters([net]), 0.9)
    assert "table.weight" not in average.average
    start = net.linear.weight.detach().clone()
    with torch.no_grad():
        net.linear.weight.add_(1.0)
    average.update(10_000)
    torch.testing.assert_close(average.average["linear.weight"], start + 0.1)
    average.swap()
    torch.testing.assert_close(net.linear.weight.detach(), start + 0.1)
    average.swap()
    torch.testing.assert_close(net.linear.weight.detach(), start + 1.0)
