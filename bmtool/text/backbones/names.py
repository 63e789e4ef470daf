"""The names of tensors in checkpoints of others, and what they are called here."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bmtool.base.units import few
from bmtool.errors import DataError

NAMED = 3  # tensors that a message names

Tensors = dict[str, Tensor]
Parts = dict[str, Tensors]
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]


@dataclass(frozen=True)
class Names:
    """Two ways to call the same tensors.

    `prefix` stands before the names of a backbone in files of whole models. `rules` are pairs of templates, theirs and ours, whose {} stand
    for the same text; files also hold what matches `aside`, which nothing here needs. `ours` and `theirs` turn whole sets of tensors, by
    our names, into each other where names are not all that differs.
    """

    prefix: str
    rules: tuple[tuple[str, str], ...]
    aside: str
    ours: Callable[[Tensors], Tensors] = dict
    theirs: Callable[[Tensors], Tensors] = dict

    def read(self, files: Mapping[str, Tensor], shapes: Shapes, origin: str) -> Parts:
        """The tensors of each part, which must have these shapes. A head is {} where the files lack it. DataError that names what is
        missing or unknown, of another shape, or no number."""
        found = self.ours(dict(self._renamed(files, origin)))
        parts = {
            part: {
                name.removeprefix(f"{part}."): tensor for name, tensor in found.items() if name.startswith(f"{part}.")
            }
            for part in shapes
        }
        _untie(parts, shapes, origin)
        for part, wanted in shapes.items():
            if part == "backbone" or parts[part]:
                _require_fit(parts[part], wanted, origin)
        return parts

    def _renamed(self, files: Mapping[str, Tensor], origin: str) -> Iterator[tuple[str, Tensor]]:
        unknown = []
        for name in files:
            bare = name.removeprefix(self.prefix)
            if re.fullmatch(self.aside, bare):
                continue
            if (known := _renamed(bare, self.rules)) is None:
                unknown.append(name)
            else:
                yield known, files[name]
        if unknown:
            raise DataError(f"{origin} holds {few(unknown, NAMED)}, which no such network has")

    def write(self, parts: Mapping[str, Mapping[str, Tensor]]) -> Tensors:
        """As files of whole models call them."""
        held = self.theirs({f"{part}.{name}": tensor for part, held in parts.items() for name, tensor in held.items()})
        back = [(ours, theirs) for theirs, ours in self.rules]
        return {
            (self.prefix if ours.startswith("backbone.") else "") + str(_renamed(ours, back)): held[ours]
            for ours in held
        }


def _renamed(name: str, rules: Iterable[tuple[str, str]]) -> str | None:
    for given, wanted in rules:
        if match := re.fullmatch(re.escape(given).replace(r"\{\}", "(.+)"), name):
            return wanted.format(*match.groups())
    return None


def _untie(parts: Parts, shapes: Shapes, origin: str) -> None:
    """Some files hold the table of embeddings once more, as the last layer."""
    last = parts.get("head", {}).get("lm_head.weight")
    if last is None or "lm_head.weight" in shapes["head"]:
        return
    if not torch.equal(last, parts["backbone"]["embed_tokens.weight"]):
        raise DataError(
            f"{origin}: the last layer is another than the embeddings, and config.json says that they are one"
        )
    del parts["head"]["lm_head.weight"]


def _require_fit(found: Tensors, wanted: Mapping[str, tuple[int, ...]], origin: str) -> None:
    if missing := [name for name in wanted if name not in found]:
        raise DataError(f"{origin} lacks {len(missing):,} of {len(wanted):,} tensors: {few(missing, NAMED)}")
    if more := [name for name in found if name not in wanted]:
        raise DataError(f"{origin} holds {len(more):,} tensors more than its config.json says: {few(more, NAMED)}")
    for name, shape in wanted.items():
        if tuple(found[name].shape) != shape:
            raise DataError(f"{origin}: {name} is {list(found[name].shape)}, and config.json makes it {list(shape)}")
        if not torch.isfinite(found[name].sum(dtype=torch.float32)):
            raise DataError(f"{origin}: {name} holds what is no number")


# --- BERT ---


def _new_norms(tensors: Tensors) -> Tensors:
    """Files of 2018 call weight and bias of a norm gamma and beta."""
    return {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias"): tensor
        for name, tensor in tensors.items()
    }


BERT = Names(
    "bert.",
    (
        ("embeddings.{}", "backbone.embeddings.{}"),
        ("encoder.{}", "backbone.encoder.{}"),
        ("cls.predictions.bias", "head.bias"),
        ("cls.predictions.transform.{}", "head.transform.{}"),
    ),
    r"pooler\..+|cls\.seq_relationship\..+|cls\.predictions\.decoder\..+|embeddings\.position_ids",
    ours=_new_norms,
)

# --- Llama and Qwen2 ---

LLAMA = Names(
    "model.",
    (
        ("embed_tokens.{}", "backbone.embed_tokens.{}"),
        ("layers.{}", "backbone.layers.{}"),
        ("norm.{}", "backbone.norm.{}"),
        ("lm_head.weight", "head.lm_head.weight"),
    ),
    r"layers\.\d+\.self_attn\.rotary_emb\.inv_freq",
)

# --- GPT-2: another order of axes, and queries, keys and values in one matrix ---

_QKV = ("q_proj", "k_proj", "v_proj")


def _is_turned(name: str) -> bool:
    return bool(re.search(r"(qkv|_proj)\.weight$", name))


def _cut(tensors: Tensors) -> Tensors:
    found = {}
    for name, held in tensors.items():
        tensor = held.T if _is_turned(name) else held
        if ".qkv." in name:
            found |= {name.replace("qkv", part): piece for part, piece in zip(_QKV, tensor.chunk(3))}
        else:
            found[name] = tensor
    return found


def _join(tensors: Tensors) -> Tensors:
    found = {}
    for name, held in tensors.items():
        if ".k_proj." in name or ".v_proj." in name:
            continue
        tensor = torch.cat([tensors[name.replace("q_proj", part)] for part in _QKV]) if ".q_proj." in name else held
        joined = name.replace("q_proj", "qkv")
        found[joined] = tensor.T if _is_turned(joined) else tensor
    return found


GPT2 = Names(
    "transformer.",
    (
        ("wte.weight", "backbone.embed_tokens.weight"),
        ("wpe.weight", "backbone.embed_positions.weight"),
        ("ln_f.{}", "backbone.norm.{}"),
        ("h.{}.ln_1.{}", "backbone.layers.{}.input_layernorm.{}"),
        ("h.{}.ln_2.{}", "backbone.layers.{}.post_attention_layernorm.{}"),
        ("h.{}.attn.c_attn.{}", "backbone.layers.{}.self_attn.qkv.{}"),
        ("h.{}.attn.c_proj.{}", "backbone.layers.{}.self_attn.o_proj.{}"),
        ("h.{}.mlp.c_fc.{}", "backbone.layers.{}.mlp.up_proj.{}"),
        ("h.{}.mlp.c_proj.{}", "backbone.layers.{}.mlp.down_proj.{}"),
        ("lm_head.weight", "head.lm_head.weight"),
    ),
    r"h\.\d+\.attn\.(masked_)?bias",
    ours=_cut,
    theirs=_join,
)
