"""`precision: auto` on a CPU: float32 and bf16 are raced when a run begins, and the run keeps what came.

Which is faster depends on the processor, the model and its sizes. The choice decides every bit of what is computed, so it is made once.
"""

import statistics
import time
from dataclasses import replace

from bmtool.engine import distributed
from bmtool.engine.device import DTYPES, Device
from bmtool.engine.trainer import Trainer

WARM_UP, ROUNDS = 1, 3
BEFORE = "fp32"  # what `auto` was on a CPU while run.json did not say


def settle(trainer: Trainer, kept: str | None, *, resumes: bool) -> str:
    """Give the trainer the precision that its run keeps, where the configuration leaves it open; returns its name.

    `kept` is what run.json says; without it a run that `resumes` is one of an earlier version.
    """
    device = trainer.device
    if trainer.config.train.precision == "auto":
        if kept is None and resumes and device.device.type == "cpu":
            kept = BEFORE
        if kept is not None:
            trainer.device = replace(device, precision=kept, why=f"{kept}, as this run began")
        elif device.device.type == "cpu":
            trainer.device = _raced(trainer, device)
    return trainer.device.precision


def _raced(trainer: Trainer, device: Device) -> Device:
    """What the first process found, on all of them."""
    found = _race(trainer, device) if distributed.rank() == 0 else None
    precision, why = distributed.from_first(found)
    return replace(device, precision=precision, why=why)


def _race(trainer: Trainer, device: Device) -> tuple[str, str]:
    """The faster of the two, and what to say of it: the medians of ROUNDS first batches, in turn, after one each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in DTYPES}
    tokens = 0
    for number in range(WARM_UP + ROUNDS):
        for name, taken in seconds.items():
            trainer.device = replace(device, precision=name)
            began = time.perf_counter()
            tokens = trainer.rehearse(number).tokens
            if number >= WARM_UP:
                taken.append((time.perf_counter() - began) / max(tokens, 1))
    rates = {name: 1 / statistics.median(taken) for name, taken in seconds.items()}
    faster = max(rates, key=rates.__getitem__)
    unit = trainer.task.unit
    raced = ", ".join(f"{name} {rate:,.0f} {unit}/s" for name, rate in rates.items())
    return faster, f"{faster}, the faster of the two here ({raced})"
