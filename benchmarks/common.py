"""What the benchmarks share: small prepared data and a way to print a spread."""

import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONFIG = "configs/pinyin2hanzi/base.yaml"
SAMPLE = "data/pinyin2hanzi/sentences"


def bmtool(*arguments: str) -> None:
    """Run a command; its own words are shown only when it fails."""
    done = subprocess.run([sys.executable, "-m", "bmtool", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)


def settings(folder: Path, *more: str) -> list[str]:
    """base.yaml on the embedded sample, with everything it writes under `folder`."""
    return [
        f"data.sources=[{SAMPLE}]",
        f"data.prepared={folder / 'prepared'}",
        f"run={folder / 'run'}",
        "data.valid_share=0.05",
        *more,
    ]


def spread(values: list[float], unit: str = "") -> str:
    """`median (min - max)`."""
    return f"{statistics.median(values):,.3g}{unit} ({min(values):,.3g} - {max(values):,.3g})"


def matmul_rate(size: int = 2048, repeats: int = 6) -> float:
    """float32 GFLOP/s of a square matrix product."""
    import torch

    a, b = torch.randn(size, size), torch.randn(size, size)
    a @ b
    began = time.perf_counter()
    for _ in range(repeats):
        a @ b
    return repeats * 2 * size**3 / (time.perf_counter() - began) / 1e9


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    found = [
        line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "cpu family", "model\t"))
    ]
    return " / ".join(dict.fromkeys(found)) or platform.processor()


def trained(config: Any, steps: int) -> tuple[list[Any], float]:
    """The batches of `steps` steps as bmtool trains them, and their seconds; a step before warms up and does not count."""
    import torch

    from bmtool import registry
    from bmtool.engine.device import choose, keep_memory
    from bmtool.engine.trainer import Trainer, seed_everything

    seed_everything(1)
    keep_memory(torch.device("cpu"))
    trainer = Trainer(registry.find(config.task).load("task").fresh(config), config, choose(config.train))
    running = trainer.run(steps + 1)
    next(running)
    began = time.perf_counter()
    for _ in running:
        pass
    seconds = time.perf_counter() - began
    return [trainer._train_batches[position] for position in range(1, steps + 1)], seconds
