"""The typed sections of recommendation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bmtool.config import options
from bmtool.config.interactions import InteractionData
from bmtool.config.schema import BaseConfig, Section, Train


class Options(options.Options):
    top: int = Field(10, ge=1, le=1000, description="So many of the likeliest answers.")
    seen: bool = Field(False, description="Items that were taken already, too.")
    reasons: int = Field(
        3, ge=0, le=20, description="So many reasons for each item: what was taken and adds most to its score."
    )
    exclude: str | None = Field(
        None, json_schema_extra=options.LOCAL, description="A file of ids, one a line, that are not to be recommended."
    )
    only: str | None = Field(
        None, json_schema_extra=options.LOCAL, description="A file of ids, one a line: nothing else is recommended."
    )


class Popularity(Section):
    """How often items were taken: the same for everybody, and the floor of every comparison."""

    # the same for everybody
    kind: Literal["popularity"]


class Steps(Section):
    """How much each item of a history counts."""

    # of an item, as a share of that of the one after it: what was taken last says most; 1: all count alike
    decay: float = Field(1.0, gt=0, le=1)


class Transitions(Steps):
    """What follows what: counts of pairs in the order of users' histories (a Markov chain of the first order, where window is 1)."""

    # what follows what
    kind: Literal["transitions"]
    # an item follows those up to so many places before it, and the further, the less: 1 / distance
    window: int = Field(1, ge=1, le=100)
    # only so many of the last items of a history are asked what follows them
    last: int = Field(1, ge=1, le=1000)
    # of an item, as a share of that of the one after it
    decay: float = Field(0.5, gt=0, le=1)
    # added to the count of each item that is divided by, so that rare items claim less
    shrink: float = Field(0.0, ge=0, le=1e6)


class ItemKnn(Steps):
    """Items that the same users took (Sarwar et al. 2001), the nearest of each; computed in blocks, so that any number of items will do."""

    # items that the same users took
    kind: Literal["item-knn"]
    # cosine; pearson: the same of what differs from an item's mean; euclid: 1 / (1 + distance)
    similarity: Literal["cosine", "pearson", "euclid"] = "cosine"
    # of each item
    neighbours: int = Field(100, ge=1, le=10_000)
    # added to the product of norms that is divided by, so that few common users claim less
    shrink: float = Field(0.0, ge=0, le=1e6)


class UserKnn(Section):
    """What the users who took the same items took besides (Resnick et al. 1994)."""

    # users who took the same items
    kind: Literal["user-knn"]
    # as of item-knn
    similarity: Literal["cosine", "pearson", "euclid"] = "cosine"
    # of a user
    neighbours: int = Field(100, ge=1, le=10_000)


class Content(Steps):
    """Items about which the same is written: TF-IDF of `data.items.text`; nobody has to have taken them."""

    # what is written about items
    kind: Literal["content"]
    # of each item
    neighbours: int = Field(200, ge=1, le=10_000)


class Ease(Steps):
    """Linear weights of all pairs of items in closed form (EASE, Steck 2019): items x items numbers."""

    # weights of all pairs
    kind: Literal["ease"]
    # pulls weights to 0
    l2: float = Field(500.0, gt=0, le=1e9)


class Edlae(Steps):
    """EASE as if items were left out at random (EDLAE, Steck 2020), which is better at few and at popular items alike."""

    # weights of all pairs, against leaving out
    kind: Literal["edlae"]
    # share that is left out
    dropout: float = Field(0.3, gt=0, lt=1)
    # as of ease
    l2: float = Field(100.0, ge=0, le=1e9)


class Slim(Steps):
    """Sparse weights of pairs of items, none below 0 (SLIM, Ning and Karypis 2011), by coordinate descent."""

    # sparse weights of pairs
    kind: Literal["slim"]
    # pulls weights to 0
    l2: float = Field(100.0, ge=0, le=1e9)
    # makes weights 0
    l1: float = Field(5.0, ge=0, le=1e9)
    # over all weights
    sweeps: int = Field(10, ge=1, le=1000)
    # of each item at most, the largest
    neighbours: int = Field(200, ge=1, le=10_000)


class Als(Section):
    """Factors of users and items in turn, of counts as how sure one is (Hu et al. 2008); of a history the factors are solved for anew."""

    # factors, in turn
    kind: Literal["als"]
    # of each user and each item
    factors: int = Field(64, ge=1, le=1024)
    # times that users and items are solved for
    iterations: int = Field(15, ge=1, le=1000)
    # what an interaction counts beyond one that is not there
    alpha: float = Field(1.0, gt=0, le=1e6)
    # pulls factors to 0
    l2: float = Field(0.01, gt=0, le=1e6)


class PureSvd(Steps):
    """The largest singular vectors of who took what (Cremonesi et al. 2010)."""

    # singular vectors
    kind: Literal["puresvd"]
    # vectors that are kept
    factors: int = Field(64, ge=1, le=1024)


class GfCf(Steps):
    """Filters of the graph of users and items (GF-CF, Shen et al. 2021): a linear one, and an ideal low pass beside it."""

    # filters of a graph
    kind: Literal["gf-cf"]
    # of the low pass
    factors: int = Field(256, ge=1, le=1024)
    # how much it counts
    low_pass: float = Field(0.3, ge=0, le=100)
    # weights of the linear filter that are kept of each item, the largest
    neighbours: int = Field(400, ge=1, le=10_000)


Part = Annotated[
    Popularity | Transitions | ItemKnn | Content | Ease | Edlae | Slim | PureSvd | GfCf, Field(discriminator="kind")
]


class Blend(Section):
    """Several linear models added up, each divided by what its scores are like; how much each counts is chosen on the validation split."""

    # several models as one
    kind: Literal["blend"]
    # sections of other kinds
    parts: Annotated[list[Part], Field(min_length=2, max_length=10)]
    # how much each part counts, in their order; null: what gives the best figure on the validation split
    weights: Annotated[list[Annotated[float, Field(ge=0, le=1e6)]], Field(min_length=2, max_length=10)] | None = None

    @model_validator(mode="after")
    def _a_weight_each(self):
        if self.weights is not None and len(self.weights) != len(self.parts):
            raise ValueError(f"weights: one for each of the {len(self.parts)} parts, got {len(self.weights)}")
        return self


class BprMf(Steps):
    """Vectors of users and items, learned from pairs of an item that was taken and one that was not (BPR, Rendle et al. 2009)."""

    # vectors from pairs of taken and not taken
    kind: Literal["bpr-mf"]
    # numbers of a vector
    width: int = Field(64, ge=1, le=4096)
    # pulls the vectors of what was drawn to 0
    l2: float = Field(0.01, ge=0, le=100)


class LightGcn(Section):
    """Vectors that are averaged along the graph of who took what, learned from pairs as those of bpr-mf (LightGCN, He et al. 2020)."""

    # vectors averaged along the graph
    kind: Literal["lightgcn"]
    # numbers of a vector
    width: int = Field(64, ge=1, le=4096)
    # steps along the graph
    layers: int = Field(3, ge=1, le=10)
    # pulls the vectors of what was drawn to 0
    l2: float = Field(1e-4, ge=0, le=100)


class SasRec(Section):
    """A language model whose tokens are items (SASRec, Kang and McAuley 2018): the next one, by attention to those before it."""

    # a language model of items
    kind: Literal["sasrec"]
    # numbers that an item is inside of the network; a multiple of twice the heads
    width: int = Field(64, ge=8, le=4096)
    # blocks, one after the other
    layers: int = Field(2, ge=1, le=100)
    # of attention, that share the width
    heads: int = Field(2, ge=1, le=256)
    # numbers that an item is inside of a block
    feedforward: int = Field(128, ge=8, le=65_536)
    # items of a history that are read at most, the latest
    context: int = Field(50, ge=2, le=10_000)
    # share of the numbers that are left out at random while it learns
    dropout: float = Field(0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_fit(self):
        if self.width % (2 * self.heads):
            raise ValueError(f"width ({self.width}) must be a multiple of twice heads ({self.heads})")
        return self


Fitted = Popularity | Transitions | ItemKnn | UserKnn | Content | Ease | Edlae | Slim | Als | PureSvd | GfCf | Blend


TRAINED = ("bpr-mf", "lightgcn", "sasrec")
ORDERED = ("transitions", "sasrec")


class RecommendationTrain(Train):
    # interactions of one micro-batch on one process
    batch_size: int = Field(2048, ge=1, le=1 << 24)


class Config(BaseConfig):
    # who took what
    data: InteractionData
    # of the models that are trained: bpr-mf, lightgcn, sasrec
    train: RecommendationTrain = RecommendationTrain()
    # what is learned of it
    model: Annotated[Fitted | BprMf | LightGcn | SasRec, Field(discriminator="kind")]
    # of a fitted model: once it is measured on the validation rows, solve again with these among the training rows, so that a model that
    # is put to use knows what came last; figures of the validation are of the model before
    refit: bool = False

    @model_validator(mode="after")
    def _consistent(self):
        kinds = [one.kind for one in getattr(self.model, "parts", [self.model])]
        if "content" in kinds and (self.data.items is None or not self.data.items.text):
            raise ValueError(
                "model.kind: content takes what is written about items: name data.items and its text columns"
            )
        if self.data.columns.time is None and self.data.split != "given":
            for kind in ORDERED:
                if kind in kinds:
                    raise ValueError(
                        f"model.kind: {kind} takes the order in which items were taken: name data.columns.time"
                    )
        if self.refit and self.model.kind in TRAINED:
            raise ValueError(
                f"refit: {self.model.kind} is trained and not solved: `bmtool finetune` goes on from a run"
            )
        return self
