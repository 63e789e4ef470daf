from bmtool.config import options
from bmtool.config.image import ImageData, ImageTrain
from bmtool.config.schema import BaseConfig, Section


class Options(options.Top):
    pass


class Model(Section):
    temperature: float = 1.0


class Config(BaseConfig):
    data: ImageData
    model: Model = Model()
    train: ImageTrain = ImageTrain()
