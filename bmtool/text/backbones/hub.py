"""Checkpoints in the Hugging Face format: config.json, model.safetensors (whole or in parts), a tokenizer. Nothing of one is executed."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor

from bmtool.base.files import read_json, write_text
from bmtool.base.suggest import suggest
from bmtool.base.units import few
from bmtool.errors import DataError
from bmtool.text.backbones import decoder, encoder
from bmtool.text.backbones.names import BERT, GPT2, LLAMA, Names, Parts, Shapes

AGAIN = "copy it again from where it came"
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
NAMED = 3  # tensors that a message names

Shape: TypeAlias = encoder.Shape | decoder.Shape
Config: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Format:
    """How checkpoints of one `model_type` are read and written."""

    kind: str
    names: Names
    shape: Callable[["Settings"], Shape]


class Settings:
    """config.json, whose values are asked for by name and with what they may be."""

    def __init__(self, given: Config, origin: str):
        self._given, self._origin = given, origin

    def number(self, name: str, default: Any = None, *, kind: type = int) -> Any:
        """DataError when it is missing, or no number above 0."""
        value = self._given.get(name)
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | kind) or not 0 < value < 1 << 31:
            raise DataError(f"{self._origin}: {name} is {value!r}, expected a number above 0")
        return value

    def flag(self, name: str, default: bool) -> bool:
        value = self._given.get(name, default)
        if not isinstance(value, bool):
            raise DataError(f"{self._origin}: {name} is {value!r}, expected true or false")
        return value

    def within(self, name: str) -> "Settings":
        """Those of a section, which newer files have, before those of all."""
        section = self._given.get(name) or {}
        if not isinstance(section, dict):
            raise DataError(f"{self._origin}: {name} is {section!r}, expected names and values")
        return Settings(self._given | section, self._origin)

    def require(self, name: str, *known: Any) -> Any:
        """DataError for a value that is none of those that are computed here; the first is that of a file that does not say."""
        value = self._given.get(name, known[0])
        if value not in known:
            raise DataError(
                f"{self._origin}: {name} is {value!r}, and only {', '.join(map(repr, known))} can be used here"
            )
        return value


def _encoder(given: Settings) -> encoder.Shape:
    given.require("position_embedding_type", "absolute")
    given.require("is_decoder", False)
    width = given.number("hidden_size")
    return encoder.Shape(
        vocabulary=given.number("vocab_size"), width=width, layers=given.number("num_hidden_layers"),
        heads=_divides(given, "num_attention_heads", width), feedforward=given.number("intermediate_size"),
        context=given.number("max_position_embeddings"), kinds=given.number("type_vocab_size", 2),
        epsilon=given.number("layer_norm_eps", 1e-12, kind=float), activation=given.require("hidden_act", *encoder.ACTIVATIONS),
    )  # fmt: skip


def _divides(given: Settings, name: str, width: int) -> int:
    heads = given.number(name)
    if width % heads:
        raise DataError(f"{given._origin}: {name} ({heads}) does not divide the width ({width})")
    return heads


def _decoder(given: Settings, *, bias: bool) -> decoder.Shape:
    given.require("hidden_act", "silu")
    given.require("rope_scaling", None)
    rope = given.within("rope_parameters")
    rope.require("rope_type", "default")
    given.require("attention_bias", False)
    given.require("mlp_bias", False)
    given.require("use_sliding_window", False)
    width = given.number("hidden_size")
    heads = given.number("num_attention_heads")
    return decoder.Shape(
        vocabulary=given.number("vocab_size"), width=width, layers=given.number("num_hidden_layers"), heads=heads,
        key_value_heads=given.number("num_key_value_heads", heads), head_width=given.number("head_dim", width // heads),
        feedforward=given.number("intermediate_size"), context=given.number("max_position_embeddings"),
        qkv_bias=bias, tied=given.flag("tie_word_embeddings", False), rope_base=rope.number("rope_theta", 10_000.0, kind=float),
        epsilon=given.number("rms_norm_eps", 1e-6, kind=float),
    )  # fmt: skip


def _classic(given: Settings) -> decoder.Shape:
    given.require("activation_function", "gelu_new", "gelu_pytorch_tanh")
    given.require("scale_attn_by_inverse_layer_idx", False)
    width, heads = given.number("n_embd"), None
    heads = _divides(given, "n_head", width)
    return decoder.Shape(
        vocabulary=given.number("vocab_size"), width=width, layers=given.number("n_layer"), heads=heads, key_value_heads=heads,
        head_width=width // heads, feedforward=given.number("n_inner", 4 * width), context=given.number("n_positions"),
        tied=given.flag("tie_word_embeddings", True), epsilon=given.number("layer_norm_epsilon", 1e-5, kind=float), classic=True,
    )  # fmt: skip


FORMATS = {
    "bert": Format("encoder", BERT, _encoder),
    "llama": Format("decoder", LLAMA, lambda given: _decoder(given, bias=False)),
    "qwen2": Format("decoder", LLAMA, lambda given: _decoder(given, bias=True)),
    "gpt2": Format("decoder", GPT2, _classic),
}


# --- reading ---


@dataclass(frozen=True)
class Checkpoint:
    """A directory that was looked at: what network it holds, and where its tensors lie."""

    folder: Path
    format: Format
    shape: Shape

    def tensors(self, shapes: Shapes) -> Parts:
        """Of "backbone" and "head" (which a file may lack), by the names and of the shapes that they have here; they stay on disk until
        they are used. DataError that names what is missing, unknown, of another shape or no number."""
        return self.format.names.read(_Files(self.folder), shapes, str(self.folder))


def open_checkpoint(folder: Path) -> Checkpoint:
    """DataError for what is no checkpoint, or one of a network that is not built here."""
    path = folder / CONFIG
    if not path.is_file():
        raise DataError(f"{folder} has no {CONFIG}: name a directory in the Hugging Face format")
    given: Config = read_json(path, dict[str, Any], AGAIN)
    found = _format(given, str(folder))
    return Checkpoint(folder, found, found.shape(Settings(given, str(path))))


def open_of_kind(folder: Path, kind: str) -> Checkpoint:
    """As `open_checkpoint`; DataError also for none of `kind`."""
    found = open_checkpoint(folder)
    if found.format.kind != kind:
        name, _ = described(found.shape)
        raise DataError(
            f"model.weights: {folder} is of type {name}, which is a {found.format.kind}: set model.kind to that"
        )
    return found


def shape_of(given: Config, origin: str) -> Shape:
    """The network that a config.json describes. DataError when it is none that is built here."""
    return _format(given, origin).shape(Settings(given, origin))


def _format(given: Config, origin: str) -> Format:
    name = given.get("model_type")
    if not isinstance(name, str) or name not in FORMATS:
        raise DataError(
            f"{origin} is a model of type {name!r}{suggest(str(name), list(FORMATS))}: {', '.join(FORMATS)} can be read"
        )
    return FORMATS[name]


class _Files(Mapping[str, Tensor]):
    """The tensors of a directory by the names in its files. Each is mapped into memory by itself, so that what is let go takes none."""

    def __init__(self, folder: Path):
        self._held: dict[str, Path] = {}
        for path in _paths(folder):
            with _opened(path) as file:
                self._held |= dict.fromkeys(file.keys(), path)

    def __getitem__(self, name: str) -> Tensor:
        with _opened(self._held[name]) as file:
            return file.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path} cannot be read ({str(error).splitlines()[0][:120]}): {AGAIN}") from error


def _paths(folder: Path) -> list[Path]:
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        named = read_json(folder / INDEX, dict[str, Any], AGAIN).get("weight_map")
        if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
            raise DataError(f"{folder / INDEX} does not say which tensor is in which file: {AGAIN}")
        names = sorted(set(named.values()))
        if strange := [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]:
            raise DataError(f"{folder / INDEX} names {strange[0]!r}, which is no file beside it")
        if missing := [name for name in names if not (folder / name).is_file()]:
            raise DataError(f"{folder}: {few(missing, NAMED)} of {len(names)} files of weights are missing: {AGAIN}")
        return [folder / name for name in names]
    if pickles := sorted(path.name for path in folder.glob("*.bin")):
        raise DataError(
            f"{folder} holds its weights as {pickles[0]}, a pickle, which can run code and is not opened: save the model as safetensors"
        )
    raise DataError(f"{folder} has no {WEIGHTS}: {AGAIN}")


# --- writing ---


def write_checkpoint(folder: Path, shape: Shape, parts: Mapping[str, Mapping[str, Tensor]], more: Config) -> None:
    """config.json and model.safetensors of a network; `more` joins its config.json (numbers of special tokens)."""
    from safetensors.torch import save_file

    name, given = described(shape)
    theirs = FORMATS[name].names.write(parts)
    save_file({key: tensor.contiguous() for key, tensor in theirs.items()}, folder / WEIGHTS, {"format": "pt"})
    dtype = str(next(iter(theirs.values())).dtype).removeprefix("torch.")
    held = {"model_type": name, **given, "torch_dtype": dtype, **more}
    write_text(folder / CONFIG, json.dumps(held, indent=2) + "\n")


def special_numbers(special: Any, *, causal: bool) -> dict[str, int]:
    """What config.json says of special tokens (`tokenizer.Special`)."""
    found = {"pad_token_id": special.pad}
    if causal:
        found |= {"bos_token_id": special.begin, "eos_token_id": special.end}
    return {name: number for name, number in found.items() if number is not None}


def described(shape: Shape) -> tuple[str, Config]:
    """`model_type`, and what config.json says of a network."""
    if isinstance(shape, encoder.Shape):
        return "bert", {
            "architectures": ["BertForMaskedLM"], "vocab_size": shape.vocabulary, "hidden_size": shape.width,
            "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "intermediate_size": shape.feedforward,
            "max_position_embeddings": shape.context, "type_vocab_size": shape.kinds, "layer_norm_eps": shape.epsilon,
            "hidden_act": shape.activation, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
        }  # fmt: skip
    if shape.classic:
        return "gpt2", {
            "architectures": ["GPT2LMHeadModel"], "vocab_size": shape.vocabulary, "n_embd": shape.width, "n_layer": shape.layers,
            "n_head": shape.heads, "n_inner": shape.feedforward, "n_positions": shape.context, "activation_function": "gelu_new",
            "layer_norm_epsilon": shape.epsilon, "tie_word_embeddings": shape.tied,
            "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
        }  # fmt: skip
    name, architecture = ("qwen2", "Qwen2ForCausalLM") if shape.qkv_bias else ("llama", "LlamaForCausalLM")
    return name, {
        "architectures": [architecture], "vocab_size": shape.vocabulary, "hidden_size": shape.width,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads, "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_width, "intermediate_size": shape.feedforward, "max_position_embeddings": shape.context,
        "tie_word_embeddings": shape.tied, "rope_theta": shape.rope_base, "rms_norm_eps": shape.epsilon, "hidden_act": "silu",
    }  # fmt: skip
