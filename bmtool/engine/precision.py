"""`precision: auto` on a CPU: float32 and bf16 are raced when a run begins, and the run keeps what came.

Which is faster depends on the processor, the model and its sizes. The choice decides every bit of what is computed, so it is made once.
"""

import statistics
import time
from dataclasses import replace

from bmtool.engine import distributed
from bmtool.engine.device import Device
from bmtool.engine.trainer import Trainer

WARM_UP, ROUNDS = 1, 3
RACED = ("fp32", "bf16")
BEFORE = "fp32"  # what `auto` was on a CPU while run.json did not say


def begun(device: Device, asked: str, kept: str | None, *, resumes: bool) -> Device:
    """The device with the precision that its run keeps, where the configuration leaves it open (`asked` is auto).

    `kept` is what run.json says; without it a run that `resumes` is one of an earlier version.
    """
    if kept is None and resumes and device.device.type == "cpu":
        kept = BEFORE
    if asked != "auto" or kept is None:
        return device
    return replace(device, precision=kept, why=f"{kept}, as this run began")


def settle(trainer: Trainer, kept: str | None, *, resumes: bool) -> str:
    """Give the trainer the precision that its run keeps, raced where nothing says it; returns its name."""
    asked = trainer.config.train.precision
    trainer.device = begun(trainer.device, asked, kept, resumes=resumes)
    if asked == "auto" and kept is None and not resumes and trainer.device.device.type == "cpu":
        trainer.device = _raced(trainer, trainer.device)
    return trainer.device.precision


def _raced(trainer: Trainer, device: Device) -> Device:
    """What the first process found, on all of them; sharded ones race together."""
    found = _race(trainer, device) if distributed.rank() == 0 or trainer.is_sharded else None
    precision, why = distributed.from_first(found)
    return replace(device, precision=precision, why=why)


def _race(trainer: Trainer, device: Device) -> tuple[str, str]:
    """The faster of the two, and what to say of it: the medians of ROUNDS first batches, in turn, after one each to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in RACED}
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
