"""The shared text backbones: parity with transformers on small random checkpoints, in both directions, and checkpoints that are refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from bmtool import torchvision  # noqa: F401  before transformers, which imports the other one
from bmtool.errors import DataError
from bmtool.text.backbones import decoder, encoder, hub
from bmtool.text.backbones.build import build
from bmtool.text.backbones.config import DecoderModel, EncoderModel

transformers = pytest.importorskip("transformers")

SMALL = {
    "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48,
    "max_position_embeddings": 64,
}  # fmt: skip
GROUPED = SMALL | {"num_key_value_heads": 2}
MODELS = {
    "bert": ("BertForMaskedLM", "BertConfig", SMALL),
    "llama": ("LlamaForCausalLM", "LlamaConfig", GROUPED),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", GROUPED | {"tie_word_embeddings": True, "rope_theta": 1e6}),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
                                               "bos_token_id": 0, "eos_token_id": 0}),
}  # fmt: skip
NETWORKS = {"encoder": (encoder.Encoder, encoder.MaskedHead), "decoder": (decoder.Decoder, decoder.CausalHead)}
TOKENS = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=MODELS)
def theirs(request, tmp_path):
    """A model of transformers' with random weights, and the directory it was saved to."""
    model, config, settings = MODELS[request.param]
    torch.manual_seed(0)
    made = getattr(transformers, model)(getattr(transformers, config)(**settings)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.3)
    made.save_pretrained(tmp_path / "theirs")
    return made, tmp_path / "theirs"


def opened(folder):
    """Backbone and head with the weights of a directory."""
    checkpoint = hub.open_checkpoint(folder)
    model = {"encoder": EncoderModel, "decoder": DecoderModel}[checkpoint.format.kind]()
    parts = build(checkpoint.shape, model, checkpoint)
    return parts["backbone"].eval(), parts["head"].eval()


@torch.no_grad()
def scores(backbone, head, tokens):
    return head(backbone(tokens), table(backbone))


def table(backbone):
    return (backbone.embed_tokens if hasattr(backbone, "embed_tokens") else backbone.embeddings.word_embeddings).weight


@torch.no_grad()
def test_a_checkpoint_of_others_says_the_same_here_and_back_there(theirs, tmp_path):
    model, folder = theirs
    expected = model(TOKENS).logits
    backbone, head = opened(folder)
    assert expected.std() > 0.1
    torch.testing.assert_close(scores(backbone, head, TOKENS), expected, atol=1e-4, rtol=1e-5)
    out = tmp_path / "ours"
    out.mkdir()
    hub.write_checkpoint(out, backbone.shape, {"backbone": backbone.state_dict(), "head": head.state_dict()}, {})
    again, info = type(model).from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    torch.testing.assert_close(again.eval()(TOKENS).logits, expected, atol=1e-5, rtol=1e-5)
    (hidden,) = [
        m
        for m in (getattr(model, "bert", None), getattr(model, "model", None), getattr(model, "transformer", None))
        if m
    ]
    torch.testing.assert_close(backbone(TOKENS), hidden(TOKENS)[0], atol=1e-4, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("classic", [False, True])
def test_steps_on_a_cache_say_what_the_whole_says(classic):
    """Rows of other lengths too: what stands in front of a short one changes nothing."""
    shape = decoder.Shape(50, 32, 2, 4, 4 if classic else 2, 8, 48, 64, classic=classic)
    torch.manual_seed(0)
    backbone = decoder.Decoder(shape).eval()
    whole = backbone(TOKENS)
    past, found = backbone.empty_past(2, TOKENS.device), []
    for start, end in ((0, 4), (4, 5), (5, 9)):
        out, past = backbone.step(TOKENS[:, start:end], past, torch.ones(2, end, dtype=torch.bool))
        found.append(out)
    torch.testing.assert_close(torch.cat(found, 1), whole)
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[0, :3] = False
    out, _ = backbone.step(TOKENS, backbone.empty_past(2, TOKENS.device), keep)
    torch.testing.assert_close(out[:1, 3:], backbone(TOKENS[:1, 3:]))
    torch.testing.assert_close(out[1:], whole[1:])


@pytest.mark.parametrize("kind", NETWORKS)
def test_what_is_computed_again_gives_the_same_gradients(kind):
    shapes = {
        "encoder": encoder.Shape(50, 32, 2, 4, 48, 64), "decoder": decoder.Shape(50, 32, 2, 4, 2, 8, 48, 64)
    }  # fmt: skip
    made = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        network = NETWORKS[kind][0](shapes[kind], checkpointing=checkpointing).train()
        network(TOKENS).square().sum().backward()
        made.append([parameter.grad for parameter in network.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*made))


def test_documents_of_one_row_do_not_see_each_other():
    shape = decoder.Shape(50, 32, 2, 4, 2, 8, 48, 64)
    torch.manual_seed(0)
    backbone = decoder.Decoder(shape).eval()
    document = torch.tensor([[0] * 4 + [1] * 5])
    keep = (document[:, :, None] == document[:, None, :]).tril()[:, None]
    places = torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4]])
    found = backbone(TOKENS[:1], keep, places)
    torch.testing.assert_close(found[:, 4:], backbone(TOKENS[:1, 4:]))


# --- what is refused ---


@pytest.fixture
def llama(tmp_path):
    shape = decoder.Shape(50, 32, 2, 4, 2, 8, 48, 64, tied=False)
    backbone, head = decoder.Decoder(shape), decoder.CausalHead(shape)
    hub.write_checkpoint(tmp_path, shape, {"backbone": backbone.state_dict(), "head": head.state_dict()}, {})
    opened(tmp_path)
    return tmp_path


def change(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | settings), encoding="utf-8")


@pytest.mark.parametrize("settings, message", [
    ({"model_type": "albert"}, "is a model of type 'albert'.*bert, llama, qwen2, gpt2 can be read"),
    ({"model_type": ["a"]}, r"is a model of type \['a'\].*can be read"),
    ({"model_type": "lama"}, "mean .?llama"),
    ({"hidden_act": "relu"}, "hidden_act is 'relu', and only 'silu' can be used here"),
    ({"rope_scaling": {"factor": 8}}, "rope_scaling is .*only None"),
    ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type is 'yarn'"),
    ({"hidden_size": -1}, "hidden_size is -1, expected a number above 0"),
    ({"hidden_size": 1 << 40}, "hidden_size is"),
    ({"tie_word_embeddings": True}, "the last layer is another than the embeddings"),
    ({"vocab_size": 51}, r"embed_tokens.weight is \[50, 32\], and config.json makes it \[51, 32\]"),
    ({"num_hidden_layers": 3}, r"lacks 9 of 29 tensors: layers.2.input_layernorm.weight"),
    ({"num_hidden_layers": 1}, r"holds 9 tensors more than its config.json says: layers.1"),
])  # fmt: skip
def test_a_config_that_does_not_fit_is_refused_by_name(llama, settings, message):
    change(llama, **settings)
    with pytest.raises(DataError, match=message):
        opened_as_decoder(llama)


def opened_as_decoder(folder):
    checkpoint = hub.open_checkpoint(folder)
    parts = {"backbone": decoder.Decoder(checkpoint.shape), "head": decoder.CausalHead(checkpoint.shape)}
    checkpoint.tensors({part: {n: tuple(t.shape) for n, t in m.state_dict().items()} for part, m in parts.items()})


def test_weights_that_cannot_be_used_are_refused(llama):
    path = llama / "model.safetensors"
    tensors = load_file(path)
    broken = tensors | {"model.norm.weight": torch.full((32,), torch.nan)}
    for given, message in (
        (broken, "norm.weight holds what is no number"),
        (tensors | {"model.strange": torch.ones(1)}, "holds model.strange, which no such network has"),
    ):
        save_file(given, path)
        with pytest.raises(DataError, match=message):
            opened_as_decoder(llama)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be read"):
        opened_as_decoder(llama)
    path.rename(llama / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model.bin, a pickle, which can run code and is not opened"):
        opened_as_decoder(llama)
    (llama / "pytorch_model.bin").unlink()
    with pytest.raises(DataError, match=r"has no model.safetensors"):
        opened_as_decoder(llama)
    with pytest.raises(DataError, match="is of type llama, which is a decoder"):
        hub.open_of_kind(llama, "encoder")


def test_weights_in_parts(llama):
    tensors = load_file(llama / "model.safetensors")
    names = sorted(tensors)
    where = {name: f"model-{number % 2}.safetensors" for number, name in enumerate(names)}
    for part in set(where.values()):
        save_file({name: tensors[name] for name in names if where[name] == part}, llama / part)
    (llama / "model.safetensors").unlink()
    index = llama / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": where}), encoding="utf-8")
    opened_as_decoder(llama)
    (llama / "model-1.safetensors").rename(llama / "away")
    with pytest.raises(DataError, match=r"model-1.safetensors of 2 files of weights are missing"):
        opened_as_decoder(llama)
    for named in ("../away", "/etc/passwd", "a.bin"):
        index.write_text(json.dumps({"weight_map": {"a": named}}), encoding="utf-8")
        with pytest.raises(DataError, match="which is no file beside it"):
            opened_as_decoder(llama)
