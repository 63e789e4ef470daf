"""Language models: rows by arithmetic, masks by position, what is written and why it stops, checkpoints of others in and out, bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from cases import find
from conftest import SAMPLE, config_path

from bmtool import torchvision  # noqa: F401  before transformers, which imports the other one
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_hf import export_hf
from bmtool.commands.generate import generate
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import pretrain
from bmtool.config.load import load
from bmtool.data.packing import Cut, Rows, Windows
from bmtool.data.shards import Shards, assemble, write_part
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.nn import sampling
from bmtool.nn.sampling import Draw
from bmtool.tasks.language_model import prepare
from bmtool.tasks.language_model.config import Options
from bmtool.text import packing
from bmtool.text.backbones.build import build, nats, shape_of, table
from bmtool.text.generation import How, Steps, Written, write
from bmtool.text.learning import learn
from bmtool.text.masking import mask, mask_to_measure
from bmtool.text.tokenizer import Writer

CAUSAL, MASKED = "language-model", "language-model-masked"
LINES = (SAMPLE / "sentences" / "daily.txt").read_text("utf-8").splitlines()


@pytest.fixture(scope="module")
def tokenizer():
    return learn(iter(LINES), kind="char", size=800)


# --- rows, documents, masks ---


@pytest.mark.parametrize(
    "tokens, width, stride", [(1000, 17, 16), (1000, 16, 16), (40, 17, 16), (10, 17, 16), (33, 17, 16)]
)
def test_rows_lie_within_the_stream_and_take_nearly_all_of_it_once_an_epoch(tokens, width, stride):
    rows = Rows(tokens, Cut(width, stride), batch=3, seed=1)
    for epoch in range(3):
        batches = [rows[epoch * rows.per_epoch + n] for n in range(rows.per_epoch)]
        starts = np.concatenate(batches)
        assert len(set(starts.tolist())) == len(starts)
        assert starts.min() >= 0 and starts.max() + rows.width <= tokens
        assert (np.diff(np.sort(starts)) % stride == 0).all()
        again = Rows(tokens, Cut(width, stride), batch=3, seed=1)
        assert all((again[epoch * rows.per_epoch + n] == b).all() for n, b in enumerate(batches))
    if tokens == 1000:
        assert rows[0].tolist() != rows[rows.per_epoch].tolist()


@pytest.mark.parametrize("width, stride", [(9, 8), (8, 8)])
def test_windows_ask_for_every_token_once(width, stride):
    bounds = np.cumsum([0, 3, 8, 9, 10, 30, 1])
    windows = Windows(bounds, Cut(width, stride))
    asked = np.zeros(bounds[-1], int)
    for start, length in zip(windows.starts, windows.lengths):
        asked[start + (width - stride) : start + length] += 1
    if width > stride:
        asked[bounds[:-1]] += 1
    assert (asked == 1).all() and windows.lengths.max() <= width


def test_documents_of_a_row_see_nothing_of_each_other(tokenizer):
    begin, end = tokenizer.begin, tokenizer.end
    row = np.array([[300, 301, end, begin, 302, 303, end, begin, 304]])
    document = packing.documents(row, tokenizer)
    assert document.tolist() == [[0, 0, 0, 1, 1, 1, 1, 2, 2]]
    batch = packing.batch(*packing.next_tokens(row, document))
    assert batch.place.tolist() == [[0, 1, 2, 0, 1, 2, 3, 0]]
    assert batch.target.tolist() == [[301, end, -1, 302, 303, end, -1, 304]]
    keep = batch.keep(causal=True)[0, 0]
    assert not keep[3, :3].any() and keep[4, 3:5].all() and not keep[4, 5]
    assert batch.tokens == 8


def test_masks_are_a_function_of_seed_and_position(tokenizer):
    tokens = np.random.default_rng(0).integers(270, tokenizer.size, (64, 64))
    tokens[:, ::8] = tokenizer.begin
    found = [mask(tokens, tokenizer, share=0.15, key=key) for key in ((1, 5), (1, 5), (1, 6), (2, 5))]
    assert (found[0].tokens == found[1].tokens).all()
    assert not (found[0].target == found[2].target).all() and not (found[0].target == found[3].target).all()
    chosen = found[0].target >= 0
    assert not chosen[:, ::8].any() and abs(chosen[tokens != tokenizer.begin].mean() - 0.15) < 0.03
    hidden = (found[0].tokens == tokenizer.special.mask)[chosen].mean()
    same = (found[0].tokens == tokens)[chosen].mean()
    assert abs(hidden - 0.8) < 0.06 and 0.05 < same < 0.16
    assert (found[0].tokens == tokens)[~chosen].all() and (found[0].target == tokens)[chosen].all()


def test_whole_words_are_hidden_together(tokenizer):
    words = np.random.default_rng(0).random((32, 64)) < 0.5
    found = mask(np.full((32, 64), 300), tokenizer, share=0.3, key=(1, 1), words_BT=words)
    chosen = found.target >= 0
    assert (chosen[:, 1:] == chosen[:, :-1])[~words[:, 1:]].all() and 0.15 < chosen.mean() < 0.45


def test_what_is_measured_hides_one_token_at_least(tokenizer):
    row = np.array([tokenizer.begin, 300, 301, tokenizer.end])
    found = mask_to_measure(row, tokenizer, 1e-9)
    assert (found.target >= 0).sum() == 1 and found.target[0] == -1
    assert (mask_to_measure(row[[0, 3]], tokenizer, 0.5).target == -1).all()


def test_many_scores_are_computed_in_parts_with_the_same_gradient(monkeypatch):
    config = load(find(CAUSAL).path)
    made = []
    for scores in (1 << 26, 900):
        monkeypatch.setattr("bmtool.text.backbones.build.SCORES", scores)
        torch.manual_seed(0)
        parts = build(shape_of(config.model, 100), config.model)
        x = torch.randn(40, 32, requires_grad=True)
        lost = nats(parts["head"], x, table(parts["backbone"]), torch.arange(40))
        lost.sum().backward()
        made.append((lost.detach(), x.grad, table(parts["backbone"]).grad))
    for one, two in zip(*made):
        torch.testing.assert_close(one, two)


# --- preparing ---


def prepared_stream(tmp_path, *more):
    settings = [f"data.prepared={tmp_path / 'data'}", f"run={tmp_path / 'run'}", *more]
    prepare_data(config_path(CAUSAL), settings)
    config = load(find(CAUSAL).path, settings)
    at = (config.data, config.data.prepared, "train")
    return prepare.open_stream(*at), [*prepare.domains(*at)]


def test_a_document_is_a_line(tmp_path):
    (tmp_path / "a.txt").write_text("\n".join(LINES[:50]), encoding="utf-8")
    stream, domains = prepared_stream(
        tmp_path, f"data.sources=[{{path: {tmp_path}/a.txt, domain: talk}}]", "data.valid_share=0", "data.test_share=0"
    )
    read = stream.span(0, int(stream.bounds[-1]))
    documents = [read[a:b] for a, b in zip(stream.bounds[:-1], stream.bounds[1:])]
    assert [stream.tokenizer.decode(one[1:-1]) for one in documents] == LINES[:50]
    assert {(int(one[0]), int(one[-1])) for one in documents} == {(stream.tokenizer.begin, stream.tokenizer.end)}
    assert domains == ["talk"] * 50


def test_a_document_is_a_file(tmp_path):
    for name, lines in (("a", LINES[:9]), ("b", LINES[9:30])):
        (tmp_path / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
    stream, domains = prepared_stream(
        tmp_path, f"data.sources=[{tmp_path}/a.txt, {tmp_path}/b.txt]", "data.valid_share=0", "data.test_share=0",
        "data.document=file", "data.split_by=file",
    )  # fmt: skip
    assert domains == ["a", "b"] or len(domains) == 2
    read = stream.span(0, int(stream.bounds[-1]))
    for (a, b), lines in zip(zip(stream.bounds[:-1], stream.bounds[1:]), (LINES[:9], LINES[9:30])):
        assert stream.tokenizer.decode(read[a + 1 : b - 1]).split("\n\n") == lines
        assert (read[a], read[b - 1]) == (stream.tokenizer.begin, stream.tokenizer.end)
    assert (stream.span(3, 40) == read[3:40]).all()


def test_words_are_marked(tmp_path):
    pytest.importorskip("rjieba")
    settings = [
        f"data.prepared={tmp_path / 'data'}",
        f"run={tmp_path / 'run'}",
        "data.whole_words=true",
        "train.steps=2",
    ]
    run = pretrain(config_path(MASKED), settings)
    config = load(run / "config.yaml")
    stream = prepare.open_stream(config.data, config.data.prepared, "train")
    begins = stream.words(np.array([0]), 12)[0]
    assert begins[0] and 0 < begins.sum() < 12


@pytest.mark.parametrize("settings, message", [
    (["objective=masked"], "objective: masked needs model.kind: encoder"),
    (["data.document=file"], "document: file needs split_by: file"),
    (["mask_share=0.2"], "for objective: masked"),
    (["train.batch_tokens=32"], "must hold model.context"),
    (["model.heads=3"], "must be a multiple of heads"),
])  # fmt: skip
def test_settings_that_do_not_go_together(settings, message):
    with pytest.raises(ConfigError, match=message):
        load(find(CAUSAL).path, settings)


# --- drawing ---


def test_what_may_be_drawn():
    scores = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))

    def drawn(**how) -> set[int]:
        even = np.linspace(0, 0.999, 400)
        return set(sampling.drawn(np.repeat(scores, 400, axis=0), Draw(**how), even).tolist())

    assert drawn() == {0, 1, 2, 3}
    assert drawn(temperature=0) == {0}
    assert drawn(top_k=2) == {0, 1}
    assert drawn(top_p=0.79) == {0, 1} and drawn(top_p=0.01) == {0}
    assert drawn(min_p=0.2) == {0, 1, 2}
    even = np.random.default_rng(0).random(20_000)
    found = np.bincount(sampling.drawn(np.repeat(scores, 20_000, axis=0), Draw(), even)) / 20_000
    assert np.abs(found - np.exp(scores[0])).max() < 0.02
    bolder = sampling.drawn(np.repeat(scores, 20_000, axis=0), Draw(temperature=3.0), even)
    assert np.bincount(bolder)[3] > 1500


def test_repetitions_are_made_unlikely():
    found = sampling.penalised(np.array([[2.0, -2.0, 1.0]]), [np.array([0, 1, 0])], 2.0)
    assert found.tolist() == [[1.0, -4.0, 1.0]]


# --- writing ---


class Spells:
    """A back end that says what it is told to, whatever was written."""

    def __init__(self, tokenizer, text):
        self.tokens, self.size = [*tokenizer.encode([text])[0].tolist(), tokenizer.end], tokenizer.size

    def run(self, graph, feeds):
        rows, new = feeds["token"].shape
        scores = np.full((rows, new, self.size), -50.0, np.float32)
        before = feeds["past"].shape[4]
        for place in range(new):
            scores[:, place, self.tokens[min(max(0, before + place - 1), len(self.tokens) - 1)]] = 50.0
        return {"scores": scores, "next_past": np.zeros((rows, 1, 2, 1, before + new, 2), np.float32)}

    def take(self, values, rows):
        return values[rows]

    def numpy(self, values):
        return values


def spelt(tokenizer, text, **how):
    steps = Steps(Spells(tokenizer, text), [1, 1, 2], tokenizer.size)
    prompt = np.concatenate([[tokenizer.begin], tokenizer.encode(["今"])[0]])
    how = How(**({"draw": Draw(0), "seed": 1, "max_tokens": 50, "context": 100} | how))
    ready = [rows[0].ready for rows in write(steps, tokenizer, [prompt], how)]
    *_, (row,) = write(steps, tokenizer, [prompt], how)
    assert all(row.text.startswith(text) for text in ready)
    return row


def test_writing_stops_at_the_end_at_the_most_and_at_a_text_across_tokens(tokenizer):
    assert (spelt(tokenizer, "天气很好").text, spelt(tokenizer, "天气很好").ended) == ("天气很好", "end")
    assert spelt(tokenizer, "天气很好", max_tokens=2).text == "天气"
    assert spelt(tokenizer, "天气很好", context=5).ended == "context"
    row = spelt(tokenizer, "天气很好，是吗", stop=("好，是", "不"))
    assert (row.text, row.ended) == ("天气很", "stop")
    # Bytes of a letter that no token is for: the stop is found when its last byte is there.
    row = spelt(tokenizer, "a\U0001f600\U0001f600b", stop=("\U0001f600b",))
    assert (row.text, row.ended) == ("a\U0001f600", "stop")


def test_what_may_be_the_beginning_of_a_stop_is_held_back(tokenizer):
    row = Written(np.array([tokenizer.begin]), Writer(tokenizer), ("天天气",))
    told = []
    for token in tokenizer.encode(["今天天天气"])[0].tolist():
        row.add(token, 0.0, tokenizer.end)
        told.append(row.ready)
    assert told == ["今", "今", "今", "今天", "今天"] and row.ended == "stop"


@pytest.fixture(scope="module")
def causal(trained):
    return load_model(trained(CAUSAL), print).predictor


def test_a_batch_writes_what_each_prompt_alone_does(causal):
    prompts = [causal.read(text) for text in ("今天天气", "", "我们去", "一" * 30)]
    for options in (Options(max_tokens=12), Options(temperature=0, max_tokens=12), Options(beams=3, max_tokens=5)):
        together = causal.predict(prompts, options)
        alone = [causal.predict([prompt], options)[0] for prompt in prompts]
        assert max(a.distance(b) for a, b in zip(together, alone)) < 1e-4
    texts = {seed: causal.predict(prompts[:1], Options(seed=seed))[0].text for seed in (1, 2, 3)}
    assert len(set(texts.values())) == 3
    assert "".join(causal.stream(prompts[0], Options(seed=2))) == texts[2]


def test_a_beam_of_all_finds_the_likeliest(causal):
    prompt = causal.read("今天")
    greedy = causal.predict([prompt], Options(temperature=0, max_tokens=4))[0]
    beams = causal.predict([prompt], Options(beams=8, max_tokens=4))[0]
    assert beams.details["log_probability"] >= greedy.details["log_probability"] - 1e-6
    assert len(beams.n_best) == 8 and [p for _, p in beams.n_best] == sorted((p for _, p in beams.n_best), reverse=True)


def test_choices_have_the_probabilities_of_their_tokens(causal):
    (found,) = causal.choose([causal.read("今天")], ["天气", "很好"])
    p = dict(found.classes)
    assert abs(sum(p.values()) - 1) < 1e-6
    each = {c: causal.score([causal.read_passage(_passage(causal, "今天", c))])[0, 0] for c in p}
    assert np.log(p["天气"] / p["很好"]) == pytest.approx(each["很好"] - each["天气"], abs=1e-4)


def _passage(causal, prompt, choice):
    from bmtool.tasks.language_model.predict import Passage

    tokens = np.concatenate([[causal.tokenizer.begin], causal.tokenizer.encode([prompt + choice])[0]])
    return Passage(prompt + choice, tokens, causal.tokenizer.sha256)


def test_prompts_that_cannot_be_read(causal, trained, tmp_path, capsys):
    with pytest.raises(BadInput, match="65 tokens are too many: the model reads 64"):
        causal.read("一" * 64)
    with pytest.raises(BadInput, match="1,048,576 characters are too many"):
        causal.read("一" * (1 << 20))
    assert causal.read("").tokens.tolist() == [causal.tokenizer.begin]
    assert causal.tokenizer.decode(causal.read("\ud83d").tokens) == "\ufffd"
    (tmp_path / "prompts.txt").write_text(f"今天\n{'一' * 100}\n我们\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 of the prompts could not be read"):
        generate(trained(CAUSAL), [], input_file=str(tmp_path / "prompts.txt"), as_json=True)
    said = capsys.readouterr()
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [record["input"] for record in records] == ["今天", "我们"] and "prompts.txt:2: 101 tokens" in said.err
    assert len(records[0]["tokens"]) <= 64 and records[0]["tokens"][0]["log_probability"] < 0


@pytest.mark.parametrize("case, options, message", [
    (CAUSAL, {"choices": "a"}, "two different texts"), (CAUSAL, {"choices": "a,b", "options": {"seed": 3}}, "leave --seed out"),
    (CAUSAL, {"options": {"beams": 2, "top_k": 5}}, "leave --top-k out"), (CAUSAL, {"options": {"top": 3}}, "--top is for masked"),
    (CAUSAL, {"options": {"stop": ("",)}}, "an empty text"), (MASKED, {}, "writes nothing on"),
])  # fmt: skip
def test_what_is_asked_for_in_vain(case, options, message, trained):
    with pytest.raises(ConfigError, match=message):
        generate(trained(case), ["今天", "我们"], **options)


def test_generate_streams_one_prompt_and_scores_choices(trained, invoke):
    run = trained(CAUSAL)
    one = invoke("generate", run, "今天", "--max-tokens", "9", "--seed", "4")
    two = invoke("generate", run, "今天", "我们", "--max-tokens", "9", "--seed", "4")
    assert one.exit_code == 0 and two.stdout.startswith(one.stdout) and one.stdout.startswith("今天")
    chosen = invoke("generate", run, "今天", "--choices", "天气,很好", "--json")
    assert {c["label"] for c in json.loads(chosen.stdout)["classes"]} == {"天气", "很好"}
    assert invoke("translate", "--model", run, "今天").exit_code == 2


def test_an_export_writes_the_same_without_torch(trained, exported, invoke):
    arguments = ["今天", "--max-tokens", "9", "--stop", "\u3002"]
    code = (
        "import sys\nfrom bmtool import cli\n"
        "try:\n    cli.app(sys.argv[1:])\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'torch', 'onnx', 'transformers', 'pypinyin'}))"
    )
    command = [sys.executable, "-c", code, "generate", str(exported(CAUSAL)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    written, imported = done.stdout.rstrip("\n").rsplit("\n", 1)
    assert imported == "[]"
    assert written + "\n" == invoke("generate", trained(CAUSAL), *arguments).stdout


def test_a_masked_model_fills_every_mask(trained):
    predictor = load_model(trained(MASKED), print).predictor
    (value,) = predictor.predict([predictor.read("今天[MASK]气[MASK]好")], Options(top=3))
    assert [len(one["candidates"]) for one in value.details["masks"]] == [3, 3] and len(value.n_best) <= 3
    assert all("[MASK]" not in text for text, _ in value.n_best)
    with pytest.raises(BadInput, match=r"no \[MASK\] in the text"):
        predictor.read("今天天气")


# --- figures ---


def test_a_split_is_measured_by_domain(trained, prepared, tmp_path):
    prepared(CAUSAL)
    found = evaluate([trained(CAUSAL)], split="valid", output=str(tmp_path / "out"))
    parts = found.measured.slices["domain"]
    assert {name.rpartition("/")[2].removesuffix(".txt") for name in parts} == {"daily", "news"}
    low, high = sorted(values["bits_per_character"][0] for values in parts.values())
    assert low <= found.figures["bits_per_character"].value <= high


def test_lines_of_a_file_are_measured_and_models_of_other_tokens_compared(trained, prepared, settings, tmp_path):
    prepared(CAUSAL)
    other = [f"data.prepared={tmp_path / 'data'}", "data.tokenizer=bpe", "data.vocabulary_size=500"]
    theirs = pretrain(config_path(CAUSAL), settings(CAUSAL, tmp_path / "run", *other))
    (tmp_path / "text.txt").write_text("\n".join([*LINES[:20], "", "一" * 200]), encoding="utf-8")
    found = evaluate([trained(CAUSAL)], data=str(tmp_path / "text.txt"), baseline=theirs, output=str(tmp_path / "out"))
    assert found.measured.notes["characters"] == sum(map(len, LINES[:20])) + 200
    (report,) = (tmp_path / "out").glob("*.json")
    report = json.loads(report.read_text("utf-8"))
    assert set(report["baseline"]["not_compared"]) == {"perplexity", "token_accuracy"}
    assert "bits_per_character" in report["baseline"]["differences"]


# --- checkpoints of others ---


@pytest.mark.parametrize("case", [CAUSAL, MASKED])
def test_transformers_loads_what_is_exported_and_says_the_same(case, trained, tmp_path):
    transformers = pytest.importorskip("transformers")
    folder = export_hf(trained(case), tmp_path / "hf")
    kind = transformers.AutoModelForCausalLM if case == CAUSAL else transformers.AutoModelForMaskedLM
    model, info = kind.from_pretrained(folder, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = load_model(trained(case), print).predictor
    text = "今天天气很好" if case == CAUSAL else "今天[MASK]气很好"
    tokens = theirs(text, return_tensors="pt")["input_ids"]
    assert tokens[0].tolist() == ours.read(text).tokens.tolist()
    with torch.no_grad():
        logits = model.eval()(tokens).logits[0].numpy()
    if case == CAUSAL:
        scores, _ = ours.steps.begin([ours.read(text).tokens])
        np.testing.assert_allclose(scores[0], logits[-1], atol=1e-4)
        settings = {"max_new_tokens": 8, "do_sample": False, "pad_token_id": theirs.pad_token_id}
        written = model.generate(tokens, **settings)[0, tokens.shape[1] :].tolist()
        mine = ours.predict([ours.read(text)], Options(temperature=0, max_tokens=8))[0].text
        assert theirs.decode(written, skip_special_tokens=True) == mine
    else:
        at = [tokens[0].tolist().index(theirs.mask_token_id)]
        (scores,) = ours._run([tokens[0].numpy()], [np.array(at)])
        np.testing.assert_allclose(scores, logits[at], atol=1e-4)


def from_checkpoint(folder, tmp_path) -> list[str]:
    """Settings of a step that changes next to nothing, from the weights and with the tokens of a directory."""
    return [
        f"data.prepared={tmp_path / 'data'}", f"data.tokenizer={folder}", f"model.weights={folder}", "optim.lr=1e-9", "train.steps=1",
    ]  # fmt: skip


def test_a_run_goes_on_from_a_checkpoint_with_its_tokens(trained, settings, tmp_path):
    folder = export_hf(trained(CAUSAL), tmp_path / "hf")
    run = pretrain(config_path(CAUSAL), settings(CAUSAL, tmp_path / "run", *from_checkpoint(folder, tmp_path)))
    for path in folder.iterdir():
        path.unlink()
    one, two = (load_model(path, print).predictor for path in (trained(CAUSAL), run))
    prompts = [one.read("今天")]
    greedy = Options(temperature=0, max_tokens=6)
    assert one.predict(prompts, greedy)[0].distance(two.predict(prompts, greedy)[0]) < 1e-3


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set("".join(LINES)))]
SMALL = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 2, "eos_token_id": 3},
    "bert": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 64,
    },
}  # fmt: skip

# What the tiny configs say of a shape, and these checkpoints have otherwise.
SHAPED = {"gpt2": ["model.feedforward=680", "model.key_value_heads=null"], "bert": ["model.feedforward=1024"]}


@pytest.mark.parametrize("case, name", [(CAUSAL, "gpt2"), (MASKED, "bert")])
def test_a_checkpoint_with_a_list_of_words_and_more_embeddings_goes_on(case, name, settings, tmp_path):
    """As most Chinese ones are: GPT-2 and BERT with a vocab.txt."""
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.for_model(name, vocab_size=len(WORDS) + 7, **SMALL[name])
    kind = transformers.AutoModelForCausalLM if case == CAUSAL else transformers.AutoModelForMaskedLM
    torch.manual_seed(0)
    model, folder = kind.from_config(config).eval(), tmp_path / "theirs"
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    more = [*from_checkpoint(folder, tmp_path), *SHAPED[name]]
    run = pretrain(config_path(case), settings(case, tmp_path / "run", *more))
    for asked in (run, folder):
        predictor = load_model(asked, print).predictor
        read = predictor.read("今天天气" if case == CAUSAL else "今天天[MASK]")
        with torch.no_grad():
            logits = model(torch.from_numpy(read.tokens)[None]).logits[0].numpy()
        if case == CAUSAL:
            scores = predictor.steps.begin([read.tokens])[0][0]
            np.testing.assert_allclose(scores, logits[-1, : len(WORDS)], atol=1e-4)
            assert len(predictor.predict([read], Options(max_tokens=5, temperature=5.0))[0].text) <= 5
        else:
            (scores,) = predictor._run([read.tokens], [np.array([4])])
            np.testing.assert_allclose(scores[0], logits[4, : len(WORDS)], atol=1e-4)
    again = kind.from_pretrained(export_hf(run, tmp_path / "again"))
    assert again.config.vocab_size == len(WORDS) + 7


def test_a_checkpoint_is_asked_and_measured_as_it_is(trained, tmp_path, capsys):
    run, folder = trained(CAUSAL), export_hf(trained(CAUSAL), tmp_path / "hf")
    text = tmp_path / "text.txt"
    text.write_text("今天天气很好\n我们去吃饭\n", encoding="utf-8")
    for asked in (run, folder):
        generate(asked, ["今天"], options={"temperature": 0, "max_tokens": 6})
    one, two = capsys.readouterr().out.splitlines()
    assert one == two and one.startswith("今天")
    figures = [evaluate([asked], data=str(text), output=str(tmp_path / "out")).figures for asked in (run, folder)]
    assert figures[0]["bits_per_character"].value == pytest.approx(figures[1]["bits_per_character"].value, abs=1e-4)
    with pytest.raises(ConfigError, match="a model of others has no splits: give what to measure on with --data"):
        evaluate([folder])
    (folder / "config.json").write_text('{"model_type": "t5"}', encoding="utf-8")
    with pytest.raises(DataError, match="is a model of type 't5'"):
        load_model(folder, print)


def test_tokens_of_another_model_and_too_much_context_are_refused(trained, prepared, settings, tmp_path):
    prepared(MASKED)
    folder = export_hf(trained(CAUSAL), tmp_path / "hf")
    weights = f"model.weights={folder}"
    other = [f"data.prepared={tmp_path / 'data'}", "data.vocabulary_size=700", weights]
    with pytest.raises(DataError, match=r"has tokens of another model than .*\(700 tokens, 800 embeddings\)"):
        pretrain(config_path(CAUSAL), settings(CAUSAL, tmp_path / "run", *other))
    more = [weights, "model.context=128", f"data.tokenizer={folder}", f"data.prepared={tmp_path / 'data'}"]
    with pytest.raises(ConfigError, match="reads 64 tokens, not 128"):
        pretrain(config_path(CAUSAL), settings(CAUSAL, tmp_path / "run", *more))
    with pytest.raises(DataError, match="is of type llama, which is a decoder"):
        pretrain(config_path(MASKED), settings(MASKED, tmp_path / "run", weights))
    with pytest.raises(ConfigError, match="only language models"):
        export_hf(trained("tagger"), tmp_path / "other")


def test_a_server_answers_at_predict_and_its_page_asks_there(exported):
    from bmtool.serve.model import Served

    served = Served.load(str(exported(CAUSAL)), print)
    about = served.about()
    assert (about["takes"], about["gives"], about["translates"], about["objective"]) == (
        "text",
        "text",
        False,
        "causal",
    )
    (answer,) = served.run(Options(max_tokens=4), ["今天"])
    assert json.loads(answer)["input"] == "今天" and len(json.loads(answer)["tokens"]) <= 4


def test_a_span_goes_over_the_ends_of_shards(tmp_path, monkeypatch, tokenizer):
    monkeypatch.setattr("bmtool.data.shards.SHARD_TOKENS", 10)
    values, lengths = np.arange(300, 330, dtype=np.uint16), np.array([4, 5, 6, 7, 8])
    parts = []
    for number, (end, length) in enumerate(zip(np.cumsum(lengths), lengths)):
        parts.append(tmp_path / str(number))
        parts[-1].mkdir()
        write_part(parts[-1], "train", np.array([length]), {"tokens": values[end - length : end]})
    assemble(tmp_path, "train", parts)
    stream = packing.Stream(Shards(tmp_path, "train", ("tokens",)), tokenizer)
    assert len(list(tmp_path.glob("*.offsets.npy"))) == 4 and stream.tokens == 30
    assert stream.bounds.tolist() == [0, 4, 9, 15, 22, 30]
    for start in range(30):
        for stop in range(start + 1, 31):
            assert stream.span(start, stop).tolist() == values[start:stop].tolist()
