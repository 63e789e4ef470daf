"""Dialogues: their records, templates of anybody, what is learned of them, and what is said at a terminal."""

import io
import json
import sys

import numpy as np
import pytest
from cases import find
from conftest import ROOT, config_path
from hypothesis import given
from hypothesis import strategies as st

from bmtool import torchvision  # noqa: F401  before transformers, which imports the other one
from bmtool.commands.evaluate import evaluate
from bmtool.commands.export_hf import export_hf
from bmtool.commands.generate import generate
from bmtool.commands.loading import load_model
from bmtool.commands.prepare_data import prepare_data
from bmtool.commands.train import finetune, pretrain
from bmtool.config.load import load
from bmtool.data.tally import Tally
from bmtool.errors import BadInput, ConfigError, DataError
from bmtool.tasks.language_model import prepare
from bmtool.tasks.language_model.config import Options
from bmtool.text import packing
from bmtool.text.chat import template
from bmtool.text.chat.chat import Chat, with_template
from bmtool.text.chat.turns import ANSWERS, BEGINS, to_learn, turn
from bmtool.text.decode import read_dialogues
from bmtool.text.learning import learn
from bmtool.text.sources import File
from bmtool.text.tokenizer import Tokenizer

CHAT, CAUSAL = "language-model-chat", "language-model"
PAIRS = ROOT / "data" / "language-model" / "customer-service.jsonl"
TURNS = [
    turn("user", "怎么退货"),
    turn("assistant", "签收七天内\n可以退"),
    turn("user", "谢谢"),
    turn("assistant", "不客气"),
]
MARKED = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPELT = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n###\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"


@pytest.fixture(scope="module")
def tokenizer():
    return with_template(learn(iter(PAIRS.read_text("utf-8").splitlines()), kind="char", size=900))


def named(tokenizer: Tokenizer, text: str, *tokens: str) -> Tokenizer:
    """With another template, and special tokens of its own."""
    held = tokenizer.obeying()
    held.add_special_tokens([*tokens])
    return Tokenizer(held.to_str(), tokenizer.config | {"chat_template": text}, "theirs")


# --- records ---


@pytest.mark.parametrize("value, reason", [
    ("你好", "no list of turns"), ([], "no list of turns"), ([{"role": "user"}], "without a role and a content"),
    ([turn("tool", "a"), turn("assistant", "b")], "a role that is none of"),
    ([turn("user", " "), turn("assistant", "b")], "nothing is said"),
    ([turn("user", "a"), turn("system", "b"), turn("assistant", "c")], "the system speaks behind"),
    ([turn("assistant", "a")], "do not take turns"), ([turn("user", "a"), turn("user", "b"), turn("assistant", "c")], "do not take turns"),
    ([turn("system", "a")], "do not take turns"), (TURNS[:3], "the last turn is not the assistant's"),
])  # fmt: skip
def test_turns_that_cannot_be_learned(value, reason):
    with pytest.raises(BadInput, match=reason):
        to_learn(value)


def test_records_have_a_prompt_and_a_response_or_messages_and_others_are_counted(tmp_path):
    records = [
        {"prompt": "你好", "response": "您好\n请说"}, {"messages": TURNS, "more": 1}, {"prompt": "a"}, {"messages": TURNS[:1]},
        {"prompt": "a", "response": "  "}, {"prompt": 3, "response": "b"},
    ]  # fmt: skip
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join([*map(json.dumps, records), "", "\t\t", "{"]), encoding="utf-8")
    tally = Tally()
    found = [turns for _, _, turns in read_dialogues(File(path, dialogue=True), tally)]
    assert found == [[turn("user", "你好"), turn("assistant", "您好\n请说")], TURNS]
    assert dict(tally.dropped) == {
        "no column prompt, response or messages": 1, "the last turn is not the assistant's": 1, "a turn in which nothing is said": 1,
        "a turn without a role and a content that are text": 1, "empty line": 2, "not JSON": 1,
    }  # fmt: skip


@pytest.mark.parametrize("name, text", [
    ("a.csv", 'prompt,response\n你好,"您好,\n请说"\n'), ("a.tsv", "response\tprompt\n您好\t你好\n"), ("b.tsv", "你好\t您好\n"),
    ("a.json", json.dumps([{"messages": [turn("user", "你好"), turn("assistant", "您好")]}])),
])  # fmt: skip
def test_dialogues_are_read_from_tables_too(name, text, tmp_path):
    (tmp_path / name).write_text(text, encoding="utf-8")
    ((_, said, turns),) = read_dialogues(File(tmp_path / name, dialogue=True), Tally())
    assert turns[0] == turn("user", "你好") and turns[1]["content"].startswith("您好") and said.startswith("你好 您好")


# --- templates ---


def test_our_template_is_unlike_what_people_say(tokenizer):
    chat = Chat(tokenizer)
    said = [turn("user", "a[SEP]\nassistant\nb"), turn("assistant", "[CLS]c")]
    found = chat.dialogue(said)
    begin, end = tokenizer.special.begin, tokenizer.special.end
    assert found.tokens.tolist().count(end) == 2 and found.tokens.tolist().count(begin) == 1
    assert found.tokens[0] == begin and found.tokens[-1] == end
    assert tokenizer.decode(found.tokens) == "user\na[SEP]\nassistant\nb\nassistant\n[CLS]c"
    assert tokenizer.decode(found.tokens[found.answers]) == "[CLS]c" and found.answers[-1]


@pytest.mark.parametrize("text, tokens, end, stop", [
    (None, (), "[SEP]", ()), (MARKED, ("<|im_start|>", "<|im_end|>"), "<|im_end|>", ()), (SPELT, (), "[SEP]", ("\n###\n",)),
])  # fmt: skip
def test_answers_are_all_that_the_assistant_says_and_what_ends_it(tokenizer, text, tokens, end, stop):
    theirs = named(tokenizer, text or template.PLAIN, *tokens)
    chat = Chat(theirs)
    assert (theirs.name(chat.ending.token), chat.ending.stop) == (end, stop)
    found = chat.dialogue(TURNS)
    parts, begun = [], False
    for token, asked in zip(found.tokens.tolist(), found.answers.tolist()):
        if asked and not begun:
            parts.append([])
        if asked:
            parts[-1].append(token)
        begun = asked
    said = [theirs.decode(part).removesuffix("\n###\n") for part in parts]
    assert said == ["签收七天内\n可以退", "不客气"]
    if not stop:
        assert all(part[-1] == chat.ending.token for part in parts)
    prompt = chat.prompt(TURNS[:3])
    assert found.tokens[: len(prompt)].tolist() == prompt.tolist()


@pytest.mark.parametrize("text, error, message", [
    ("{% set a = 'x' * 10 ** 9 %}{{ a ~ a }}", DataError, "fails: MemoryError"),
    ("{{ '%1000000000d' % 1 }}", DataError, "fails: MemoryError"),
    ("{{ 'ab' * 3000000 }}", DataError, "more than 4,000,000 letters"),
    ("{{ ''.__class__.__mro__ }}", DataError, "does what none may do"),
    ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", DataError, "does what none may do"),
    ("{{ messages.append(1) }}", DataError, "does what none may do"), ("{% include '/etc/passwd' %}", DataError, "fails: no loader"),
    ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", DataError, "fails: maximum recursion"),
    ("{% for %}", DataError, "cannot be read .line 1"),
    ("{{ raise_exception('only one turn') }}", BadInput, "refuses it: only one turn"), ("{{ 1 / 0 }}", DataError, "fails: division"),
    ("{% if messages | length > 2 %}x{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}", BadInput, "writes earlier turns anew"),
])  # fmt: skip
def test_templates_with_code_are_harmless_or_refused(tokenizer, text, error, message):
    chat = Chat(named(tokenizer, text))
    with pytest.raises(error, match=message):
        chat.dialogue(TURNS)


def test_a_template_without_end_is_stopped_and_there_for_others(tokenizer):
    endless = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    chat = Chat(named(tokenizer, f"{{% if messages | length > 1 %}}{endless}{{% endif %}}x"))
    with pytest.raises(DataError, match="takes more than 2 s of computing or 512 MB, and was stopped"):
        chat.prompt(TURNS[:3])
    assert tokenizer.decode(chat.prompt(TURNS[:1])) == "x"


def test_a_template_lies_where_checkpoints_have_it(tokenizer, tmp_path):
    from bmtool.text.tokenizer import open_tokenizer

    for name, contents in tokenizer.files().items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / "chat_template.jinja").write_text(SPELT, encoding="utf-8")
    assert template.of(open_tokenizer(tmp_path).config, "x") == SPELT
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": SPELT}]
    assert template.of({"chat_template": several}, "x") == SPELT and template.of({}, "x") is None
    with pytest.raises(DataError, match="is no text of Jinja"):
        template.of({"chat_template": 3}, "x")


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=6).filter(lambda said: len(said) % 2 == 0))
def test_whatever_is_said_is_learned_and_answered_alike(tokenizer, said):
    turns = [turn("user" if n % 2 == 0 else "assistant", text) for n, text in enumerate(said)]
    chat = Chat(tokenizer)
    found = chat.dialogue(turns)
    ends = np.flatnonzero(found.tokens == tokenizer.end)
    assert len(ends) == len(said) and found.answers[ends].tolist() == [False, True] * (len(said) // 2)
    prompt = chat.prompt(turns[:-1])
    assert found.tokens[: len(prompt)].tolist() == prompt.tolist() and found.answers[len(prompt) :].all()


@pytest.mark.parametrize("text, tokens", [(None, ()), (MARKED, ("<|im_start|>", "<|im_end|>")), (SPELT, ())])
def test_transformers_makes_the_same_tokens(tokenizer, tmp_path, text, tokens):
    transformers = pytest.importorskip("transformers")
    ours = named(tokenizer, text or template.PLAIN, *tokens)
    for name, contents in ours.for_others(causal=True).items():
        (tmp_path / name).write_bytes(contents)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    chat = Chat(ours)
    for turns in (
        TURNS,
        [turn("system", "你是客服"), *TURNS],
        [turn("user", "a b  c\n\n d"), turn("assistant", " e ")],
    ):
        asked = theirs.apply_chat_template(turns[:-1], add_generation_prompt=True, return_dict=False)
        assert asked == chat.prompt(turns[:-1]).tolist()
        whole = theirs.apply_chat_template(turns, return_dict=False)
        found = chat.dialogue(turns).tokens.tolist()
        assert whole[: len(found)] == found and not theirs.decode(whole[len(found) :], skip_special_tokens=True).strip()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_any_tokenizer_makes_the_tokens_that_transformers_makes(kind, tmp_path):
    transformers = pytest.importorskip("transformers")
    ours = with_template(learn(iter(PAIRS.read_text("utf-8").splitlines()), kind=kind, size=900))
    for name, contents in ours.for_others(causal=True).items():
        (tmp_path / name).write_bytes(contents)
    theirs, chat = transformers.AutoTokenizer.from_pretrained(tmp_path), Chat(ours)
    found = chat.dialogue(TURNS)
    assert theirs.apply_chat_template(TURNS, return_dict=False)[: len(found.tokens)] == found.tokens.tolist()
    asked = theirs.apply_chat_template(TURNS[:1], add_generation_prompt=True, return_dict=False)
    assert asked == chat.prompt(TURNS[:1]).tolist() == found.tokens[: len(asked)].tolist()
    assert ours.decode(found.tokens[found.answers]).replace("\n", "") == "签收七天内可以退不客气"


# --- what is learned ---


def test_a_row_asks_for_answers_to_what_stands_in_it():
    tokens = np.arange(300, 310)[None]
    turns = np.array([[ANSWERS, ANSWERS, BEGINS, 0, ANSWERS, ANSWERS, BEGINS, 0, 0, ANSWERS]], np.uint8)
    batch = packing.batch(*packing.answers(tokens, turns))
    assert batch.target.tolist() == [[-1, -1, -1, 304, 305, -1, -1, -1, 309]]
    assert batch.document.tolist() == [[0, 0, 1, 1, 1, 1, 2, 2, 2]] and batch.place.tolist() == [
        [0, 1, 0, 1, 2, 3, 0, 1, 2]
    ]
    measured = packing.measured_next([tokens[0]], _Pad(), [turns[0] & ANSWERS])
    assert measured.target.tolist() == [[301, -1, -1, 304, 305, -1, -1, -1, 309]]


class _Pad:
    pad = 0


def test_prepared_dialogues_are_those_of_the_file(prepared, settings):
    place = prepared(CHAT)
    config = load(find(CHAT).path, settings(CHAT))
    stream = prepare.open_stream(config.data, str(place), "train")
    starts, stops = stream.bounds[:-1].tolist(), stream.bounds[1:].tolist()
    marks = [stream.turns(*span) for span in zip(starts, stops)]
    assert all(each[0] & BEGINS and not (each[1:] & BEGINS).any() and each[-1] & ANSWERS for each in marks)
    said = {
        stream.tokenizer.decode(stream.span(start, stop)[each & ANSWERS > 0])
        for start, stop, each in zip(starts, stops, marks)
    }
    answers = {json.loads(line)["response"] for line in PAIRS.read_text("utf-8").splitlines()}
    assert len(said & answers) > 100
    assert template.of(stream.tokenizer.config, "x") == template.PLAIN


def test_what_is_longer_than_the_context_and_what_is_no_dialogue_is_said(tmp_path, capsys):
    records = [{"prompt": f"问题{n}", "response": "好" * (200 if n < 3 else 9)} for n in range(12)] + [{"prompt": "a"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    more = [
        f"data.sources=[{tmp_path}/a.jsonl]",
        f"data.prepared={tmp_path}/data",
        "data.valid_share=0",
        "data.test_share=0",
    ]
    prepare_data(config_path(CHAT), more)
    said = capsys.readouterr().err
    assert "3 of 12 dialogues to learn from are longer than model.context (128 tokens)" in said
    assert "dropped 1 x no column prompt, response or messages" in said
    (tmp_path / "b.txt").write_text("你好", encoding="utf-8")
    with pytest.raises(DataError, match=r"b\.txt holds lines of text: dialogues are records"):
        prepare_data(config_path(CHAT), [*more, f"data.sources=[{tmp_path}/b.txt]"])


def test_columns_of_other_names(tmp_path):
    for name, value in (("a", {"q": "你好", "a": "您好"}), ("b", {"conversation": TURNS})):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(value), encoding="utf-8")
    more = [f"data.prepared={tmp_path}/data", "data.valid_share=0", "data.test_share=0"]
    columns = {"a": "{prompt: q, response: a}", "b": "{messages: conversation}"}
    for name, given_ in columns.items():
        made = prepare_data(
            config_path(CHAT), [*more, f"data.sources=[{tmp_path}/{name}.jsonl]", f"data.columns={given_}"]
        )
        assert made["splits"]["train"]["examples"] == 1
    with pytest.raises(ConfigError, match="a record is prompt and response, or messages: name the columns of one"):
        prepare_data(config_path(CHAT), [*more, "data.columns={prompt: q, messages: m}"])
    with pytest.raises(ConfigError, match="leave target and measured out"):
        source = f"{{path: {tmp_path}/a.jsonl, columns: [q, a], target: [a]}}"
        prepare_data(config_path(CHAT), [*more, f"data.sources=[{source}]"])


@pytest.mark.parametrize("setting, message", [
    ("data.clean.nfkc=true", "clean.nfkc changes what is said"), ("data.whole_words=true", "for objective: masked"),
])  # fmt: skip
def test_settings_that_dialogues_have_no_use_for(setting, message):
    with pytest.raises(ConfigError, match=message):
        load(find(CHAT).path, [setting])
    assert load(find(CHAT).path, ["data.clean.min_letters=3"]).data.clean.html is False


def test_a_run_on_text_is_finetuned_on_dialogues_and_measured_beside_its_parent(trained, settings, tmp_path):
    parent = trained(CAUSAL)
    more = [
        f"data.tokenizer={parent}",
        f"data.prepared={tmp_path}/data",
        "model.context=64",
        "model.width=32",
        "train.steps=4",
    ]
    config = load(find(CHAT).path, more)
    assert config.starts_from_others
    run = finetune(config_path(CHAT), parent, settings(CHAT, tmp_path / "run", *more))
    found = evaluate([run], split="valid", baseline=parent, output=str(tmp_path / "out"))
    assert found.figures["bits_per_character"].value < found.reference.figures["bits_per_character"].value
    theirs = evaluate([run], data=str(PAIRS), output=str(tmp_path / "out"))
    answers = [json.loads(line)["response"] for line in PAIRS.read_text("utf-8").splitlines()]
    assert theirs.measured.notes["characters"] == sum(map(len, answers))
    with pytest.raises(ConfigError, match="has no chat template"):
        generate(parent, ["你好"], way=_way(True))


def _way(chat, system=None):
    from bmtool.commands.generate import Way

    return Way(chat, system)


# --- what is said ---


def test_a_model_of_dialogues_answers_unless_it_is_told_to_go_on(trained, invoke):
    run = trained(CHAT)
    predictor = load_model(run, print).predictor
    assert predictor.chats and not load_model(trained(CAUSAL), print).predictor.chats
    assert predictor.read("你好").tokens.tolist() == predictor.chat.prompt([turn("user", "你好")]).tolist()
    answered = invoke("generate", run, "你好", "--max-tokens", 5)
    again = invoke("generate", run, "你好", "再见", "--max-tokens", 5)
    assert (
        answered.exit_code == 0 and not answered.stdout.startswith("你好") and again.stdout.startswith(answered.stdout)
    )
    goes_on = invoke("generate", run, "你好", "--max-tokens", 5, "--no-chat")
    assert goes_on.stdout.startswith("你好")
    told = invoke("generate", run, "你好", "--system", "你是客服", "--json", "--max-tokens", 5)
    (value,) = predictor.predict(
        [predictor.read([turn("system", "你是客服"), turn("user", "你好")])], Options(max_tokens=5)
    )
    assert json.loads(told.stdout)["text"] == value.text and json.loads(told.stdout)["input"] == "你好"
    assert invoke("generate", trained(CAUSAL), "你好", "--system", "a").exit_code == 2


def test_the_token_that_ends_a_turn_ends_it(trained, monkeypatch):
    predictor = load_model(trained(CHAT), print).predictor
    prompt, steps = predictor.read("你好"), predictor.steps
    (long,) = predictor.predict([prompt], Options(temperature=0.0))
    assert long.details["ended"] in ("end", "context")  # and not after 64 tokens
    scores, state = steps.begin([prompt.tokens])
    scores[:, prompt.ending.token] = 1e4
    monkeypatch.setattr(steps, "begin", lambda rows: (scores, state))
    monkeypatch.setattr(type(predictor), "steps", property(lambda self: steps))
    (value,) = predictor.predict([prompt], Options())
    assert (value.text, value.details["ended"]) == ("", "end")


def test_a_dialogue_at_a_terminal_remembers_what_there_is_room_for(trained, monkeypatch, capsys):
    from bmtool.commands.generate import interactive

    class Lines(io.StringIO):
        buffer = None

    monkeypatch.setattr(sys, "stdin", Lines("你好\n\n怎么退货\n" + "长" * 200 + "\n谢谢\n再问\n"))
    seen = []
    predictor_read = type(load_model(trained(CHAT), print).predictor).read
    monkeypatch.setattr(
        type(load_model(trained(CHAT), print).predictor), "read",
        lambda self, raw: seen.append(raw) or predictor_read(self, raw),
    )  # fmt: skip
    interactive(trained(CHAT), system="你是客服", options={"max_tokens": 12})
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 4
    assert [one["content"] for one in seen[0]] == ["你是客服", "你好"]
    assert "say it shorter" in said.err and "the context is full: the first 2 turns are forgotten" in said.err
    assert seen[-1][0]["role"] == "system" and seen[-1][-1]["content"] == "再问"


def test_what_goes_with_a_dialogue_at_a_terminal(trained, invoke):
    assert invoke("generate", trained(CHAT), "你好", "--interactive").exit_code == 2
    assert "no chat template" in invoke("generate", trained(CAUSAL), "--interactive").stderr


def test_an_exported_checkpoint_has_the_template_and_answers_alike(trained, tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch

    folder = export_hf(trained(CHAT), tmp_path / "hf")
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    predictor = load_model(trained(CHAT), print).predictor
    tokens = theirs.apply_chat_template(TURNS[:1], add_generation_prompt=True, return_dict=False)
    prompt = predictor.read(TURNS[:1])
    assert tokens == prompt.tokens.tolist()
    with torch.no_grad():
        made = model.generate(
            torch.tensor([tokens]), max_new_tokens=8, do_sample=False, pad_token_id=theirs.pad_token_id
        )
    (mine,) = predictor.predict([prompt], Options(temperature=0, max_tokens=8))
    assert theirs.decode(made[0, len(tokens) :], skip_special_tokens=True) == mine.text


def test_settings_beside_a_checkpoint_that_it_overrides_are_refused(trained, settings, tmp_path):
    folder = export_hf(trained(CAUSAL), tmp_path / "hf")
    more = [
        f"model.weights={folder}",
        f"data.tokenizer={folder}",
        f"data.prepared={tmp_path / 'data'}",
        "model.width=64",
    ]
    with pytest.raises(ConfigError, match=r"model.width: 64, and .* has 32, which is used: leave it out"):
        pretrain(config_path(CAUSAL), settings(CAUSAL, tmp_path / "run", *more))
