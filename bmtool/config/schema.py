"""The sections every task shares. Defaults live here; a task adds its own `data`, `model` and `decode` sections.

Units are in the names: `*_steps` are optimizer steps, `*_tokens` are real (unpadded) model inputs.
"""

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class Section(BaseModel):
    """A typed section: unknown keys and wrong types are errors, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class OptimSettings(Section):
    # muon: hidden matrices; adamw for the rest
    name: Literal["adamw", "adam", "sgd", "adagrad", "rmsprop", "muon"] = "adamw"
    lr: float = Field(1e-3, gt=0)
    # adam, adamw and what muon leaves to it
    betas: list[float] = Field([0.9, 0.98], min_length=2, max_length=2)
    # sgd and rmsprop
    momentum: float = Field(0.0, ge=0, lt=1)
    # not on biases, norms and embedding tables with sparse rows
    weight_decay: float = Field(0.0, ge=0)
    # on the same parameters as weight_decay
    l1: float = Field(0.0, ge=0)
    # tables with sparse rows; null: the same as lr
    sparse_lr: float | None = Field(None, gt=0)
    # 0 switches clipping off
    clip_norm: float = Field(1.0, ge=0)


class Optim(OptimSettings):
    """A phase of training (a GAN has two) may have settings of its own; those it does not give are those of all."""

    phases: dict[str, OptimSettings] = {}

    def of(self, phase: str) -> OptimSettings:
        return self.phases.get(phase, self)

    @model_validator(mode="before")
    @classmethod
    def _phases_begin_with_what_is_for_all(cls, given: Any) -> Any:
        if not (isinstance(given, dict) and isinstance(given.get("phases"), dict)):
            return given
        common = {key: value for key, value in given.items() if key != "phases"}
        try:
            OptimSettings.model_validate(common)
        except ValidationError:  # said once, of the section itself
            return given
        phases = given["phases"].items()
        return given | {"phases": {name: common | own if isinstance(own, dict) else own for name, own in phases}}


class Schedule(Section):
    name: Literal["constant", "linear", "cosine", "exponential", "step", "inverse_sqrt", "plateau", "wsd"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    # linear, cosine, exponential, wsd: the last rate as a share of lr
    final: float = Field(0.01, ge=0, le=1)
    # wsd (warmup, stable, decay): the last steps, over which the rate falls linearly
    decay_steps: int = Field(1000, ge=1)
    # step: multiply by `factor` every so many steps
    step_every: int = Field(1000, ge=1)
    # step and plateau
    factor: float = Field(0.5, gt=0, lt=1)
    # plateau: validations without a better figure before a reduction
    plateau_patience: int = Field(2, ge=1)


class Train(Section):
    steps: int = Field(1000, ge=1)
    # stop at this step (several sittings); the schedule counts to `steps`
    stop_after: int | None = Field(None, ge=1)
    # micro-batches a step
    accumulate: int = Field(1, ge=1)
    # auto: bf16 on a GPU that has it; on a CPU the faster of the two, raced when a run begins and kept
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    # 0: all cores
    threads: int = Field(0, ge=0)
    # processes that build batches; any number gives the same weights
    workers: int = Field(0, ge=0)
    deterministic: bool = False
    compile: bool = False
    # decay of the moving average of the weights; 0 switches it off
    ema: float = Field(0.0, ge=0, lt=1)
    # the validation figure that decides which checkpoint is best; null: the task's own
    best: str | None = None
    validate_every: int = Field(500, ge=1)
    save_every: int = Field(500, ge=1)
    log_every: int = Field(50, ge=1)
    # early stopping after so many validations without a better figure; 0: never
    patience: int = Field(0, ge=0)
    keep_last: int = Field(2, ge=1)
    keep_best: int = Field(1, ge=1)
    # average this many of the best checkpoints at the end, keep it if it is better
    average_best: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _enough_checkpoints(self):
        if self.average_best > self.keep_best:
            raise ValueError(f"average_best ({self.average_best}) needs keep_best of at least as many")
        return self


class Finetune(Section):
    # everything, the head, or parameters whose names start so
    train: Literal["all", "head"] | list[str] = "all"
    # with train: head, also the last N blocks of the backbone
    last_blocks: int | None = Field(None, ge=1)
    # parameter-name prefix -> factor on the learning rate
    lr_scale: dict[str, float] = {}
    # Each block further from the head learns at this share of the rate of the one above.
    layer_decay: float = Field(1.0, gt=0, le=1)
    # Steps after which one more block, from the head down, begins to learn.
    unfreeze_every: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _blocks_go_with_head(self):
        if self.last_blocks is not None and self.train != "head":
            raise ValueError("last_blocks goes with `train: head`")
        if self.unfreeze_every is not None and self.train != "all":
            raise ValueError("unfreeze_every goes with `train: all`")
        return self


class BaseConfig(Section):
    if TYPE_CHECKING:  # sections that every task has its own of; `data.prepared` is where its prepared data lie
        data: Any
        model: Any

    task: str
    # the run directory
    run: str
    seed: int = Field(1, ge=0)
    train: Train = Train()
    optim: Optim = Optim()
    schedule: Schedule = Schedule()
    finetune: Finetune = Finetune()


# Keys that may change when a run is resumed: they decide when to stop, watch and keep, not what is computed.
RESUMABLE = frozenset(
    f"train.{key}" for key in
    ("stop_after", "workers", "log_every", "save_every", "patience", "keep_last", "keep_best",
     "average_best")
) | {"run"}  # fmt: skip
