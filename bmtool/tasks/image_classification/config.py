"""The typed sections of image-classification."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bmtool.base.needs import Package
from bmtool.config import options
from bmtool.config.image import Cnn, EfficientNetLite0, ImageConfig, Mlp, Torchvision, on_features
from bmtool.config.schema import Section


class Options(options.Top):
    pictures: ClassVar = {"explain": "A picture of why: where in each image the evidence lies."}


class Loss(Section):
    # share of the probability that is spread over all classes
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # weigh each class by the inverse of its frequency
    class_weights: bool = False
    # gamma of the focal loss (Lin et al. 2017); 0: cross-entropy
    focal: float = Field(0.0, ge=0, le=100)


class Config(ImageConfig):
    # the backbone, on which a linear head sits
    model: Annotated[Mlp | Cnn | Torchvision | EfficientNetLite0, Field(discriminator="kind")]
    # what is made small
    loss: Loss = Loss()
    # over: draw rare classes more often; under: take as many of each class as the rarest has; smote: new feature vectors between
    # neighbours of a class (Chawla et al. 2002), for a head on a fixed backbone
    balance: Literal["none", "over", "under", "smote"] = "none"
    # test-time augmentation: mean over the image and its mirror image, or 5 shifts
    views: Literal["one", "flip", "shifts"] = "one"

    def packages(self) -> Iterator[Package]:
        yield from super().packages()
        if self.balance == "smote":
            yield Package("imblearn", "imbalanced-learn", "balance: smote comes with imbalanced-learn")

    @model_validator(mode="after")
    def _consistent(self):
        mixes = self.augment.mixup or self.augment.cutmix
        if mixes and (self.loss.focal or self.loss.class_weights):
            raise ValueError("augment.mixup and augment.cutmix do not go with loss.focal or loss.class_weights")
        if self.balance == "smote" and not on_features(self):
            raise ValueError(
                "balance: smote makes feature vectors: it goes with finetune.train: head, no adapters, no augmentation and no teacher"
            )
        return self
