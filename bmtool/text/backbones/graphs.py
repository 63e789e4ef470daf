"""The graphs of language models. Shapes: R rows, T tokens, S tokens with those before, M masks, V vocabulary."""

import torch
from torch import Tensor, nn

from bmtool.nn.graph import Graph
from bmtool.text.backbones import decoder, encoder
from bmtool.text.backbones.build import table


class _Steps(nn.Module):
    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, token: Tensor, past: Tensor, keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_RTD, grown = self.backbone.step(token, past, keep)
        return self.head(x_RTD, table(self.backbone)), grown, x_RTD


def steps(backbone: nn.Module, head: nn.Module, shape: decoder.Shape) -> Graph:
    """Scores after every token, the longer cache, and what stands at the tokens. See `text.generation.Steps`."""

    def example(sizes: dict[str, int]) -> dict[str, Tensor]:
        drawn = torch.Generator().manual_seed(0)
        rows, new, before = sizes["rows"], sizes["new"], sizes["before"]
        past = (rows, shape.layers, 2, shape.key_value_heads, before, shape.head_width)
        return {
            "token": torch.randint(0, shape.vocabulary, (rows, new), generator=drawn),
            "past": torch.randn(past, generator=drawn), "keep": torch.ones(rows, before + new, dtype=torch.bool),
        }  # fmt: skip

    axes = {
        "token": ("rows", "new"), "past": ("rows", shape.layers, 2, shape.key_value_heads, "before", shape.head_width),
        "keep": ("rows", "seen"),
    }  # fmt: skip
    sizes = ({"rows": 1, "new": 1, "before": 5}, {"rows": 2, "new": 4, "before": 0}, {"rows": 4, "new": 1, "before": 1})
    traced = {"rows": 3, "new": 4, "before": 5}
    return Graph("model", _Steps(backbone, head), axes, ("scores", "next_past", "hidden"), example, traced, sizes)


class _Masked(nn.Module):
    def __init__(self, backbone: nn.Module, head: nn.Module):
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, token: Tensor, keep: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        x_RTD = self.backbone(token, keep[:, None, None, :])
        x_RMD = x_RTD.gather(1, at[:, :, None].expand(-1, -1, x_RTD.shape[2]))
        return self.head(x_RMD, table(self.backbone)), x_RTD


def masked(backbone: nn.Module, head: nn.Module, shape: encoder.Shape) -> Graph:
    """Scores at some places `at` [R, M] of each row, and what stands at all; `keep` [R, T] is False at what stands behind a row."""

    def example(sizes: dict[str, int]) -> dict[str, Tensor]:
        drawn = torch.Generator().manual_seed(0)
        rows, length, places = sizes["rows"], sizes["length"], sizes["places"]
        keep = torch.ones(rows, length, dtype=torch.bool)
        keep[0, 2:] = False
        return {
            "token": torch.randint(0, shape.vocabulary, (rows, length), generator=drawn), "keep": keep,
            "at": torch.randint(0, 2, (rows, places), generator=drawn),
        }  # fmt: skip

    axes = {"token": ("rows", "length"), "keep": ("rows", "length"), "at": ("rows", "places")}
    sizes = (
        {"rows": 1, "length": 4, "places": 1}, {"rows": 2, "length": 9, "places": 3}, {"rows": 5, "length": 3, "places": 2}
    )  # fmt: skip
    traced = {"rows": 3, "length": 7, "places": 2}
    return Graph("model", _Masked(backbone, head), axes, ("scores", "hidden"), example, traced, sizes)
