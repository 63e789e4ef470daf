"""Prepare-data as a whole: duplicates, leaks, splits, weights, and the same bytes however it was done."""

import json
import lzma
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, SAMPLE, config_path
from hypothesis import given
from hypothesis import strategies as st

from bmtool.commands.prepare_data import prepare_data
from bmtool.config.load import load
from bmtool.config.text import Duplicates
from bmtool.data import jobs
from bmtool.data.jobs import Job
from bmtool.data.splitting import SPLITS
from bmtool.errors import DataError, ResourceError
from bmtool.tasks.pinyin2hanzi.prepare import fingerprint, split_texts
from bmtool.text import duplicates, keys, report, sources
from bmtool.text.passes import choose, clean
from bmtool.text.progress import Steps
from bmtool.text.recipe import changes

WORDS = re.findall(
    "..", "今天明天我们他们学习工作北京上海中文数学历史音乐喜欢讨厌研究发展天气城市银行公司电影已经一起可以开始"
)


def sentences(count: int, seed: int = 0, words: int = 9) -> list[str]:
    """Different sentences of 18 hanzi."""
    draw = random.Random(seed)
    return ["".join(draw.choices(WORDS, k=words)) + "。" for _ in range(count)]


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """`prepare(*settings, sources=...)`: the manifest of text in `tmp_path`; sources are names, or mappings with a path.

    Drawing takes longer than everything else, so the report is without `pictures` unless they are asked for.
    """

    def run(*settings: str, sources: list | None = None, name: str = "prepared", pictures: bool = False) -> dict:
        specs = [{"path": s} if isinstance(s, str) else s for s in (sources or ["*.txt"])]
        specs = [spec | {"path": str(tmp_path / spec["path"])} for spec in specs]
        base = [
            f"data.sources={json.dumps(specs)}",
            f"data.prepared={tmp_path / name}",
            "data.valid_share=0.1",
            "data.test_share=0.1",
        ]
        with monkeypatch.context() as patch:
            if not pictures:
                patch.setattr(report, "_draw", lambda figure, path: None)
            return prepare_data(config_path("tagger"), [*base, *settings])

    return run


def texts(directory, split: str) -> list[str]:
    """The hanzi of every example of a split."""
    return ["".join(chr(code) for code in codes if code) for _, codes in split_texts(str(directory), split)]


def everything(directory) -> list[str]:
    return [text for split in SPLITS for text in texts(directory, split)]


def outputs(directory: Path) -> dict[str, bytes]:
    """Every file but those that hold times."""
    return {p.name: p.read_bytes() for p in sorted(directory.iterdir()) if p.is_file() and p.name != "manifest.json"}


def write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# --- duplicates and leaks ---


def test_exact_duplicates_go_within_and_across_sources(prepare, tmp_path):
    lines = sentences(100)
    write(tmp_path / "a.txt", [*lines, lines[7]])
    write(tmp_path / "b.txt", [lines[3], *sentences(50, seed=1)])
    manifest = prepare()
    found = everything(tmp_path / "prepared")
    assert len(found) == len(set(found)) == 150
    a, b = (manifest["sources"][str(tmp_path / name)] for name in ("a.txt", "b.txt"))
    assert a["dropped"] == {"duplicate": 1} and b["dropped"] == {"duplicate": 1}
    assert a["examples"]["duplicate"] == [f"{tmp_path}/a.txt:101: {lines[7]} (as {tmp_path}/a.txt:8)"]
    assert b["examples"]["duplicate"] == [f"{tmp_path}/b.txt:1: {lines[3]} (as {tmp_path}/a.txt:4)"]
    assert sum(s["examples"] for s in prepare("data.duplicates.exact=false")["splits"].values()) == 152


def test_near_duplicates_go_and_what_is_merely_alike_stays(prepare, tmp_path):
    lines = sentences(300, words=12)
    one_off = [line[:5] + "啊" + line[5:] for line in lines[:60]]
    alike = [line[:12] + "完全是另外一回事情谁也不知道为什么。" for line in lines[60:80]]
    write(tmp_path / "a.txt", lines)
    write(tmp_path / "b.txt", [*one_off, *alike])
    manifest = prepare("data.duplicates.near=true", "data.duplicates.threshold=0.7")
    b = manifest["sources"][str(tmp_path / "b.txt")]
    assert b["kept"] == 20
    assert 57 <= b["dropped"]["near-duplicate"] <= 60
    assert f"~ {lines[0]} (as {tmp_path}/a.txt:1)" in b["examples"]["near-duplicate"][0]
    assert manifest["sources"][str(tmp_path / "a.txt")]["kept"] == 300


@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 7))
def test_repeats_are_those_with_an_earlier_equal_key(tmp_path_factory, values, per_block):
    folder = tmp_path_factory.mktemp("keys")
    blocks = [values[i : i + per_block] for i in range(0, len(values), per_block)]
    mixed = keys.mix(np.arange(41, dtype=np.uint64), 1)
    for number, block in enumerate(blocks):
        (folder / str(number)).mkdir()
        keys.write_keys(folder / str(number), mixed[block], np.arange(len(block)))
    results = []
    for low, high in [(0, 1 << 62), ((1 << 62) + 1, (1 << 64) - 1)]:
        results.append(folder / f"part{low}")
        results[-1].mkdir()
        duplicates.exact(results[-1], [folder / str(number) for number in range(len(blocks))], low, high)
    seen: dict[int, int] = {}
    for number, block in enumerate(blocks):
        rows, firsts = duplicates.of_block(results, number)
        expected = [
            (row, seen[value])
            for row, value in enumerate(block)
            if seen.setdefault(value, number << 32 | row) != number << 32 | row
        ]
        assert list(zip(rows.tolist(), firsts.tolist())) == expected


def test_similar_sentences_share_a_band_and_others_do_not():
    draw = random.Random(3)
    settings = Duplicates(near=True, threshold=0.8)
    pairs = []
    for _ in range(2000):
        a = [chr(code) for code in draw.choices(range(0x4E00, 0x5E00), k=60)]
        b = list(a)
        for place in draw.sample(range(60), draw.choice([1, 2, 30])):
            b[place] = "啊"
        pairs.append(("".join(a), "，".join(["".join(b[:30]), "".join(b[30:])])))
    keys, rows = duplicates.band_keys([text for pair in pairs for text in pair], np.arange(4000), settings)
    keys = keys.reshape(4000, -1)
    assert rows.reshape(4000, -1)[:, 0].tolist() == list(range(4000))
    shared = (keys[::2] == keys[1::2]).any(axis=1)
    similar = np.array([duplicates.jaccard(*(duplicates.ngrams(text, 3) for text in pair)) for pair in pairs])
    assert shared[similar >= 0.8].mean() > 0.95 and (similar >= 0.8).sum() > 1000
    assert shared[similar < 0.2].mean() < 0.01 and (similar < 0.2).sum() > 500


def test_bands_find_the_share_of_pairs_they_promise():
    for threshold in (0.5, 0.7, 0.8, 0.9):
        count, size = duplicates.bands(threshold)
        assert count * size <= duplicates.PERMUTATIONS
        assert 1 - (1 - threshold**size) ** count >= duplicates.RECALL


def test_protected_files_that_cannot_be_used_are_an_error(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(50))
    (tmp_path / "dev.bin").write_bytes(b"\xff\xfe\xfd\n")
    with pytest.raises(DataError, match=r"no usable line in .*dev\.bin"):
        prepare(f"data.protected=[{tmp_path}/dev.bin]")
    with pytest.raises(DataError, match="nothing at"):
        prepare(f"data.protected=[{tmp_path}/none]")


def test_nothing_shares_twenty_hanzi_with_a_protected_file(prepare, tmp_path):
    secret = sentences(20, seed=5, words=20)  # 40 hanzi each
    folder = tmp_path / "dev"
    folder.mkdir()
    write(folder / "dev.txt", [*secret, "这一句只有十个汉字吗。"])
    safe = sentences(60, seed=6, words=4)
    leaking = [
        "前面" + secret[0][5:25] + "后面。",
        secret[1][:12] + "，" + secret[1][12:22] + "也算。",
        "这一句只有十个汉字吗！",
    ]
    across = secret[2][:11] + "。" + secret[2][11:24] + "。这一句没有问题啊。"
    fine = ["前面" + secret[3][:19] + "后面。"]
    write(tmp_path / "a.txt", [*safe, *leaking, across, *fine])
    manifest = prepare(f"data.protected=[{folder}]", "data.clean.max_repeats=0")
    found = "\n".join(everything(tmp_path / "prepared"))
    protected = {line[i : i + 20] for line in (s.rstrip("。") for s in secret) for i in range(len(line) - 19)}
    assert not any(span in found for span in protected)
    (source,) = manifest["sources"].values()
    assert source["dropped"] == {choose.LEAK: 5}  # both halves of `across`
    assert "这一句没有问题啊" in found and fine[0].rstrip("。") in found


# --- splits, weights, caps ---


def test_splits_stay_when_data_is_added(prepare, tmp_path):
    write(tmp_path / "b.txt", sentences(400))
    prepare(name="before")
    write(tmp_path / "a.txt", sentences(400, seed=1))
    prepare(name="after")
    for split in SPLITS:
        assert set(texts(tmp_path / "before", split)) <= set(texts(tmp_path / "after", split))
        assert len(texts(tmp_path / "before", split)) > 20


@pytest.mark.parametrize("by", ["line", "file"])
def test_lines_and_files_stay_together(by, prepare, tmp_path):
    files = 40  # split by a hash of their names, of which the folder is a part: with few of them a split may stay empty
    for number in range(files):
        lines = sentences(20, seed=number)
        write(tmp_path / f"{number}.txt", ["".join(lines[i : i + 4]) for i in range(0, 20, 4)])
    prepare(f"data.split_by={by}", "data.valid_share=0.3", "data.test_share=0.3")
    where = {text: split for split in SPLITS for text in texts(tmp_path / "prepared", split)}
    assert len(where) > 19 * files and len(set(where.values())) == 3
    size = {"line": 4, "file": 20}[by]
    for number in range(files):
        lines = [line.rstrip("。") for line in sentences(20, seed=number)]
        for start in range(0, 20, size):
            assert len({where[line] for line in lines[start : start + size]}) == 1


def test_weights_repeat_or_thin_training_text_only(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(400))
    write(tmp_path / "b.txt", sentences(400, seed=1))
    once = prepare(name="once")
    specs = [{"path": "a.txt", "weight": 2.5, "domain": "chat"}, {"path": "b.txt", "weight": 0.5}]
    manifest = prepare(sources=specs, name="weighted")
    for split in ("valid", "test"):
        assert texts(tmp_path / "weighted", split) == texts(tmp_path / "once", split)
    a, b = (manifest["sources"][str(tmp_path / name)] for name in ("a.txt", "b.txt"))
    before = [once["sources"][str(tmp_path / name)]["examples_of_split"]["train"] for name in ("a.txt", "b.txt")]
    assert a["examples_of_split"]["train"] == pytest.approx(2.5 * before[0], rel=0.1)
    assert b["examples_of_split"]["train"] == pytest.approx(0.5 * before[1], rel=0.15)
    assert (a["domain"], b["domain"]) == ("chat", "b")
    copies = Counter(texts(tmp_path / "weighted", "train"))
    assert {copies[text] for text in texts(tmp_path / "once", "train")} == {0, 1, 2, 3}


def test_a_cap_keeps_a_fixed_choice(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(300))
    write(tmp_path / "b.txt", sentences(300, seed=1))
    manifest = prepare(sources=[{"path": "a.txt", "cap": 100}, {"path": "b.txt", "cap": 1000}])
    a, b = (manifest["sources"][str(tmp_path / name)] for name in ("a.txt", "b.txt"))
    assert a["kept"] == 100 and b["kept"] == 300
    assert a["dropped"] == {"above the cap of its source": 200}
    assert min(a["examples_of_split"].values()) > 0
    chosen = set(everything(tmp_path / "prepared"))
    write(tmp_path / "c.txt", sentences(50, seed=2))
    prepare(sources=["c.txt", {"path": "a.txt", "cap": 100}, "b.txt"])
    assert chosen <= set(everything(tmp_path / "prepared"))


# --- the same bytes ---


@pytest.fixture
def small_blocks(monkeypatch):
    """A small corpus has many blocks, and is worth a pool of workers."""
    monkeypatch.setattr(sources, "BLOCK_BYTES", 3000)
    monkeypatch.setattr(keys, "PART_KEYS", 200)


def many(tmp_path: Path) -> None:
    for number in range(3):
        lines = sentences(400, seed=number)
        lines[10:20] = sentences(10, seed=99)
        lines[30] = lines[40][:4] + "的" + lines[40][4:]
        (tmp_path / f"{number}.txt.xz").write_bytes(lzma.compress("\n".join([*lines, ""]).encode()))


NEAR = ("data.duplicates.near=true", "data.duplicates.threshold=0.7")


def test_the_number_of_workers_changes_nothing(prepare, tmp_path, small_blocks):
    many(tmp_path)
    one = prepare("data.workers=1", *NEAR, sources=["*.xz"], name="one")
    three = prepare("data.workers=3", *NEAR, sources=["*.xz"], name="three")
    assert outputs(tmp_path / "one") == outputs(tmp_path / "three")
    assert sum(source["dropped"].get("near-duplicate", 0) for source in one["sources"].values()) >= 3
    for manifest in (one, three):
        del manifest["seconds"], manifest["recipe"]
        for source in manifest["sources"].values():
            del source["seconds"]
    assert one == three


def test_blocks_of_another_size_give_the_same_examples(prepare, tmp_path, monkeypatch):
    many(tmp_path)
    prepare(*NEAR, sources=["*.xz"], name="large")
    monkeypatch.setattr(sources, "BLOCK_BYTES", 2000)
    prepare(*NEAR, sources=["*.xz"], name="small")
    assert outputs(tmp_path / "large") == outputs(tmp_path / "small")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray warns of its own defaults
def test_ray_gives_the_same_bytes_on_two_workers(prepare, tmp_path, small_blocks):
    pytest.importorskip("ray.data")
    many(tmp_path)
    prepare("data.workers=1", *NEAR, sources=["*.xz"], name="one")
    prepare("data.engine=ray", "data.workers=2", *NEAR, sources=["*.xz"], name="ray")
    assert outputs(tmp_path / "one") == outputs(tmp_path / "ray")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cluster_that_is_not_there_is_told_in_one_line(prepare, tmp_path, monkeypatch):
    pytest.importorskip("ray.data")
    many(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "no-such-protocol://nowhere")
    with pytest.raises(ResourceError, match=r"Ray did not start .*data.engine=processes") as told:
        prepare("data.engine=ray", sources=["*.xz"], name="ray")
    assert "\n" not in str(told.value)


# --- going on ---


@pytest.fixture
def performed(monkeypatch):
    """The directories of the jobs that were done."""
    done = []
    perform = jobs.perform
    monkeypatch.setattr(jobs, "perform", lambda job: (done.append(f"{job.directory.parent.name}"), perform(job)))
    return done


def test_only_what_depends_on_a_change_is_done_again(prepare, tmp_path, small_blocks, performed):
    many(tmp_path)

    def steps(*settings) -> dict[str, int]:
        performed.clear()
        prepare("data.workers=1", *settings, sources=["*.xz"])
        return {step: performed.count(step) for step in performed}

    first = steps()
    assert first["clean"] > 10 and first["encode"] == first["clean"]
    assert steps() == {}
    assert steps("data.max_length=16") == {"encode": first["encode"]}
    assert steps("data.max_length=16", "data.min_count=2") == {}
    before = outputs(tmp_path / "prepared")
    lines = lzma.decompress((tmp_path / "1.txt.xz").read_bytes()).decode().splitlines()
    lines[-1] = "最后一行换成了别的句子。"
    (tmp_path / "1.txt.xz").write_bytes(lzma.compress("\n".join([*lines, ""]).encode()))
    changed = steps("data.max_length=16", "data.min_count=2")
    assert changed["clean"] == 1 and changed["encode"] == 1
    assert outputs(tmp_path / "prepared") != before
    again = steps("data.max_length=16", "data.min_count=2", "data.cache=false")
    assert again == {} and not (tmp_path / ".prepared.cache").exists()
    kept = outputs(tmp_path / "prepared")
    shutil.rmtree(tmp_path / "prepared")
    steps("data.max_length=16", "data.min_count=2", "data.cache=false")
    assert outputs(tmp_path / "prepared") == kept and not (tmp_path / ".prepared.cache").exists()


def test_a_failure_on_the_way_loses_nothing_that_is_done(prepare, tmp_path, small_blocks, performed, monkeypatch):
    many(tmp_path)
    prepare("data.workers=1", sources=["*.xz"], name="reference")
    total = performed.count("clean")
    performed.clear()
    work = clean.clean_job
    count = 0

    def failing(*arguments):
        nonlocal count
        count += 1
        if count == 6:
            raise OSError(28, "No space left on device")
        return work(*arguments)

    monkeypatch.setattr(clean, "clean_job", failing)
    with pytest.raises(ResourceError, match="No space"):
        prepare("data.workers=1", sources=["*.xz"])
    assert not (tmp_path / "prepared").exists()
    monkeypatch.setattr(clean, "clean_job", work)
    performed.clear()
    prepare("data.workers=1", sources=["*.xz"])
    assert performed.count("clean") == total - 5
    assert outputs(tmp_path / "prepared") == outputs(tmp_path / "reference")


def test_a_damaged_result_is_done_again(prepare, tmp_path, small_blocks, performed):
    many(tmp_path)
    prepare("data.workers=1", sources=["*.xz"])
    whole = outputs(tmp_path / "prepared")
    damaged = next((tmp_path / ".prepared.cache" / "clean").iterdir())
    (damaged / "text.bin").write_bytes(b"short")
    shutil.rmtree(tmp_path / "prepared")
    performed.clear()
    prepare("data.workers=1", sources=["*.xz"])
    assert performed == ["clean"]
    assert outputs(tmp_path / "prepared") == whole


def test_kill_9_and_start_again_gives_the_same_bytes(tmp_path):
    lines = sentences(120_000)
    for number in range(3):
        write(tmp_path / f"{number}.txt", lines[number * 40_000 : (number + 1) * 40_000])

    def command(name: str) -> list[str]:
        values = [f"data.sources=[{tmp_path}/*.txt]", f"data.prepared={tmp_path / name}", "data.workers=2"]
        return [
            sys.executable,
            "-m",
            "bmtool",
            "prepare-data",
            config_path("tagger"),
            *(x for v in values for x in ("--set", v)),
        ]

    def run(name: str) -> subprocess.Popen:
        return subprocess.Popen(command(name), cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)

    with run("whole") as whole:
        assert whole.wait() == 0, whole.stderr.read()
    with run("killed") as killed:
        while not list(tmp_path.glob(".killed.cache/clean/[0-9a-f]*/facts.json")):
            assert killed.poll() is None
            time.sleep(0.01)
        workers = family(killed.pid)[1:]
        assert len(workers) >= 2
        killed.kill()  # the parent alone: its workers must not stay behind
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        time.sleep(0.05)
    assert not (tmp_path / "killed").exists()
    with run("killed") as again:
        assert again.wait() == 0, again.stderr.read()
    assert outputs(tmp_path / "killed") == outputs(tmp_path / "whole")


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    tasks = Path(f"/proc/{pid}/task")
    children = [int(c) for task in tasks.iterdir() for c in (task / "children").read_text().split()]
    return [pid, *(member for child in children for member in family(child))]


def test_ctrl_c_says_that_nothing_is_lost(tmp_path):
    for number in range(4):
        write(tmp_path / f"{number}.txt", sentences(40_000, seed=number))
    values = [f"data.sources=[{tmp_path}/*.txt]", f"data.prepared={tmp_path / 'p'}", "data.workers=2"]
    command = [
        sys.executable,
        "-m",
        "bmtool",
        "prepare-data",
        config_path("tagger"),
        *(x for v in values for x in ("--set", v)),
    ]
    pipe = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, **pipe, start_new_session=True) as process:
        while not list(tmp_path.glob(".p.cache/clean/[0-9a-f]*/facts.json")):
            assert process.poll() is None
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted: what is finished is kept" in said and "Traceback" not in said


def _killed(directory: Path) -> dict:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_a_worker_that_is_killed_is_said_with_the_way_out(tmp_path):
    doomed = [Job(tmp_path / str(number), _killed, ()) for number in range(3)]
    with jobs.Processes(2) as pool, pytest.raises(ResourceError, match="workers=1"):
        list(pool.run(doomed))
    assert not multiprocessing.active_children()


def test_two_at_once_are_refused(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(50))
    from bmtool.base.files import lock

    with lock(tmp_path / ".prepared.making", "busy"), pytest.raises(ResourceError, match="another process"):
        prepare()


# --- what people see ---


def test_files_named_twice_and_empty_files_are_said(prepare, tmp_path, capsys):
    write(tmp_path / "a.txt", sentences(50))
    (tmp_path / "empty.txt").touch()
    (tmp_path / "link.txt").symlink_to(tmp_path / "a.txt")
    manifest = prepare(sources=[{"path": "a.txt", "weight": 2.0}, "*.txt"])
    said = capsys.readouterr().err
    assert said.count("named twice") == 2
    assert manifest["named_twice"] == [str(tmp_path / "a.txt"), str(tmp_path / "link.txt")]
    assert "Named twice, read once" in (tmp_path / "prepared" / "report" / "report.md").read_text("utf-8")
    assert list(manifest["sources"]) == [str(tmp_path / "a.txt"), str(tmp_path / "empty.txt")]
    assert manifest["sources"][str(tmp_path / "a.txt")]["weight"] == 2.0
    assert manifest["sources"][str(tmp_path / "empty.txt")]["dropped"] == {"empty file": 1}


def test_prepared_data_inside_a_source_is_no_source(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(50))
    before = prepare(sources=["."])
    write(tmp_path / "b.txt", sentences(50, seed=1))
    after = prepare(sources=["."])
    assert list(before["sources"]) == [str(tmp_path / "a.txt")]
    assert list(after["sources"]) == [str(tmp_path / "a.txt"), str(tmp_path / "b.txt")]


def test_another_vocabulary_is_noticed(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(50))
    for name, seed in (("v1", 2), ("v2", 3)):
        write(tmp_path / "v.txt", [*sentences(50, seed=seed), "鼟" * seed])
        prepare("data.charset=seen", sources=["v.txt"], name=name)
    shutil.copytree(tmp_path / "v1", tmp_path / "v")
    first = prepare(f"data.vocabulary={tmp_path / 'v'}", sources=["a.txt"])
    shutil.rmtree(tmp_path / "v")
    shutil.copytree(tmp_path / "v2", tmp_path / "v")
    second = prepare(f"data.vocabulary={tmp_path / 'v'}", sources=["a.txt"])
    assert first["vocabulary"]["sha256"] != second["vocabulary"]["sha256"]


def test_what_has_changed_is_named_by_the_keys_of_the_config(prepare, tmp_path):
    write(tmp_path / "a.txt", sentences(50))
    write(tmp_path / "own.txt", ["行长\thang2 zhang3"])
    settings = [
        f"data.sources=[{tmp_path}/a.txt]",
        f"data.prepared={tmp_path}/prepared",
        f"data.readings={tmp_path}/own.txt",
    ]
    manifest = prepare(*settings)

    def changed(*more: str) -> list[str]:
        shares = ["data.valid_share=0.1", "data.test_share=0.1"]
        return changes(manifest, fingerprint(load(config_path("tagger"), [*settings, *shares, *more])))

    assert changed() == []
    assert changed("data.max_length=128", "data.clean.min_hanzi=3") == [
        "data.clean.min_letters: 2 -> 3",
        "data.max_length: 64 -> 128",
    ]
    write(tmp_path / "own.txt", ["重庆\tchong qing"])
    assert changed() == ["data.readings: its contents have changed"]


def test_the_manifest_and_the_report_tell_the_same(prepare, tmp_path, invoke):
    write(tmp_path / "a.txt", [*sentences(200), "<b>好</b>的，就这样吧。", "", "english", *sentences(1), "他行。"])
    manifest = prepare(pictures=True)
    target = tmp_path / "prepared"
    (source,) = manifest["sources"].values()
    assert source["read"] == 205 and source["kept"] == 202 and source["changed"] == {"html": 1}
    assert source["dropped"] == {"empty line": 1, "fewer than 2 hanzi": 1, "duplicate": 1}
    assert source["flagged"]["uncertain reading"] >= 1 and source["bytes"] == (tmp_path / "a.txt").stat().st_size
    assert sum(source["examples_of_split"].values()) == 202
    assert (
        manifest["vocabulary"]["coverage"]["train"]["covered"] == manifest["vocabulary"]["coverage"]["train"]["hanzi"]
    )
    assert sum(manifest["lengths"].values()) == manifest["splits"]["train"]["examples"]
    drawn = {p.name for p in (target / "report").glob("*.png")}
    assert drawn == {
        f"{n}.png" for n in ("lengths", "domains", "hanzi_frequency", "hanzi_coverage", "candidates_per_syllable")
    }
    page = (target / "report" / "report.md").read_text("utf-8")
    assert all(f"({name})" in page for name in drawn)
    assert "| duplicate | 1 |" in page and "'<b>好</b>的，就这样吧。' → '好的，就这样吧。'" in page
    shutil.rmtree(target / "report")
    again = invoke("prepare-data", "--report-only", target)
    assert again.exit_code == 0 and again.stdout == page
    assert {p.name for p in (target / "report").glob("*.png")} == drawn
    readings = (target / "readings.tsv").read_text("utf-8").splitlines()
    counts = {tuple(line.split("\t")[:2]): int(line.split("\t")[2]) for line in readings[1:]}
    train = "".join(texts(target, "train"))
    assert (
        sum(counts.values()) == len(train) and counts["银", "yin2"] == train.count("银") and counts["行", "hang2"] > 0
    )


def test_report_only_needs_prepared_data(invoke, tmp_path):
    result = invoke("prepare-data", "--report-only", tmp_path)
    assert result.exit_code == 4 and "no prepared data" in result.stderr
    for arguments in ([], [config_path("tagger"), "--report-only", tmp_path]):
        result = invoke("prepare-data", *arguments)
        assert result.exit_code == 2 and "--report-only DIR" in result.stderr


def test_dry_run_reads_the_head_of_each_file_and_writes_nothing(invoke, tmp_path):
    write(tmp_path / "a.txt", [*sentences(9_990), *["english"] * 20])
    write(tmp_path / "b.txt", sentences(50, seed=1))
    values = [f"data.sources=[{tmp_path}]", f"data.prepared={tmp_path / 'prepared'}"]
    before = sorted(tmp_path.iterdir())
    result = invoke("prepare-data", config_path("tagger"), "--dry-run", *(x for v in values for x in ("--set", v)))
    assert result.exit_code == 0, result.stderr
    assert f"{tmp_path}/a.txt: 10,000 lines read, 9,990 sentences kept, 10 dropped" in result.stdout
    assert f"{tmp_path}/b.txt: 50 lines read, 50 sentences kept, 0 dropped" in result.stdout
    assert "dropped 10 x fewer than 2 hanzi" in result.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_progress_says_how_far_how_fast_and_how_long(prepare, tmp_path, small_blocks, monkeypatch, capsys):
    many(tmp_path)
    monkeypatch.setattr(Steps, "SECONDS", 0.0)
    prepare("data.workers=1", *NEAR, sources=["*.xz"])
    said = capsys.readouterr().err
    cleaning = [line for line in said.splitlines() if line.startswith("reading and cleaning: ")]
    assert re.fullmatch(r"reading and cleaning: 100%  [0-9.]+ M characters/s  left 0:00", cleaning[-1])
    for step in (
        "comparing keys (exact)",
        "looking for near-duplicates",
        "comparing keys (near)",
        "labelling and indexing",
    ):
        assert f"{step}: 100%  left 0:00" in said


def test_many_sources_are_listed_in_short(prepare, tmp_path, capsys):
    for number in range(report.LISTED + 5):
        write(tmp_path / f"{number:02}.txt", sentences(number + 2, seed=number))
    prepare()
    said = capsys.readouterr().err
    assert "... and 5 smaller sources" in said and "/24.txt: 26 lines" in said and "/04.txt" not in said


def test_the_sample_of_the_project_is_clean(tmp_path):
    manifest = prepare_data(
        config_path("tagger"), [f"data.prepared={tmp_path / 'p'}", f"data.sources=[{SAMPLE / 'sentences'}]"]
    )
    assert not any(source["dropped"] for source in manifest["sources"].values())
