"""The steps since the last line of the log: their means, and how fast they went."""

from dataclasses import dataclass, field

from bmtool.base.units import duration
from bmtool.engine.trainer import Stepped


@dataclass
class Window:
    """Sums over steps. They are saved with a checkpoint, so that a resumed run logs what it would have logged."""

    steps: int = 0
    losses: dict[str, float] = field(default_factory=dict)
    grad_norms: dict[str, float] = field(default_factory=dict)
    tokens: int = 0
    examples: int = 0
    elapsed_s: float = 0.0

    def add(self, stepped: Stepped) -> None:
        self.steps += 1
        for sums, values in ((self.losses, stepped.losses), (self.grad_norms, stepped.grad_norms)):
            for phase, value in values.items():
                sums[phase] = sums.get(phase, 0.0) + value
        self.tokens += stepped.tokens
        self.examples += stepped.examples
        self.elapsed_s += stepped.elapsed_s

    def figures(self, rate_factor: float, unit: str) -> dict[str, float]:
        """What metrics.jsonl keeps of these steps; examples a second only where they are not what `unit` counts."""
        figures = {}
        for phase, loss in self.losses.items():
            prefix = "train/" if phase == "model" else f"train/{phase}_"
            figures[f"{prefix}loss"] = loss / self.steps
            figures[f"{prefix}grad_norm"] = self.grad_norms[phase] / self.steps
        figures |= {"train/rate_factor": rate_factor, f"train/{unit}_per_s": self.tokens / self.elapsed_s}
        if self.examples != self.tokens:
            figures["train/examples_per_s"] = self.examples / self.elapsed_s
        return figures

    def line(self, step: int, steps: int, unit: str) -> str:
        """For people: losses, speed, and the time that is left."""
        figures = self.figures(0.0, unit)
        losses = " ".join(
            f"{name.removeprefix('train/')} {value:.4f}" for name, value in figures.items() if name.endswith("loss")
        )
        left = duration((steps - step) * self.elapsed_s / self.steps)
        return f"step {step:,}/{steps:,}  {losses}  {figures[f'train/{unit}_per_s']:,.0f} {unit}/s  left {left}"
