"""What the tasks on labelled text share as the engine sees them. Shapes: B windows, T tokens, D width."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.base.files import read_json
from bmtool.config.labelled import LabelledData
from bmtool.data.batching import LengthBatches
from bmtool.engine.task import TRAIN_AGAIN, Graph, Identity, Trained
from bmtool.errors import ConfigError
from bmtool.nn.attribution import gradients_times_input
from bmtool.text.labelled import trunks
from bmtool.text.labelled.batches import Batch, WindowSource
from bmtool.text.labelled.kind import Kind, Schema
from bmtool.text.labelled.prepare import kind_of, open_texts
from bmtool.text.labelled.store import SCHEMA, Texts
from bmtool.text.labelled.windows import Cutting
from bmtool.text.tokenizer import FILE, Tokenizer, open_tokenizer

T = TypeVar("T", bound="LabelledTask")
SIZES = ({"rows": 1, "length": 4}, {"rows": 2, "length": 9}, {"rows": 5, "length": 3})  # that exports are compared at


def identity(texts: Texts) -> Identity:
    vocabulary = json.dumps([texts.tokenizer.sha256, texts.schema], sort_keys=True)
    return Identity(texts.manifest["data_hash"], hashlib.sha256(vocabulary.encode()).hexdigest())


def described(schema: Schema, tokenizer: Tokenizer) -> dict[str, str | bytes]:
    """Files of a run that say what its texts and targets are."""
    return {SCHEMA: json.dumps(schema, ensure_ascii=False), **tokenizer.files()}


def about_texts(kind: Kind, data: LabelledData, *, context: int, overlap: int) -> dict[str, Any]:
    """What of `about` says how texts are read: see `predict.About`."""
    return {"texts": list(kind.texts), "columns": data.columns, "context": context, "overlap": overlap}


class LabelledTask(Trained):
    """A trunk, called `backbone`, that makes a vector of every token, and a head that a task adds."""

    phases: ClassVar = {"model": ("backbone", "head")}
    bound: ClassVar = ("head",)
    numbered_by: ClassVar = "data.labels"
    unit: ClassVar = "tokens"

    def __init__(self, config: Any, tokenizer: Tokenizer, schema: Schema, trunk: nn.Module):
        self.config, self.tokenizer, self.schema = config, tokenizer, schema
        self.kind: Kind = kind_of(config)
        self.cutting = Cutting(config.model.context, self.overlap, len(self.kind.texts))
        self.modules = {"backbone": trunk, "head": self.head(trunk.features)}  # type: ignore[arg-type]

    @property
    def overlap(self) -> int:
        """Tokens that windows of a long text share with those beside them."""
        return 0

    def head(self, features: int) -> nn.Module:
        raise NotImplementedError

    @classmethod
    def fresh(cls: type[T], config: Any) -> T:
        texts = open_texts(config.data, "train", kind_of(config))
        trunk = trunks.fresh(config.model, config.data.prepared, texts.tokenizer)
        task = cls(config, texts.tokenizer, texts.schema, trunk)
        task.identity = identity(texts)
        task.prepared(texts)
        return task

    @classmethod
    def open(cls: type[T], config: Any, assets: Path) -> T:
        tokenizer = open_tokenizer(assets)
        schema = read_json(assets / SCHEMA, Schema, TRAIN_AGAIN)
        return cls(config, tokenizer, schema, trunks.open_(config.model, tokenizer, assets))

    def prepared(self, texts: Texts) -> None:
        """Hears of the training texts of a fresh task."""

    # --- weights of others ---

    @classmethod
    def pretrained_from(cls, config: Any) -> Path | None:
        weights = getattr(config.model, "weights", None)
        return Path(weights) if weights else None

    def take(self, weights: Path) -> set[str]:
        trunks.take_over(self.modules["backbone"], weights)
        return {f"backbone.{name}" for name in self.modules["backbone"].state_dict()}

    def require_readable(self, parent: Path) -> None:
        tokens = parent / "assets" / FILE
        if tokens.is_file() and open_tokenizer(parent).sha256 != self.tokenizer.sha256:
            raise ConfigError(
                f"{self.config.data.prepared} has other tokens than {parent}: prepare it with those, --set data.tokenizer={parent}"
            )

    # --- batches ---

    def texts(self, split: str) -> Texts:
        return open_texts(self.config.data, split, self.kind)

    def batches(self, split: str, seed: int | None) -> LengthBatches:
        texts = self.texts(split)
        times = None if seed is None else self.times(texts)
        source = WindowSource.of(texts, self.cutting, self.targets(texts), times)
        return source.batches(batch_tokens=self.config.train.batch_tokens, seed=seed)

    def times(self, texts: Texts) -> np.ndarray | None:
        """How often each training example comes in an epoch, int64 [examples]; None: once."""
        return None

    def targets(self, texts: Texts) -> Any:
        """See `batches.Targets`."""
        raise NotImplementedError

    def hidden(self, batch: Batch) -> Tensor:
        """What the trunk makes of the tokens, [B, T, D]."""
        return trunks.read(self.modules["backbone"], batch.token, batch.keep, batch.kind)

    def blocks(self) -> Iterable[nn.Module]:
        return getattr(self.modules["backbone"], "blocks", ())

    # --- use ---

    def about(self) -> dict[str, Any]:
        return about_texts(self.kind, self.config.data, context=self.cutting.context, overlap=self.cutting.overlap)

    def gradients(self, inputs: dict[str, np.ndarray], score: int) -> np.ndarray:
        """What each token [B, T] of some rows adds to this one of their scores, the output `scores`: gradients x input."""
        graph = self.graphs()[0]
        device = next(self.modules["backbone"].parameters()).device
        given = [torch.as_tensor(inputs[name], device=device) for name in graph.axes]
        place, vectors = graph.outputs.index("scores"), self._vectors()
        return gradients_times_input(vectors, lambda: graph.module(*given)[place][:, score]).cpu().numpy()

    def _vectors(self) -> nn.Module:
        """What makes a vector of each token."""
        parts = self.modules["backbone"].modules()
        return next(
            part for part in parts if isinstance(part, nn.Embedding) and part.num_embeddings >= self.tokenizer.size
        )

    def text_graph(self, module: nn.Module, outputs: tuple[str, ...]) -> Graph:
        """A graph that takes `token`, `keep` and `kind` [rows, length]."""
        axes = {name: ("rows", "length") for name in ("token", "keep", "kind")}
        return Graph("model", module, axes, outputs, self._example, {"rows": 3, "length": 7}, SIZES)

    def _example(self, sizes: dict[str, int]) -> dict[str, Tensor]:
        drawn = torch.Generator().manual_seed(0)
        shape = sizes["rows"], sizes["length"]
        keep = torch.ones(shape, dtype=torch.bool)
        keep[0, 2:] = False
        kind = torch.zeros(shape, dtype=torch.long)
        kind[:, 2:] = len(self.kind.texts) > 1
        return {"token": torch.randint(0, self.tokenizer.size, shape, generator=drawn), "keep": keep, "kind": kind}

    def packed(self) -> dict[str, bytes]:
        return self.tokenizer.files()

    def assets(self) -> dict[str, str | bytes]:
        return described(self.schema, self.tokenizer) | dict(trunks.assets(self.modules["backbone"]))


class Whole(nn.Module):
    """Trunk and head as one: token, keep and kind [B, T] to what the head says of the vectors [B, T, D] and `keep`."""

    def __init__(self, modules: dict[str, nn.Module]):
        super().__init__()
        self.backbone, self.head = modules["backbone"], modules["head"]

    def forward(self, token: Tensor, keep: Tensor, kind: Tensor) -> Any:
        return self.head(trunks.read(self.backbone, token, keep, kind), keep)
