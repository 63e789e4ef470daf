"""The typed sections of text-classification and text-regression."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bmtool.config import options
from bmtool.config.labelled import PICTURES, LabelledConfig, LabelledData, LabelledTrain
from bmtool.config.schema import Name, Section
from bmtool.text.backbones.config import EncoderModel
from bmtool.text.labelled.linear.config import LinearModel, LogisticModel, NaiveBayesModel, SvmModel
from bmtool.text.labelled.models import BagModel, RnnModel, TextCnnModel


class Options(options.Top):
    """Of classes."""

    pictures: ClassVar = PICTURES


class NumberOptions(options.Options):
    """Of a number."""

    pictures: ClassVar = PICTURES


class Data(LabelledData):
    # two texts in one example, in columns that the task calls text and text_pair
    pair: bool = False
    # of an example: one class, or several, as a list or in one cell with `separator` between them (none where it is empty)
    classes: Literal["one", "several"] = "one"
    # between the classes of one cell
    separator: str = Field(",", min_length=1, max_length=10)
    # classes that have an order, from the lowest to the highest: what is wrong by more counts more (ordinal regression)
    order: list[Name] = Field([], max_length=1000)

    @model_validator(mode="after")
    def _order_is_of_one(self):
        if len(self.order) == 1 or len(set(self.order)) < len(self.order):
            raise ValueError("order: two classes or more, each once")
        if self.order and self.classes == "several":
            raise ValueError("order is of classes of which an example has one: leave out classes: several")
        if self.order and self.labels:
            raise ValueError("labels brings the classes and their order: leave order out")
        return self


class Encoder(EncoderModel):
    """BERT (Devlin et al. 2019), and what makes one vector of those of the tokens."""

    # what stands for a text: the mean over its tokens, or its first token, as BERT has it
    pooling: Literal["mean", "first"] = "mean"


class Loss(Section):
    # of one class: share of the probability that is spread over all
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # weigh each class by the inverse of its frequency
    class_weights: bool = False
    # gamma of the focal loss (Lin et al. 2017); 0: cross-entropy
    focal: float = Field(0.0, ge=0, le=100)
    # of numbers: beyond so many standard deviations an error counts linearly (Huber 1964); 0: squared error
    huber: float = Field(0.0, ge=0, le=1e6)


class Config(LabelledConfig):
    # the texts and what is right of them
    data: Data
    # a network, or a linear model of n-grams
    model: Annotated[
        Encoder | BagModel | TextCnnModel | RnnModel | NaiveBayesModel | LogisticModel | SvmModel,
        Field(discriminator="kind"),
    ]
    train: LabelledTrain = LabelledTrain()
    # what is made small
    loss: Loss = Loss()
    # over: rare classes come so often that each comes as often as the commonest
    balance: Literal["none", "over"] = "none"
    # what is chosen on the validation split when training is over: a temperature that makes probabilities honest (Guo et al. 2017); of
    # several classes the threshold of each with the best F1
    calibrate: bool = True

    @property
    def parameters(self) -> int:
        return self.model.parameters

    @property
    def is_linear(self) -> bool:
        """Whether the model is fitted, not trained."""
        return isinstance(self.model, LinearModel)

    @property
    def goal(self) -> str:
        """What is learned: one, several, ordinal or number."""
        if self.task == "text-regression":
            return "number"
        return "ordinal" if self.data.order else self.data.classes

    @model_validator(mode="after")
    def _consistent(self):
        loss, goal = self.loss, self.goal
        idle = {
            "loss.label_smoothing": loss.label_smoothing and goal != "one",
            "loss.huber": loss.huber and goal != "number",
            "loss.focal": loss.focal and goal in ("ordinal", "number"),
            "loss.class_weights": loss.class_weights and goal in ("ordinal", "number"),
            "balance": self.balance != "none" and goal in ("several", "number"),
            "data.classes": self.data.classes == "several" and goal == "number",
            "data.order": self.data.order and goal == "number",
            "data.labels": self.data.labels and goal == "number",
            "data.separator": self.data.separator != "," and goal != "several",
        }  # fmt: skip
        if named := [key for key, value in idle.items() if value]:
            raise ValueError(f"{named[0]} is of no effect on {goal if goal != 'number' else self.task}: leave it out")
        if loss.class_weights and self.balance == "over":
            raise ValueError(
                "loss.class_weights and balance: over both make up for rare classes, which is once too often: leave one of them out"
            )
        if self.is_linear:
            self._require_sense_of_a_fit()
        elif self.train.batch_tokens < self.model.context:
            raise ValueError(
                f"train.batch_tokens ({self.train.batch_tokens}) must hold model.context ({self.model.context})"
            )
        return self

    def _require_sense_of_a_fit(self) -> None:
        if self.goal == "number":
            raise ValueError(
                f"model.kind: {self.model.kind} tells classes apart: text-regression takes encoder, bag, textcnn or rnn"
            )
        idle = {
            "loss.label_smoothing": self.loss.label_smoothing, "loss.focal": self.loss.focal, "balance": self.balance != "none",
        }  # fmt: skip
        if named := [key for key, value in idle.items() if value]:
            raise ValueError(
                f"{named[0]} is of no effect on model.kind: {self.model.kind}, which is fitted: leave it out"
            )
