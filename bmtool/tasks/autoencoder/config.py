"""The typed sections of autoencoder."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bmtool.config import options
from bmtool.config.image import Cnn, Mlp, WithoutClasses


class Options(options.Options):
    pictures: ClassVar = {"explain": "A picture of the images, each beside what is made of it."}


class Config(WithoutClasses):
    # the encoder; the decoder is its mirror image
    model: Annotated[Mlp | Cnn, Field(discriminator="kind")]
    # numbers an image is squeezed into
    code: int = Field(32, ge=1, le=65_536)
    # squared error, or cross-entropy of each pixel as a probability
    loss: Literal["mse", "bce"] = "mse"
    # deviation of what is added to the pixels that the encoder sees (Vincent et al. 2008)
    noise: float = Field(0.0, ge=0, le=100)
