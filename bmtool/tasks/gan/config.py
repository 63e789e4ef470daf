"""The typed sections of gan."""

from typing import Annotated, ClassVar

from pydantic import Field

from bmtool.config import options
from bmtool.config.image import Cnn, Mlp, WithoutClasses
from bmtool.config.schema import FilePath


class Options(options.Options):
    pictures: ClassVar = {"output": "A picture of the images that were made."}


class Config(WithoutClasses):
    # the discriminator; the generator is its mirror image
    model: Annotated[Mlp | Cnn, Field(discriminator="kind")]
    # numbers that an image is made from
    noise: int = Field(64, ge=1, le=65_536)
    # an exported image classifier (.onnx): distances are measured on its features, else on coarse pixels
    features: FilePath | None = None
