"""Networks for images. B images, C channels, H and W pixels, F features.

A backbone takes pixels in 0 .. 1 [B, C, H, W] and gives features [B, F]; `features` is F, `blocks` are its stages from input to output, and
`maps` gives the last feature maps [B, C', H', W'] before their mean is taken. It normalises its input itself, so whatever carries a
backbone over carries the normalisation over too.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_BLOCKS = 6
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "leaky_relu": lambda: nn.LeakyReLU(0.2)}


class Normalise(nn.Module):
    """Subtract the mean and divide by the deviation of each channel; a grey image becomes as many channels as those have."""

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32)[:, None, None])
        self.register_buffer("deviation", torch.tensor(deviation, dtype=torch.float32)[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.deviation


class _Spectral:
    """Weights divided by their largest singular value, which one power iteration a step follows (Miyato et al. 2018).

    Unlike torch's parametrisation it leaves the name `weight` as it is, so that layers with and without it carry over.
    """

    weight: Tensor
    u: Tensor
    training: bool

    def normalised(self) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            right = functional.normalize(matrix.T @ self.u, dim=0)
            left = functional.normalize(matrix @ right, dim=0)
            if self.training:
                self.u.copy_(left)
        return self.weight / (left @ matrix @ right)


class SpectralConv2d(_Spectral, nn.Conv2d):
    def __init__(self, *arguments: int, **options: int | bool):
        super().__init__(*arguments, **options)
        self.register_buffer("u", functional.normalize(torch.randn(self.out_channels), dim=0))

    def forward(self, maps: Tensor) -> Tensor:
        return self._conv_forward(maps, self.normalised(), self.bias)


class SpectralLinear(_Spectral, nn.Linear):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.register_buffer("u", functional.normalize(torch.randn(outputs), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.normalised(), self.bias)


class Mlp(nn.Module):
    """Flattened pixels through linear layers."""

    def __init__(  # noqa: PLR0913
        self, normalise: Normalise, pixels: int, widths: Sequence[int], *, dropout: float, activation: str, spectral_norm: bool
    ):  # fmt: skip
        super().__init__()
        self.normalise, self.features = normalise, widths[-1]
        linear = SpectralLinear if spectral_norm else nn.Linear
        self.blocks = nn.ModuleList(
            nn.Sequential(linear(before, width), ACTIVATIONS[activation](), nn.Dropout(dropout))
            for before, width in zip([pixels, *widths], widths)
        )

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels).flatten(1)
        for block in self.blocks:
            x = block(x)
        return x


class Cnn(nn.Module):
    """Stages of 3x3 convolutions; see `config.image.Cnn` for what the arguments mean."""

    def __init__(  # noqa: PLR0913
        self, normalise: Normalise, inputs: int, channels: Sequence[int], *, convolutions: int, down: str, batch_norm: bool,
        dropout: float, activation: str, spectral_norm: bool,
    ):  # fmt: skip
        super().__init__()
        self.normalise, self.features, self.dropout = normalise, channels[-1], nn.Dropout(dropout)
        kind = SpectralConv2d if spectral_norm else nn.Conv2d

        def stage(before: int, width: int) -> nn.Sequential:
            layers: list[nn.Module] = []
            for number in range(convolutions):
                stride = 2 if down == "stride" and number == convolutions - 1 else 1
                layers.append(
                    kind(width if number else before, width, 3, stride=stride, padding=1, bias=not batch_norm)
                )
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(ACTIVATIONS[activation]())
            layers += [nn.MaxPool2d(2, ceil_mode=True)] if down == "pool" else []
            return nn.Sequential(*layers)

        self.blocks = nn.ModuleList(stage(before, width) for before, width in zip([inputs, *channels], channels))

    def maps(self, pixels: Tensor) -> Tensor:
        x = self.normalise(pixels)
        for block in self.blocks:
            x = block(x)
        return x

    def forward(self, pixels: Tensor) -> Tensor:
        return self.dropout(self.maps(pixels).mean(dim=(2, 3)))


class Wrapped(nn.Module):
    """A classifier of another library without its last linear layer; grey images are repeated to three channels."""

    def __init__(self, normalise: Normalise, network: nn.Module, *, features: int, dropout: float):
        super().__init__()
        self.normalise, self.network, self.features = normalise, network, features
        self.dropout = nn.Dropout(dropout)

    @property
    def blocks(self) -> list[nn.Module]:
        """The network's children that hold weights; the largest is taken apart until there are `_BLOCKS`. A ResNet gives its stages."""
        parts = _weighty(self.network)
        while len(parts) < _BLOCKS and (inner := _weighty(largest := max(parts, key=_size))):
            at = parts.index(largest)
            parts[at : at + 1] = inner
        return parts

    def forward(self, pixels: Tensor) -> Tensor:
        return self.dropout(self.network(self.normalise(pixels.expand(-1, 3, -1, -1))))


def _size(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def _weighty(module: nn.Module) -> list[nn.Module]:
    return [child for child in module.children() if _size(child)]


def cut_head(network: nn.Module) -> int:
    """Replace the last linear layer of a classifier by nothing; returns the number of features that it took, 0 if there is none."""
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        return 0
    name, last = linear[-1]
    parent = network.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Identity())
    return last.in_features


def small_stem(resnet: nn.Module) -> None:
    """A ResNet for images under 64 pixels: no stride and no pooling before the first stage (He et al. 2016, section 4.2)."""
    resnet.conv1 = nn.Conv2d(3, resnet.conv1.out_channels, 3, padding=1, bias=False)
    resnet.maxpool = nn.Identity()


class DenseDecoder(nn.Module):
    """A code [B, F] to the logits of pixels [B, C, H, W], through linear layers."""

    def __init__(self, code: int, widths: Sequence[int], shape: tuple[int, int, int]):
        super().__init__()
        self.shape = shape
        sizes = [code, *widths]
        layers = [m for a, b in pairwise(sizes) for m in (nn.Linear(a, b), nn.ReLU())]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], shape[0] * shape[1] * shape[2]))

    def forward(self, code: Tensor) -> Tensor:
        return self.layers(code).unflatten(1, self.shape)


class ConvDecoder(nn.Module):
    """A code [B, F] to the logits of pixels [B, C, H, W], each stage twice as large (Radford et al. 2016, "DCGAN")."""

    def __init__(self, code: int, channels: Sequence[int], shape: tuple[int, int, int]):
        super().__init__()
        self.size, self.first = shape[1], channels[0]
        self.start = -(-shape[1] // 2 ** len(channels))
        self.project = nn.Linear(code, channels[0] * self.start**2)
        self.norm = nn.BatchNorm2d(channels[0])
        widths = [*channels, max(channels[-1] // 2, 8)]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.last = nn.Conv2d(widths[-1], shape[0], 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.project(code).unflatten(1, (self.first, self.start, self.start))))
        for stage in self.stages:
            x = stage(x)
        cut = (x.shape[-1] - self.size) // 2  # sizes that are no multiple of 2 ** stages
        return self.last(x[..., cut : cut + self.size, cut : cut + self.size])


def grad_cam(maps: Tensor, score: Tensor) -> Tensor:
    """Where in the image the evidence for each score [B] lies, [B, H', W'] in 0 .. 1 (Selvaraju et al. 2017)."""
    gradient = torch.autograd.grad(score.sum(), maps)[0]
    heat = functional.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1))
    return heat / heat.amax(dim=(1, 2), keepdim=True).clamp_min(1e-12)
