"""Preparing text of any language for any task: from end to end, learning, what has changed, and never losing what was there."""

import dataclasses
import json
import re
import shutil

import pytest
from text_toy import LEARNED, Corpus, encode, toy

from bmtool.base.files import write_json
from bmtool.data import jobs
from bmtool.data.tally import Tally
from bmtool.errors import DataError, ResourceError
from bmtool.text import assemble, keys, report, sources
from bmtool.text.passes import learn as learning
from bmtool.text.prepare import changes, fingerprint
from bmtool.text.prepared import AS_IS, open_split, read_examples
from bmtool.text.sources import File

ANIMALS = re.findall(r"\w+", "cat dog fox owl hen cow bee ant elk yak")
VERBS = re.findall(r"\w+", "sees hears likes meets finds calls helps knows seeks feeds")
HANZI = "今天明天我们他们学习工作北京上海中文数学历史音乐"


def english(count: int) -> list[str]:
    """Different lines of two sentences each."""
    return [
        f"The {ANIMALS[n % 10]} {VERBS[n // 10 % 10]} the {ANIMALS[n // 100]}. Line {n} ends here."
        for n in range(count)
    ]


def chinese(count: int) -> list[str]:
    return [f"{HANZI[n % 20 : n % 20 + 4]}第{n}句话。然后是第{n}句的后半。" for n in range(count)]


CORPORA = {
    "latin": (english(300), ["早上好，大家。", "1 2 3"], "fewer than 2 Latin letters"),
    "hanzi": (chinese(300), ["All English.", "1 2 3"], "fewer than 2 hanzi"),
    "any": (english(150) + chinese(150), ["12:30", "-- 5 --"], "fewer than 2 letters"),
}


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    return Corpus(tmp_path)


@pytest.fixture
def small_blocks(monkeypatch):
    """A small corpus has many blocks and parts."""
    monkeypatch.setattr(sources, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(keys, "PART_KEYS", 100)


# --- from end to end ---


@pytest.mark.parametrize("letters", CORPORA)
def test_every_language_is_cut_filtered_and_split(corpus, letters):
    lines, useless, reason = CORPORA[letters]
    corpus.write("a.txt", *lines, *useless, lines[0])
    manifest = corpus.prepare("a.txt", clean={"letters": letters}, valid_share=0.2, test_share=0.2)
    (source,) = manifest["sources"].values()
    assert source["read"] == 303 and source["kept"] == 600
    assert source["dropped"] == {reason: 2, "duplicate": 2}
    assert all(examples["examples"] > 60 for examples in manifest["splits"].values())
    found = corpus.sentences()
    assert len(found) == len(set(found)) == 600
    whole = "".join(lines).replace(" ", "")
    assert sum(map(len, (text.replace(" ", "") for text in found))) == len(whole)


def test_workers_and_blocks_change_no_byte_of_any_language(corpus, small_blocks, monkeypatch):
    corpus.write("a.txt", *english(200), *chinese(200))
    corpus.write("b.jsonl", *(json.dumps({"text": line, "label": n}) for n, line in enumerate(english(60))))
    dev = corpus.write("dev.md", *english(3), "The elk was never seen by any of the other animals that live here.")
    settings = {"clean": {"letters": "any"}, "protected": [str(dev)], "duplicates": {"near": True}}
    results = []
    for number, (workers, size) in enumerate([(1, 2000), (2, 2000), (1, 1 << 22)]):
        monkeypatch.setattr(sources, "BLOCK_BYTES", size)
        task = toy(("text", "label"), ("label",), least=3)
        manifest = corpus.prepare("*.txt", "*.jsonl", task=task, name=f"p{number}", workers=workers, **settings)
        results.append((manifest["data_hash"], {name: s["dropped"] for name, s in manifest["sources"].items()}))
    assert results[0] == results[1] == results[2]
    assert "shares a span with a protected file" in str(results[0])


def test_a_file_is_read_as_prepared_data_would_hold_it(corpus):
    path, tally = corpus.write("a.txt", "It rained. We stayed.", "", "x"), Tally()
    settings = AS_IS.model_copy(update={"letters": "any", "min_letters": 2})
    found = ["".join(map(chr, f["codes"])) for f in read_examples(File(path), tally, encode, settings)]
    assert found == ["It rained.", "We stayed."]
    assert tally.read == 3 and dict(tally.dropped) == {"empty line": 1, "fewer than 2 letters": 1}


def test_a_prepared_directory_of_another_kind_is_refused(corpus):
    corpus.write("a.txt", *english(50))
    corpus.prepare("a.txt", clean={"letters": "any"})
    for more, message in (
        ({"task": "other", "rules": 1}, "was prepared for toy, not other"),
        ({"task": "toy", "rules": 2}, "another version: run `bmtool prepare-data CONFIG` again"),
    ):
        with pytest.raises(DataError, match=message):
            open_split(corpus.target, "train", fields=("codes",), **more)
    with pytest.raises(DataError, match="not prepared yet: run `bmtool prepare-data CONFIG`"):
        open_split(corpus.folder, "train", task="toy", rules=1, fields=("codes",))


def test_what_lies_in_the_place_of_text_is_known_before_it_is_made_again(corpus):
    corpus.write("a.txt", *english(50))
    corpus.prepare("a.txt", clean={"letters": "any"})
    manifest = corpus.target / "manifest.json"
    said = json.loads(manifest.read_text("utf-8"))
    write_json(manifest, said | {"format": 1})
    corpus.prepare("a.txt", clean={"letters": "any"})
    assert f"{corpus.target} was prepared by another version: it is made again" in corpus.heard.said
    manifest.write_text("{", encoding="utf-8")
    corpus.prepare("a.txt", clean={"letters": "any"})
    assert [line for line in corpus.heard.said if line.endswith("this is done now")]
    write_json(manifest, {"kind": "images", "data_hash": "", "splits": {}})
    with pytest.raises(DataError, match="holds prepared data that are no text: name another directory"):
        corpus.prepare("a.txt", clean={"letters": "any"})
    assert json.loads(manifest.read_text("utf-8"))["kind"] == "images"


def test_the_report_needs_no_vocabulary(corpus, monkeypatch):
    monkeypatch.setattr(report, "_draw", lambda figure, path: path.touch())
    corpus.write("a.txt", *english(50), "早上好")
    manifest = corpus.prepare("a.txt", clean={"letters": "latin"})
    page = report.write(corpus.target, manifest).read_text("utf-8")
    assert "| fewer than 2 Latin letters | 1 |" in page and "Vocabulary" not in page
    assert any(line.startswith("dropped 1 x fewer than 2 Latin letters  e.g. ") for line in report.lines(manifest))


# --- learning ---


def test_only_what_is_trained_on_is_learned_from(corpus):
    """Every line has a character of its own, so what was learned tells which lines were seen."""
    marks = [chr(code) for code in range(0x5000, 0x5000 + 200)]
    lines = [f"每行有一个字{mark}在这里" for mark in marks]
    corpus.write("a.txt", *lines)
    dev = corpus.write("dev.md", *lines[:10])
    manifest = corpus.prepare("a.txt", protected=[str(dev)], valid_share=0.2, test_share=0.2, name="plain")
    train = "".join(corpus.sentences("train"))
    corpus.prepare("a.txt", protected=[str(dev)], valid_share=0.2, test_share=0.2, task=toy(least=1))
    learned = (corpus.target / LEARNED).read_text("utf-8")
    assert set(learned) == set(train) and not set(marks[:10]) & set(learned)
    assert corpus.heard.said[-1].startswith(f"learned {LEARNED} from {len(train):,} characters")
    shards = corpus.shards("train")
    ids = [int(i) for number in range(len(shards)) for i in shards.example("codes", number)]
    assert "".join(learned[i - 1] for i in ids) == train
    assert any(0 in corpus.shards("valid").example("codes", n) for n in range(len(corpus.shards("valid"))))
    assert manifest["splits"]["train"]["examples"] == len(shards)


def test_the_sample_is_bounded_and_the_same_for_all_blocks(corpus, monkeypatch):
    corpus.write("a.txt", *english(500))
    monkeypatch.setattr(learning, "SAMPLE_CHARACTERS", 3000)
    samples = []
    for size in (1 << 22, 2000):
        monkeypatch.setattr(sources, "BLOCK_BYTES", size)
        task = dataclasses.replace(toy(), learn=_keep)
        corpus.prepare("a.txt", task=task, clean={"letters": "any"}, name=f"p{size}")
        samples.append((corpus.target / LEARNED).read_text("utf-8").splitlines())
    assert samples[0] == samples[1]
    assert 2500 < sum(map(len, samples[0])) <= 3000
    assert len(set(samples[0])) == len(samples[0])


def _keep(sentences) -> dict[str, bytes]:
    return {LEARNED: "\n".join(sentences).encode()}


def test_what_is_learned_decides_what_is_encoded_again(corpus, monkeypatch):
    corpus.write("a.txt", *english(100))
    done = []
    perform = jobs.perform
    monkeypatch.setattr(jobs, "perform", lambda job: (done.append(job.directory.parent.name), perform(job)))

    def steps(task) -> set[str]:
        done.clear()
        corpus.prepare("a.txt", task=task, clean={"letters": "any"})
        return set(done)

    assert {"clean", "choose", "learn", "encode"} <= steps(toy(least=1))
    assert steps(toy(least=1)) == set()
    assert steps(toy(least=2)) == {"learn"}  # every character occurs more than once: the same is learned
    before = corpus.files()
    assert steps(toy(least=100)) == {"learn", "encode"}
    assert len(corpus.files()[LEARNED]) < len(before[LEARNED]) and corpus.files().keys() == before.keys()


def test_a_task_that_cannot_learn_leaves_what_was_there(corpus):
    corpus.write("a.txt", *english(50))
    corpus.prepare("a.txt", clean={"letters": "any"})
    before = corpus.files()
    with pytest.raises(DataError, match="too little"):
        corpus.prepare("a.txt", task=dataclasses.replace(toy(), learn=_refuse), clean={"letters": "any"})
    assert corpus.files() == before


def _refuse(sentences) -> dict[str, bytes]:
    raise DataError("too little text to learn from")


# --- what has changed ---


def test_changes_are_named_as_a_user_knows_them(corpus):
    lines = english(40)
    for name in ("a.txt", "b.txt", "dev.md"):
        corpus.write(name, *lines)
    dev = str(corpus.folder / "dev.md")
    base = {"protected": [dev], "clean": {"letters": "any"}}
    task = toy(split_by="sentence", dictionary="1", words=3)
    manifest = json.loads(json.dumps(corpus.prepare("*.txt", task=task, **base | {"protected": []})))

    def named(*specs, task=task, **settings) -> list[str]:
        given = base | {"protected": []} | settings
        return [
            line.replace(f"{corpus.folder}/", "")
            for line in changes(manifest, fingerprint(corpus.data(*specs or ("*.txt",), **given), task))
        ]

    assert named() == []
    assert named(workers=2, cache=False, name="elsewhere") == []
    assert named(valid_share=0.25, clean={"letters": "any", "mask": True}) == [
        "data.clean.mask: False -> True", "data.valid_share: 0.05 -> 0.25",
    ]  # fmt: skip
    assert named("a.txt") == ["data.sources: b.txt is gone"]
    assert named("b.txt", "a.txt") == ["data.sources: the files come in another order"]
    assert named({"path": "a.txt", "weight": 2.0}, "b.txt") == ["data.sources: a.txt: weight: 1.0 -> 2.0"]
    assert named(protected=[dev]) == ["data.protected: dev.md added"]
    assert named(split_by="line") == ["data.split_by: 'sentence' -> 'line'"]
    assert named(task=toy(split_by="sentence", dictionary="2", words=3)) == ["toy: dictionary has changed"]
    assert named(task=toy(split_by="other", dictionary="1", words=3)) == ["data.split_by: its contents have changed"]
    assert named(task=dataclasses.replace(task, rules=2)) == [
        "it was prepared by another version of bmtool, or for another task"
    ]
    corpus.write("a.txt", *lines, "One more line. It is new.")
    corpus.write("c.txt", *lines[:5])
    corpus.write("d.txt", *lines[:4])
    assert named() == ["data.sources: a.txt has changed", "data.sources: 2 files added (c.txt, d.txt)"]
    shutil.move(corpus.folder / "a.txt", corpus.folder / "a.text")
    with pytest.raises(DataError, match=r"data\.sources\.0: nothing at"):
        named("a.txt")


def test_why_data_is_made_again_is_said(corpus):
    corpus.write("a.txt", *english(40))
    corpus.prepare("a.txt", clean={"letters": "any"})
    corpus.prepare("a.txt", clean={"letters": "any"})
    assert corpus.heard.said[-1].endswith("already prepared from these sources and settings: nothing to do")
    corpus.prepare("a.txt", clean={"letters": "latin"})
    assert f"{corpus.target} is made again: data.clean.letters: 'any' -> 'latin'" in corpus.heard.said


def test_manifests_of_before_and_standard_input_are_no_match(corpus):
    corpus.write("a.txt", *english(40))
    manifest = corpus.prepare("a.txt", clean={"letters": "any"})
    recipe = manifest["recipe"]
    assert changes(manifest, recipe) == []
    assert changes({"recipe": {"format": 2, "code": 1, "settings": {}}}, recipe) == [
        "it was prepared by another version of bmtool, or for another task"
    ]
    for old, new in (({"recipe": None}, recipe), (manifest, None)):
        assert changes(old, new) == ["data.sources: standard input cannot be compared with what was read before"]


# --- what was there is never lost ---


@pytest.fixture
def whole(corpus):
    """A corpus that is prepared, and whose source has changed since."""
    corpus.write("a.txt", *english(60))
    corpus.prepare("a.txt", clean={"letters": "any"})
    before = corpus.files()
    corpus.write("a.txt", *english(70))
    return corpus, before


BESIDE = {"a.txt", "prepared", ".prepared.cache", ".prepared.making"}


def _full(*_: object, **__: object):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("module, function", [
    (assemble.shards, "assemble"), (assemble, "sha256"), (jobs, "write_json"),
])  # fmt: skip
def test_a_full_disk_leaves_the_old_data_whole(whole, monkeypatch, module, function):
    corpus, before = whole
    monkeypatch.setattr(module, function, _full)
    with pytest.raises(ResourceError, match="No space"):
        corpus.prepare("a.txt", clean={"letters": "any"})
    monkeypatch.undo()
    assert corpus.files() == before
    assert {path.name for path in corpus.folder.iterdir()} == BESIDE
    corpus.prepare("a.txt", clean={"letters": "any"})
    assert corpus.files() != before


def test_nothing_usable_leaves_the_old_data_whole(whole):
    corpus, before = whole
    hint = r"\(for a task that learns from other letters: data\.clean\.letters: hanzi, latin or any\)"
    with pytest.raises(DataError, match=f"nothing to train on: .*70 x fewer than 2 hanzi {hint}"):
        corpus.prepare("a.txt", clean={"letters": "hanzi"})
    assert corpus.files() == before


def test_data_that_cannot_take_their_place_leave_the_old_ones_there(whole, monkeypatch):
    corpus, before = whole
    rename = type(corpus.target).rename
    with monkeypatch.context() as patch:
        patch.setattr(
            type(corpus.target), "rename", lambda self, to: _full() if self.name == "new" else rename(self, to)
        )
        with pytest.raises(ResourceError, match="No space"):
            corpus.prepare("a.txt", clean={"letters": "any"})
    assert corpus.files() == before
    assert {path.name for path in corpus.folder.iterdir()} == BESIDE
    corpus.prepare("a.txt", clean={"letters": "any"})
    assert corpus.files() != before
