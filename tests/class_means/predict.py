from collections.abc import Sequence

import numpy as np

from bmtool.images import pictures
from bmtool.images.predict import ImageReader
from bmtool.predict.assets import Assets
from bmtool.predict.backends import Backend
from bmtool.predict.labels import likeliest
from bmtool.predict.values import Labels
from class_means.config import Options


class Nearest(ImageReader):
    def __init__(self, about: dict, backend: Backend):
        super().__init__(about, backend)
        self.labels = about["labels"]

    def probabilities(self, images: Sequence[np.ndarray]) -> np.ndarray:
        feeds = {"images": pictures.as_input(np.stack(images))}
        return np.exp(self.backend.numpy(self.backend.run("model", feeds)["log_p"]))

    def predict(self, images: Sequence[np.ndarray], options: Options = Options()) -> list[Labels]:
        return likeliest(self.labels, self.probabilities(images), options)


def predictor(about: dict, backend: Backend, assets: Assets) -> Nearest:
    return Nearest(about, backend)
