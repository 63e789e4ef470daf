"""Encoder-decoders. Shapes: B batch, S sources, T targets, D width, V target vocabulary, R rows of a search.

Each is a `backbone` (reads the source) and a `head` (writes the target), so that another run can take over either by name.
"""

from typing import ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bmtool.nn.graph import Graph
from bmtool.nn.rnn import AttentionalDecoder, BidirectionalEncoder
from bmtool.nn.transformer import Decoder, Encoder
from bmtool.text.seq2seq.config import Rnn, Transformer
from bmtool.text.seq2seq.specials import BEGIN, PAD

State = dict[str, Tensor]  # a row a sentence, or a row a hypothesis


class Batch(Protocol):
    source: Tensor  # int64 [B, S]

    def closed_target(self) -> Tensor:
        """Targets int64 [B, T] with END behind the last of each row, then PAD."""


# --- backbones: source [B, S] and which of it is real [B, S] -> [B, S, D] ---


class TransformerBackbone(nn.Module):
    """Embeddings and an encoder of attention blocks."""

    def __init__(self, model: Transformer, sources: int):
        super().__init__()
        self.embedding = nn.Embedding(sources, model.width, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=1.0)
        self.dropout = nn.Dropout(model.dropout)
        self.encoder = Encoder(**_blocks(model))

    @property
    def blocks(self) -> nn.ModuleList:
        return self.encoder.blocks

    def forward(self, source_BS: Tensor, keep_BS: Tensor) -> Tensor:
        return self.encoder(self.dropout(self.embedding(source_BS)), keep_BS)


class RnnBackbone(nn.Module):
    """Embeddings and a bidirectional recurrent encoder."""

    def __init__(self, model: Rnn, sources: int):
        super().__init__()
        self.embedding = nn.Embedding(sources, model.width, padding_idx=PAD)
        self.encoder = BidirectionalEncoder(
            cell=model.cell, width=model.width, layers=model.layers, dropout=model.dropout
        )

    @property
    def blocks(self) -> nn.ModuleList:
        return self.encoder.forwards

    def forward(self, source_BS: Tensor, keep_BS: Tensor) -> Tensor:
        return self.encoder(self.embedding(source_BS), keep_BS)


def _blocks(model: Transformer) -> dict:
    names = ("width", "layers", "heads", "feedforward", "dropout")
    return {name: getattr(model, name) for name in names}


# --- heads ---


class Writer(nn.Module):
    """What the heads share: embeddings of what was written, and scores over the whole target vocabulary."""

    # Which of the state a step changes.
    MOVING: ClassVar[tuple[str, ...]]
    # Axes of the state that may be of any size, besides the rows, with a name for what they count.
    OPEN: ClassVar[dict[str, dict[int, str]]]

    def __init__(self, width: int, targets: int):
        super().__init__()
        self.embedding = nn.Embedding(targets, width)
        self.out = nn.Linear(width, targets)
        nn.init.normal_(self.embedding.weight, std=1.0)

    def start(self, encoded_BSD: Tensor, keep_BS: Tensor) -> State:
        """The state before the first written token."""
        raise NotImplementedError

    def write(self, tokens_BT: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores [B, T, V] after each of `tokens_BT`, and the moving part of the state behind the last."""
        raise NotImplementedError


class TransformerHead(Writer):
    MOVING = ("past",)
    OPEN: ClassVar = {"past": {4: "written"}, "memory": {4: "length"}, "keep": {1: "length"}}

    def __init__(self, model: Transformer, targets: int):
        super().__init__(model.width, targets)
        self.dropout = nn.Dropout(model.dropout)
        self.decoder = Decoder(**_blocks(model))

    def start(self, encoded_BSD: Tensor, keep_BS: Tensor) -> State:
        past = self.decoder.empty_past(encoded_BSD.shape[0], encoded_BSD.device)
        return {"past": past, "memory": self.decoder.memory(encoded_BSD), "keep": keep_BS}

    def write(self, tokens_BT: Tensor, state: State) -> tuple[Tensor, State]:
        x_BTD = self.dropout(self.embedding(tokens_BT))
        out_BTD, past = self.decoder(x_BTD, state["past"], state["memory"], state["keep"])
        return self.out(out_BTD), {"past": past}


class RnnHead(Writer):
    MOVING = ("hidden", "cell")
    OPEN: ClassVar = {"memory": {1: "length"}, "keys": {1: "length"}, "keep": {1: "length"}}

    def __init__(self, model: Rnn, targets: int):
        super().__init__(model.width, targets)
        self.dropout = nn.Dropout(model.dropout)
        self.decoder = AttentionalDecoder(
            cell=model.cell, attention=model.attention, width=model.width, layers=model.layers, dropout=model.dropout
        )

    def start(self, encoded_BSD: Tensor, keep_BS: Tensor) -> State:
        hidden, cell = self.decoder.start(encoded_BSD, keep_BS)
        keys = self.decoder.attention.key(encoded_BSD)
        return {"hidden": hidden, "cell": cell, "memory": encoded_BSD, "keys": keys, "keep": keep_BS}

    def write(self, tokens_BT: Tensor, state: State) -> tuple[Tensor, State]:
        x_BTD = self.dropout(self.embedding(tokens_BT))
        hidden, cell, outputs = state["hidden"], state["cell"], []
        for x_BD in x_BTD.unbind(1):
            out_BD, hidden, cell = self.decoder(
                x_BD, hidden, cell, memory_BSD=state["memory"], keys_BSA=state["keys"], keep_BS=state["keep"]
            )
            outputs.append(out_BD)
        return self.out(torch.stack(outputs, dim=1)), {"hidden": hidden, "cell": cell}


# --- the whole ---

PARTS = {"transformer": (TransformerBackbone, TransformerHead), "rnn": (RnnBackbone, RnnHead)}


class EncoderDecoder(nn.Module):
    """Reads the whole source, then writes one token after the other (`start`, then `step`), trained by teacher forcing."""

    def __init__(self, model: Transformer | Rnn, sources: int, targets: int):
        """sources, targets: the sizes of the two vocabularies, each with the numbers of `specials` first."""
        super().__init__()
        backbone, head = PARTS[model.kind]
        self.backbone, self.head = backbone(model, sources), head(model, targets)

    def loss(self, batch: Batch, smoothing: float) -> tuple[Tensor, Tensor, int]:
        """Summed loss, number right, number of targets (every written token and the end)."""
        target_BT = batch.closed_target()
        written_BT = F.pad(target_BT[:, :-1], (1, 0), value=BEGIN)
        score_BTV, _ = self.head.write(written_BT, self.start(batch.source))
        loss = F.cross_entropy(
            score_BTV.float().flatten(0, 1),
            target_BT.flatten(),
            ignore_index=PAD,
            reduction="sum",
            label_smoothing=smoothing,
        )
        real_BT = target_BT != PAD
        return loss, (score_BTV.argmax(-1) == target_BT)[real_BT].sum(), int(real_BT.sum())

    def start(self, source_BS: Tensor) -> State:
        """The state before the first written token."""
        keep_BS = source_BS != PAD
        return self.head.start(self.backbone(source_BS, keep_BS), keep_BS)

    def step(self, token_R: Tensor, state: State) -> tuple[Tensor, State]:
        """Scores [R, V] of what follows `token_R`, and the moving part of the next state."""
        score_RTV, moved = self.head.write(token_R[:, None], state)
        return score_RTV[:, 0], moved

    def graphs(self, sources: int) -> list[Graph]:
        """`start` (source -> state) and `step` (token and state -> scores, and what moves as next_NAME); `sources` as above."""
        traced = {"rows": 3, "length": 7, "written": 4}
        device = next(self.parameters()).device

        def source(sizes: dict[str, int]) -> Tensor:
            drawn = torch.Generator().manual_seed(0)
            return torch.randint(PAD + 1, sources, (sizes["rows"], sizes["length"]), generator=drawn).to(device)

        def step(sizes: dict[str, int]) -> dict[str, Tensor]:
            token_R = torch.zeros(sizes["rows"], dtype=torch.int64, device=device)
            return {"token": token_R} | self._after(source(sizes), token_R, sizes["written"])

        state = step(traced)
        axes = {name: self._axes(name, value) for name, value in state.items()}
        made = tuple(name for name in state if name != "token")
        outputs = ("scores", *(f"next_{name}" for name in self.head.MOVING))
        start = Graph(
            "start", _Start(self), {"source": ("rows", "length")}, made, lambda sizes: {"source": source(sizes)}, traced
        )
        return [start, Graph("step", _Step(self, list(made)), axes, outputs, step, traced)]

    @torch.no_grad()
    def _after(self, source_BS: Tensor, token_R: Tensor, steps: int) -> State:
        """The state after so many steps: a cache that holds something."""
        state = self.start(source_BS)
        for _ in range(steps):
            state |= self.step(token_R, state)[1]
        return state

    def _axes(self, name: str, value: Tensor) -> tuple[str | int, ...]:
        names = {0: "rows"} | self.head.OPEN.get(name, {})
        return tuple(names.get(axis, size) for axis, size in enumerate(value.shape))


class _Start(nn.Module):
    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model.start(source).values())


class _Step(nn.Module):
    def __init__(self, model: EncoderDecoder, names: list[str]):
        super().__init__()
        self.model, self.names = model, names

    def forward(self, token: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        scores, moved = self.model.step(token, dict(zip(self.names, state)))
        return scores, *moved.values()
