"""language-model as the engine sees it. Shapes: B rows, T tokens, N targets, D width, V vocabulary."""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from bmtool.base.files import read_json, write_bytes, write_text
from bmtool.data.packing import Rows
from bmtool.engine.task import TRAIN_AGAIN, Allowed, Best, Graph, Identity, Loss, Trained
from bmtool.errors import ConfigError
from bmtool.predict.assets import Held
from bmtool.tasks.language_model import prepare
from bmtool.tasks.language_model.config import Config
from bmtool.tasks.language_model.metrics import TextMeter
from bmtool.tasks.language_model.predict import Model, predictor
from bmtool.text import packing
from bmtool.text.backbones import build, hub
from bmtool.text.backbones.graphs import masked, steps
from bmtool.text.chat.chat import Chat
from bmtool.text.chat.turns import ANSWERS
from bmtool.text.masking import mask, mask_to_measure
from bmtool.text.packing import Batch, PackedBatches, Read, Stream
from bmtool.text.passages import cut
from bmtool.text.tokenizer import Tokenizer, open_tokenizer

SHAPE = "config.json"  # among the assets: the network, as the Hugging Face format describes it


class Task(Trained):
    phases: ClassVar = {"model": ("backbone", "head")}
    bound: ClassVar = ("backbone", "head")
    numbered_by: ClassVar = "data.tokenizer"
    unit: ClassVar = "tokens"
    best: ClassVar = Best("bits_per_character", "min")
    int8: ClassVar = Allowed("bits_per_character", 0.02, relative=True)

    def __init__(self, config: Config, tokenizer: Tokenizer, shape: hub.Shape, given: hub.Checkpoint | None = None):
        self.config, self.tokenizer, self.shape = config, tokenizer, shape
        self.modules = build.build(shape, config.model, given)
        self.core_parameters = sum(p.numel() for p in self.modules["backbone"].blocks.parameters())
        if config.objective == "masked" and tokenizer.special.mask is None:
            raise ConfigError(f"objective: masked: {tokenizer.origin} has no token for a mask: use objective: causal")

    @classmethod
    def pretrained_from(cls, config: Config) -> Path | None:
        return Path(config.model.weights) if config.model.weights else None

    def take(self, weights: Path) -> set[str]:
        build.take_over(self.modules, hub.open_of_kind(weights, self.config.model.kind))
        return set(self.tensors())

    @classmethod
    def fresh(cls, config: Config) -> "Task":
        stream = prepare.open_stream(config.data, config.data.prepared, "train")
        weights = cls.pretrained_from(config)
        given = hub.open_of_kind(weights, config.model.kind) if weights else None
        shape = given.shape if given else build.shape_of(config.model, stream.tokenizer.size)
        build.require_fit(config.model, config.data.prepared, stream.tokenizer, shape)
        task = cls(config, stream.tokenizer, shape, given)
        data_hash = prepare.data_hash(config.data.prepared)
        task.identity = Identity(data_hash, stream.tokenizer.sha256)
        return task

    @classmethod
    def open(cls, config: Config, assets: Path) -> "Task":
        described = read_json(assets / SHAPE, dict[str, Any], TRAIN_AGAIN)
        return cls(config, open_tokenizer(assets), hub.shape_of(described, str(assets / SHAPE)))

    @classmethod
    def as_it_is(cls, folder: Path, device: torch.device) -> "Task":
        """A checkpoint of others, to be asked and measured. DataError when it is none."""
        given, tokenizer = hub.open_checkpoint(folder), open_tokenizer(folder)
        objective = {"encoder": "masked", "decoder": "causal"}[given.format.kind]
        context = {"kind": given.format.kind, "context": given.shape.context}
        section = {"model": context, "train": {"batch_tokens": given.shape.context}}
        unused = {"data": {"sources": [str(folder)], "prepared": str(folder)}, "run": str(folder)}
        config = Config.model_validate({"task": prepare.NAME, "objective": objective} | section | unused)
        task = cls(config, tokenizer, given.shape, given)
        for module in task.modules.values():
            module.to(device).eval()
        return task

    @property
    def is_causal(self) -> bool:
        return self.config.objective == "causal"

    @property
    def is_chat(self) -> bool:
        return self.config.data.document == "dialogue"

    # --- learning ---

    def batches(self, split: str, seed: int | None) -> Any:
        config = self.config
        stream = prepare.open_stream(config.data, config.data.prepared, split)
        how = cut(config.objective, config.model.context)
        # Whoever asks for the training split in a fixed order wants some of it: a list of its documents would grow with the text.
        if seed is None and split != "train":
            make = partial(self._to_measure, stream)
            return packing.whole_batches(stream, how, batch_tokens=config.train.batch_tokens, make=make)
        seed = seed or 0
        rows = Rows(stream.tokens, how, batch=config.train.batch_tokens // config.model.context, seed=seed)

        def make(tokens_BW: np.ndarray, position: int, starts: np.ndarray) -> Batch:
            return self._to_learn(stream, tokens_BW, (seed, position), starts)

        return PackedBatches(stream, rows, make)

    def _to_learn(self, stream: Stream, tokens_BW: np.ndarray, key: tuple[int, int], starts: np.ndarray) -> Batch:
        if self.is_chat:
            turns = [stream.turns(start, start + tokens_BW.shape[1]) for start in starts.tolist()]
            return packing.batch(*packing.answers(tokens_BW, np.stack(turns)))
        document = packing.documents(tokens_BW, self.tokenizer)
        if self.is_causal:
            return packing.batch(*packing.next_tokens(tokens_BW, document))
        words = stream.words(starts, tokens_BW.shape[1]) if self.config.data.whole_words else None
        read = mask(tokens_BW, self.tokenizer, share=self.config.mask_share, key=key, words_BT=words)
        return packing.batch(Read(*read), document)

    def _to_measure(self, stream: Stream, places: list[tuple[int, int]]) -> Batch:
        rows = [stream.span(*place) for place in places]
        if self.is_causal:
            asked = [stream.turns(*place) & ANSWERS for place in places] if self.is_chat else None
            return packing.measured_next(rows, self.tokenizer, asked)
        hidden = [mask_to_measure(row, self.tokenizer, self.config.mask_share) for row in rows]
        return packing.measured_masked(hidden, self.tokenizer)

    def loss(self, phase: str, batch: Batch) -> Loss:
        nats, _, target = self._nats(batch)
        return Loss(nats.sum(), len(target))

    def refuses(self, teacher: "Task") -> str:
        if self.config.objective != teacher.config.objective:
            return f"its objective is {teacher.config.objective}, and here it is {self.config.objective}"
        if self.tokenizer.sha256 != teacher.tokenizer.sha256 or self.shape.vocabulary != teacher.shape.vocabulary:
            sizes = f"{teacher.shape.vocabulary:,} of them, and {self.shape.vocabulary:,} here"
            return f"its tokens are others ({sizes}): prepare the data with `--set data.tokenizer={self.config.train.teacher}`"
        if self.config.model.context > (most := teacher.about()["context"]):
            return f"it reads {most:,} tokens, and model.context is {self.config.model.context:,}"
        return ""

    def taught(self, batch: Batch, temperature: float) -> tuple[Loss, Tensor]:
        target = batch.target[batch.target != packing.NOTHING]
        with torch.no_grad():
            theirs = self.teacher.asked(batch)  # type: ignore[union-attr]
        hard, soft = build.nats_taught(self.asked(batch), theirs, target, temperature)
        return Loss(hard.sum(), len(target)), soft.sum()

    def asked(self, batch: Batch) -> build.Place:
        """What stands at every target."""
        backbone = self.modules["backbone"]
        x_BTD = backbone(batch.token, batch.keep(causal=self.is_causal), batch.place)
        return build.Place(self.modules["head"], x_BTD[batch.target != packing.NOTHING], build.table(backbone))

    def _nats(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """-log p [N] of every target, what stands at it [N, D], and the targets [N]."""
        place, target = self.asked(batch), batch.target[batch.target != packing.NOTHING]
        return build.nats(*place, target), place.x_ND, target

    def blocks(self) -> Iterable[nn.Module]:
        return self.modules["backbone"].blocks  # type: ignore[return-value]

    def meter(self) -> TextMeter:
        return TextMeter()

    def answers(self, batch: Batch) -> tuple[np.ndarray, None]:
        nats, x_ND, target = self._nats(batch)
        right = build.likeliest(self.modules["head"], x_ND, build.table(self.modules["backbone"])) == target
        characters = torch.from_numpy(self.tokenizer.characters).to(target.device)[target]
        row = (batch.target != packing.NOTHING).nonzero()[:, 0].cpu().numpy()
        columns = [nats.double(), right, torch.ones_like(target), characters]
        return np.stack([np.bincount(row, value.cpu().numpy(), batch.size) for value in columns], axis=1), None

    # --- use ---

    def about(self) -> dict[str, Any]:
        shape, context = self.shape, min(self.config.model.context, self.shape.context)
        cache = [shape.layers, shape.key_value_heads, shape.head_width] if self.is_causal else []
        return {
            "objective": self.config.objective, "context": context, "cache": cache, "mask_share": self.config.mask_share,
            "chat": self.is_chat,
        }  # fmt: skip

    def graphs(self) -> Sequence[Graph]:
        make = steps if self.is_causal else masked
        return [make(self.modules["backbone"], self.modules["head"], self.shape)]

    def predictor(self) -> Model:
        return predictor(self.about(), self.backend(), Held(self.packed))

    def packed(self) -> dict[str, bytes]:
        return self.tokenizer.files()

    def assets(self) -> dict[str, str | bytes]:
        name, described = hub.described(self.shape)
        return {SHAPE: json.dumps({"model_type": name, **described}, indent=2)} | self.packed()

    def write_checkpoint(self, folder: Path) -> None:
        """As others load it: see `backbones.hub`."""
        parts = {part: module.state_dict() for part, module in self.modules.items()}
        numbers = hub.special_numbers(self.tokenizer.special, causal=self.is_causal)
        hub.write_checkpoint(folder, self.shape, parts, numbers)
        for name, contents in self.tokenizer.for_others(causal=self.is_causal).items():
            write_bytes(folder / name, contents)
        if self.is_causal:
            write_text(folder / "generation_config.json", json.dumps(numbers | self._ends(), indent=2) + "\n")

    def _ends(self) -> dict[str, Any]:
        """What ends a turn of a dialogue, where that is another token than what ends a text."""
        token = Chat(self.tokenizer).ending.token if self.is_chat else self.tokenizer.end
        return {"eos_token_id": [self.tokenizer.end, token]} if token != self.tokenizer.end else {}
