"""`translate`, `annotate` and the Python API as people meet them, with small models and with the one that comes with bmtool."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from test_cli import fails, imported_by

import bmtool
from bmtool.commands.loading import PRETRAINED
from bmtool.predict.assets import Packed, pack
from bmtool.tasks.pinyin2hanzi import predict

SENTENCES = {
    "ni hao shi jie": "你好世界",
    "jintiantianqihenhao": "今天天气很好",
    "wo zai beijingdaxue xuexi jisuanji": "我在北京大学学习计算机",
    "women qu xi'an kan chengqiang": "我们去西安看城墙",
    "zhei shi shei de shu": "这是谁的书",
    "zhognguo renmin": "中国人民",
    "lvyou lüyou": "旅游旅游",
}


@pytest.fixture
def model(exported):
    return exported("tagger")


# --- the model in the box ---


def test_the_model_in_the_box_writes_sentences(invoke):
    result = invoke("translate", *SENTENCES)
    assert result.stdout.splitlines() == list(SENTENCES.values())
    assert result.stderr == ""


def test_the_model_in_the_box_needs_no_torch_and_answers_from_python():
    assert not imported_by("translate", "ni hao") & {"torch", "onnx", "pypinyin", "matplotlib", "yaml", "opencc"}
    assert bmtool.translate("ni hao shi jie") == "你好世界"
    assert bmtool.translate(["zaijian", "xiexie"], traditional=True) == ["再見", "謝謝"]
    found = bmtool.load().predict(["jintian"], n_best=3)[0]
    assert found.text == "今天" and 0.5 < found.confidence <= 1
    with pytest.raises(AttributeError, match="nothing"):
        bmtool.nothing  # noqa: B018


def test_the_model_in_the_box_is_small_enough_and_described():
    folder = PRETRAINED / "pinyin2hanzi"
    files = list(folder.iterdir())
    assert sum(path.stat().st_size for path in files) <= 40_000_000
    assert max(path.stat().st_size for path in files) <= 20_000_000
    card = (folder / "MODEL_CARD.md").read_text("utf-8")
    for path in files:
        assert path.name == "MODEL_CARD.md" or path.name in card


def test_evaluate_takes_the_model_in_the_box(invoke, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("今天天气很好。\n我们去北京大学学习。\n", encoding="utf-8")
    result = invoke(
        "evaluate", "default", "--data", text, "--output", tmp_path, "--require", "character_accuracy>=0.99"
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(next(tmp_path.glob("text-*.json")).read_text("utf-8"))["examples"] == 2


def test_finetuning_the_model_in_the_box_says_why_not(invoke):
    fails(
        invoke("finetune", "configs/pinyin2hanzi/customer_service.yaml", "--from", "default"),
        2,
        "8-bit",
        "bmtool init pinyin2hanzi --name base",
    )


# --- options ---


def test_options_change_the_answer(invoke, tmp_path):
    words = tmp_path / "words.tsv"
    words.write_text("聚伞花序\n", encoding="utf-8")

    def ask(*arguments: object) -> list[str]:
        result = invoke("translate", *arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout.rstrip("\n").split("\t")

    assert ask("--lexicon", words, "jusanhuaxu") == ["聚伞花序"]
    assert ask("--initials", "bjdx") == ["北京大学"]
    assert "是的" in ask("--fuzzy", "s/sh", "--n-best", "20", "si de")
    assert ask("--traditional", "women de toufa") == ["我們的頭髮"]
    assert ask("--context", "西", "an") == ["安"]
    assert {"先", "西安"} <= set(ask("--n-best", "40", "xian"))
    assert ask("mai3", "--n-best", "9")[0] == "买"
    assert ask("mai4", "--n-best", "9")[0] == "卖"


def test_usual_latin_words_are_neither_slips_nor_mistakes(invoke):
    result = invoke("translate", "daima you bug", "wifi mima shi duoshao", "women you bukg")
    assert result.stdout.splitlines() == ["代码有bug", "wifi密码是多少", "我们有bukg"]
    assert result.stderr == "bmtool: argument:3: no pinyin, kept as it is: bukg\n"


@pytest.mark.parametrize("typed, text", [
    ("zhegeapphenhaoyong", "这个app很好用"),
    ("daimayoubug", "代码有bug"),
    ("wodeiPhonediule", "我的iPhone丢了"),
    ("woxihuanNBA", "我喜欢NBA"),
    ("PDFwenjian", "PDF文件"),
    ("nengyongAIma", "能用AI吗"),
    ("jintianfayanwancheng USBchuanshu", "今天发言完成USB传输"),
    ("SHanghaishi", "上海市"),
    ("OpenAI eSIM GitHub", "OpenAI eSIM GitHub"),
])  # fmt: skip
def test_latin_words_among_joined_letters(typed, text, invoke):
    result = invoke("translate", typed)
    assert result.stdout == text + "\n" and result.stderr == ""


def test_latin_words_among_joined_letters_have_places(invoke):
    found = json.loads(invoke("translate", "--json", "--n-best", "3", "qingdakaiwifiba").stdout)
    assert [(s["pinyin"], s["start"], s["end"]) for s in found["syllables"]] == [
        ("qing", 0, 4), ("da", 4, 6), ("kai", 6, 9), ("ba", 13, 15)
    ]  # fmt: skip
    assert found["text"] == "请打开wifi吧" and len(found["n_best"]) == 3


def test_a_long_sentence_in_one_word_with_a_slip(invoke):
    letters = "womenmingtianxiawuyiqiquxuexiaotushuguankanshuranhouhuijiachifan"
    assert len(letters) > 60
    text = "我们明天下午一起去学校图书馆看书然后回家吃饭"
    slipped = letters.replace("tushuguan", "tushugaun")
    assert invoke("translate", letters, slipped).stdout.splitlines() == [text, text]


@pytest.mark.parametrize("command", ["translate", "annotate", "translate --interactive"])
def test_a_closed_standard_input_is_an_error_in_one_line(command):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m bmtool {command} <&-"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 4 and "standard input is closed" in done.stderr and "Traceback" not in done.stderr


def test_json_names_places_and_alternatives(invoke):
    result = invoke("translate", "--json", "nihao, 世jie")
    found = json.loads(result.stdout)
    assert found["text"] == "你好,世界" and 0 < found["confidence"] <= 1
    places = [(s["start"], s["end"], s["pinyin"], s["text"]) for s in found["syllables"]]
    assert places == [(0, 2, "ni", "你"), (2, 5, "hao", "好"), (7, 8, "shi", "世"), (8, 11, "jie", "界")]
    for syllable in found["syllables"]:
        assert syllable["alternatives"][0]["text"] == syllable["text"]


def test_explain_shows_candidates_under_each_line(invoke):
    lines = invoke("translate", "--explain", "ta lai le").stdout.splitlines()
    assert len(lines) == 4
    assert [line.split()[:2] for line in lines[1:]] == [["ta", lines[0][0]], ["lai", "来"], ["le", "了"]]


def test_interactive_writes_what_is_chosen_and_goes_on_after_mistakes(invoke):
    result = invoke("translate", "--interactive", stdin="nihao\n\nshijie\n77\nshijie\n1\n\n")
    assert result.stdout.splitlines() == ["你好", "世界"]
    assert "expected a number" in result.stderr


def test_proofreading_a_file(invoke, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("我们一起去公园散步。\n我门一起去公圆散步。\n\n", encoding="utf-8")
    lines = invoke("translate", "--proofread", path).stdout.splitlines()
    assert [line.split("   ")[0] for line in lines] == [f"{path}:2:2: 门 → 们", f"{path}:2:7: 圆 → 园"]
    first = json.loads(invoke("translate", "--proofread", path, "--json").stdout.splitlines()[0])
    assert first == {"file": str(path), "line": 2, "column": 2, "start": 1, "end": 2, "found": "门", "suggested": "们"}


@pytest.mark.parametrize("arguments, code, words", [
    (["--fuzzy", "z/zhh", "ni"], 2, ["'z/zhh'", "did you mean 'z/zh'"]),
    (["--lexicon", "no.tsv", "ni"], 4, ["cannot read the lexicon no.tsv"]),
    (["--proofread", "x.txt", "ni"], 2, ["takes no pinyin"]),
    (["--proofread", "no.txt"], 4, ["--proofread: no such file or folder: no.txt"]),
    (["--interactive", "ni"], 2, ["leave TEXT"]),
])  # fmt: skip
def test_wrong_options(arguments, code, words, model, invoke):
    fails(invoke("translate", "--model", model, *arguments), code, *words)


@pytest.mark.parametrize("option", [["--explain", "ni hao"], ["--proofread", "README.md"]])
def test_what_only_a_tagger_can_do(option, exported, invoke):
    fails(invoke("translate", "--model", exported("pinyin2hanzi-rnn"), *option), 2, "needs a tagger")


# --- files of a model ---


def test_the_tables_are_in_the_file(model, invoke, tmp_path):
    shutil.copy(model, tmp_path / "model.onnx")
    assert invoke("translate", "--model", tmp_path / "model.onnx", "ni").exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    assert {"ngram-2.safetensors", "tones.safetensors"} <= set(Packed(model).names())


def test_a_damaged_table_is_named(model, invoke, tmp_path):
    packed = Packed(model)
    files = {name: bytes(packed.read(name)) for name in packed.names()}
    files["ngram-2.safetensors"] = bytes(len(files["ngram-2.safetensors"]))
    (tmp_path / "model.onnx").write_bytes(pack(packed.model(), files))
    fails(invoke("translate", "--model", tmp_path / "model.onnx", "ni"), 4, "ngram-2.safetensors is damaged")


def test_a_file_that_was_cut_short_is_no_model(model, invoke, tmp_path):
    (tmp_path / "model.onnx").write_bytes(model.read_bytes()[:-1000])
    fails(invoke("translate", "--model", tmp_path / "model.onnx", "ni"), 4, "model.onnx")


def test_tables_belong_beside_a_file_of_format_1(invoke, tmp_path):
    """The model in the box is one."""
    box = PRETRAINED / "pinyin2hanzi"
    shutil.copy(box / "model.onnx", tmp_path)
    fails(invoke("translate", "--model", tmp_path / "model.onnx", "ni"), 4, "safetensors", "belong beside it")
    for path in box.glob("*.safetensors"):
        shutil.copy(path, tmp_path)
    assert invoke("translate", "--model", tmp_path / "model.onnx", "ni").exit_code == 0
    (tmp_path / "tones.safetensors").write_bytes(b"something else")
    fails(invoke("translate", "--model", tmp_path / "model.onnx", "ni"), 4, "tones.safetensors", "export both again")


# --- annotate ---


def test_annotate(invoke, tmp_path):
    readings = tmp_path / "readings.tsv"
    readings.write_text("绿林\tlu4 lin2\n", encoding="utf-8")
    assert invoke("annotate", "我们去银行，OK!").stdout == "wǒ men qù yín háng，OK!\n"
    assert invoke("annotate", "--style", "numbers", stdin="女儿\n很好\n").stdout == "nü3 er2\nhen3 hao3\n"
    assert invoke("annotate", "--style", "ruby", "好").stdout == "<ruby>好<rt>hǎo</rt></ruby>\n"
    assert invoke("annotate", "--readings", readings, "绿林").stdout == "lù lín\n"
    fails(invoke("annotate", "--style", "x", "好"), 2, "marks, numbers, ruby")


def test_annotate_needs_no_torch():
    assert not imported_by("annotate", "你好") & {"torch", "onnx", "onnxruntime", "matplotlib"}


def test_a_long_line_says_how_far_it_is_and_is_written_as_its_parts_are(exported, invoke, monkeypatch):
    model, line = exported("tagger"), "wo men qu gong yuan! " * 12
    whole = invoke("translate", "--model", model, line)
    assert whole.exit_code == 0 and whole.stderr == ""
    monkeypatch.setattr(predict, "LONG", 16)
    parts = invoke("translate", "--model", model, line)
    assert parts.stdout == whole.stdout
    shown = re.findall(r"(\d+)% of a long line is done", parts.stderr)
    assert len(shown) > 2 and shown == sorted(shown, key=int) and shown[-1] == "100"


@pytest.mark.parametrize("command", [
    ["translate", "ni hao"], ["translate", "--json", "ni hao"], ["annotate", "你好"], ["predict", "default", "ni hao"],
    ["prepare-data", "configs/pinyin2hanzi/tiny.yaml", "--dry-run", "--set", "data.prepared=/nowhere/at-all"],
])  # fmt: skip
def test_a_full_disk_under_the_output_is_one_line(command):
    """/dev/full takes nothing: 'No space left on device' at the first write or at the last flush."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "bmtool", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False, cwd=ROOT
        )  # fmt: skip
    assert done.returncode == 6, done.stderr
    assert "No space left on device" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert "standard output" in done.stderr
    assert "Exception ignored" not in done.stderr
