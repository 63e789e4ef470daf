"""The sections every task shares. Defaults live here; a task adds its own `data`, `model` and `decode` sections.

Units are in the names: `*_steps` are optimizer steps, `*_tokens` are real (unpadded) model inputs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)  # fmt: skip
from pydantic_core import CoreSchema

from bmtool.base.needs import Package
from bmtool.base.paths import expand
from bmtool.sources.hub import require_here

# Of steps, rows, images: what is counted.
MANY = 10**9
# The context of a validation that is about a run which is there: rules that only say what makes no sense do not hold.
OF_A_RUN = object()
# Keys at the top that hold anchors and mean nothing themselves.
IGNORED = "^x-."

FilePath = Annotated[str, AfterValidator(expand)]
# Of data to read, which lie here: a name of the hub or a URL is refused, with the command that downloads it.
DataPath = Annotated[FilePath, AfterValidator(require_here)]
Name = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A typed section: unknown keys and wrong types are errors, nothing is coerced, no number is infinite."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    def packages(self) -> Iterator[Package]:
        """Those that the settings of this section need, those within it aside."""
        yield from ()

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """With the comment above each key as its description."""
        from bmtool.config.json_schema import described

        found = handler(core)
        described(cls, handler.resolve_ref_schema(found))
        return found


def of_sources(*sources: str) -> Iterator[Package]:
    """What reading these takes, by their names."""
    if any(source.lower().endswith((".parquet", ".arrow")) for source in sources):
        yield Package("pyarrow", "pyarrow", "reading .parquet and .arrow takes pyarrow")


class OptimSettings(Section):
    # muon: hidden matrices; adamw for the rest
    name: Literal["adamw", "adam", "sgd", "adagrad", "rmsprop", "muon"] = "adamw"
    # the learning rate at its highest
    lr: float = Field(1e-3, gt=0, le=100)
    # adam, adamw and what muon leaves to it
    betas: list[Annotated[float, Field(ge=0, lt=1)]] = Field([0.9, 0.98], min_length=2, max_length=2)
    # sgd and rmsprop
    momentum: float = Field(0.0, ge=0, lt=1)
    # not on biases, norms and embedding tables with sparse rows
    weight_decay: float = Field(0.0, ge=0, le=100)
    # on the same parameters as weight_decay
    l1: float = Field(0.0, ge=0, le=100)
    # tables with sparse rows; null: the same as lr
    sparse_lr: float | None = Field(None, gt=0, le=100)
    # 0 switches clipping off
    clip_norm: float = Field(1.0, ge=0, le=1e6)


class Optim(OptimSettings):
    """A phase of training (a GAN has two) may have settings of its own; those it does not give are those of all."""

    # phase -> what it has of its own; a GAN has generator and discriminator
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
    # how the learning rate goes from its highest to its last
    name: Literal["constant", "linear", "cosine", "exponential", "step", "inverse_sqrt", "plateau", "wsd"] = "cosine"
    # the rate rises over so many steps first
    warmup_steps: int = Field(0, ge=0, le=MANY)
    # linear, cosine, exponential, wsd: the last rate as a share of lr
    final: float = Field(0.01, ge=0, le=1)
    # wsd (warmup, stable, decay): the last steps, over which the rate falls linearly
    decay_steps: int = Field(1000, ge=1, le=MANY)
    # step: multiply by `factor` every so many steps
    step_every: int = Field(1000, ge=1, le=MANY)
    # step and plateau
    factor: float = Field(0.5, gt=0, lt=1)
    # plateau: validations without a better figure before a reduction
    plateau_patience: int = Field(2, ge=1, le=MANY)

    def require_room(self, steps: int) -> None:
        """ValueError for a schedule that a training of so many steps would end before it began."""
        if self.warmup_steps >= steps:
            raise ValueError(
                f"schedule.warmup_steps ({self.warmup_steps}) must be fewer than train.steps ({steps}), or the rate is never reached: give "
                "fewer, or for a trial the first steps of the whole with train.stop_after"
            )
        if self.name == "wsd" and self.warmup_steps + self.decay_steps > steps:
            raise ValueError(
                f"schedule.warmup_steps ({self.warmup_steps}) and decay_steps ({self.decay_steps}) of schedule.name wsd are more than "
                f"train.steps ({steps})"
            )
        if self.name == "step" and self.step_every >= steps:
            raise ValueError(
                f"schedule.step_every ({self.step_every}) of schedule.name step must be fewer than train.steps ({steps})"
            )


class Train(Section):
    # optimizer steps
    steps: int = Field(1000, ge=1, le=MANY)
    # stop at this step (several sittings); the schedule counts to `steps`
    stop_after: int | None = Field(None, ge=1, le=MANY)
    # micro-batches that make a step
    accumulate: int = Field(1, ge=1, le=10_000)
    # auto: bf16 on a GPU that has it, else fp16 with scaled losses; on a CPU the faster of fp32 and bf16, raced at the start and kept
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    # auto: a GPU where there is one; cpu, cuda, or cuda:N
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")
    # of several processes each holds all (none), or a part of weights, gradients and optimizer states (full)
    sharding: Literal["none", "full"] = "none"
    # of torch; 0: all cores
    threads: int = Field(0, ge=0, le=1024)
    # processes that build batches; any number gives the same weights
    workers: int = Field(0, ge=0, le=64)
    # only kernels that give the same bits again, and an error where there is none
    deterministic: bool = False
    # torch.compile the model
    compile: bool = False
    # decay of the moving average of the weights; 0 switches it off
    ema: float = Field(0.0, ge=0, lt=1)
    # the validation figure that decides which checkpoint is best; null: the task's own
    best: Name | None = None
    # steps between validations; there is one at the last step, too
    validate_every: int = Field(500, ge=1, le=MANY)
    # steps between checkpoints
    save_every: int = Field(500, ge=1, le=MANY)
    # steps between lines of progress
    log_every: int = Field(50, ge=1, le=MANY)
    # early stopping after so many validations without a better figure; 0: never
    patience: int = Field(0, ge=0, le=MANY)
    # newest checkpoints that are kept
    keep_last: int = Field(2, ge=1, le=1000)
    # best checkpoints that are kept
    keep_best: int = Field(1, ge=1, le=1000)
    # average this many of the best checkpoints at the end, keep it if it is better
    average_best: int = Field(0, ge=0, le=1000)
    # a run whose answers are learned beside the right ones (Hinton et al. 2015): of the same task, with the same classes or tokenizer
    teacher: FilePath | None = None
    # its scores, and those of the model that learns, are divided by it
    teacher_temperature: float = Field(2.0, ge=0.01, le=1000)
    # how much of the loss its answers are, the right ones the rest
    teacher_weight: float = Field(0.5, gt=0, le=1)

    @model_validator(mode="after")
    def _enough_checkpoints(self):
        if self.average_best > self.keep_best:
            raise ValueError(f"average_best ({self.average_best}) needs keep_best of at least as many")
        return self

    @model_validator(mode="after")
    def _somebody_teaches(self):
        fields = type(self).model_fields
        for key in ("teacher_temperature", "teacher_weight"):
            if self.teacher is None and getattr(self, key) != fields[key].default:
                raise ValueError(f"{key} is of no effect without teacher")
        return self


class Lora(Section):
    """Two small matrices beside each layer, in place of its own weights (Hu et al. 2021)."""

    # rows of the one and columns of the other
    rank: int = Field(8, ge=1, le=4096)
    # what they say counts alpha / rank times
    alpha: float = Field(16.0, gt=0, le=65_536)
    # names of layers of the backbone, or how they end, with * for anything (query, blocks.3.*); null: all linear layers and convolutions
    targets: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class Finetune(Section):
    # everything, the head, or parameters whose names start so
    train: Literal["all", "head"] | Annotated[list[Name], Field(min_length=1)] = "all"
    # with train: head, also the last N blocks of the backbone
    last_blocks: int | None = Field(None, ge=1, le=1000)
    # parameter-name prefix -> factor on the learning rate
    lr_scale: dict[Name, Annotated[float, Field(ge=0, le=1000)]] = {}
    # Each block further from the head learns at this share of the rate of the one above.
    layer_decay: float = Field(1.0, gt=0, le=1)
    # Steps after which one more block, from the head down, begins to learn.
    unfreeze_every: int | None = Field(None, ge=1, le=MANY)
    # learn adapters of the backbone in place of its weights; `train` names what else learns, `all` being what is new besides
    lora: Lora | None = None
    # share of the weights of each linear layer and convolution, the smallest, that are 0 from the first step on (Han et al. 2015)
    prune: float = Field(0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _blocks_go_with_head(self):
        if self.last_blocks is not None and self.train != "head":
            raise ValueError("last_blocks goes with `train: head`")
        if self.unfreeze_every is not None and self.train != "all":
            raise ValueError("unfreeze_every goes with `train: all`")
        return self

    @model_validator(mode="after")
    def _adapters_go_alone(self):
        if self.lora is not None and self.unfreeze_every is not None:
            raise ValueError("unfreeze_every goes without lora: what it adapts stays as it is")
        if self.lora is not None and self.prune:
            raise ValueError("prune goes without lora: what adapters add fills up the zeros")
        return self


class Card(Section):
    """What only its maker can say of a model: it stands in the run's model card, and decides nothing that is computed."""

    # SPDX, such as Apache-2.0 or CC-BY-4.0; null: not stated
    licence: Name | None = None
    # of the data, in ISO 639: [zh, en]
    language: list[Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]] = Field([], max_length=1000)
    # what the model is, and is for
    description: Name | None = None
    # what it is not for, and where it fails; a sentence each
    limits: list[Name] = Field([], max_length=100)


# What the values of `tracking` take.
TRACKING = {
    "tensorboard": [Package("tensorboard", "tensorboard", "tracking: tensorboard takes a package of that name")],
    "mlflow": [
        Package(module, "mlflow-skinny sqlalchemy alembic", "tracking: mlflow takes MLflow and what its database needs")
        for module in ("mlflow", "sqlalchemy", "alembic")
    ],
}


class BaseConfig(Section):
    if TYPE_CHECKING:  # sections that every task has its own of; `data.prepared` is where its prepared data lie
        data: Any
        model: Any

    # what is learned
    task: str
    # the run directory
    run: FilePath
    # of the weights and of all that is drawn at random
    seed: int = Field(1, ge=0, lt=2**63)
    # how long, on what, and what is kept
    train: Train = Train()
    # how weights are changed
    optim: Optim = Optim()
    # the learning rate over time
    schedule: Schedule = Schedule()
    # what is learned when other weights are started from
    finetune: Finetune = Finetune()
    # what the model card says that nothing can measure
    card: Card = Card()
    # who is told of the training besides the run directory
    tracking: list[Literal["tensorboard", "mlflow"]] = Field([], max_length=2)

    def packages(self) -> Iterator[Package]:
        for name in self.tracking:
            yield from TRACKING[name]

    @property
    def starts_from_others(self) -> bool:
        """Whether it is meant for `finetune`: it says how, or takes a vocabulary, classes or columns from a run."""
        taken = ("vocabulary", "labels", "columns_of")
        return self.says_how_to_finetune or any(getattr(self.data, key, None) for key in taken)

    @property
    def says_how_to_finetune(self) -> bool:
        return self.finetune != Finetune()

    @property
    def parameters(self) -> int:
        """About so many numbers the model learns, those that depend on the data aside; 0 where that is bounded otherwise."""
        return 0

    @model_validator(mode="after")
    def _tracked_once(self):
        if len(set(self.tracking)) < len(self.tracking):
            raise ValueError(f"tracking: {self.tracking[0]} is named twice")
        return self

    @model_validator(mode="after")
    def _schedule_fits(self, info: ValidationInfo):
        if info.context is OF_A_RUN:
            return self
        self.schedule.require_room(self.train.steps)
        if (self.finetune.unfreeze_every or 0) >= self.train.steps:
            raise ValueError(
                f"finetune.unfreeze_every ({self.finetune.unfreeze_every}) must be fewer than train.steps ({self.train.steps}): "
                "nothing would be unfrozen"
            )
        return self
