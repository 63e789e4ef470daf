"""TensorBoard: event files in the run directory's `tensorboard/`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from bmtool.tracking.tracker import Subject


class Tracker:
    """Figures over the steps, settings and what came of them under HPARAMS, plots under IMAGES."""

    name = None

    def __init__(self, subject: Subject):
        # What was written of later steps, which are taken anew, is passed over.
        self._writer = SummaryWriter(str(subject.folder / "tensorboard"), purge_step=subject.step + 1)
        self._settings = {key: _setting(value) for key, value in subject.settings.items()}

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)

    def end(self, step: int, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        best = {f"best/{name}": value for name, value in figures.items()}
        self._writer.add_hparams(self._settings, best, run_name=".", global_step=step)
        for path in files:
            if path.suffix == ".png":
                self._writer.add_image(f"plots/{path.stem}", _pixels(path), step, dataformats="HWC")
            else:
                self._writer.add_text(path.name, f"```\n{path.read_text('utf-8')}\n```", step)

    def close(self) -> None:
        self._writer.close()


def _setting(value: object) -> bool | int | float | str:
    """HPARAMS shows no other types."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
