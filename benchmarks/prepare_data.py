"""Preparing text: speed and memory from 1 % to 100 % of a corpus, labelling against pypinyin, everything against Hugging Face datasets.

    python benchmarks/prepare_data.py [--text FILE|DIRECTORY|GLOB]... [--near] [--config FILE]

Of another --config, such as a language model's, speed and memory alone.
Without --text, sentences of the embedded sample are shuffled into 20 million characters; real text says more.
"""

import argparse
import hashlib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from common import CONFIG, SAMPLE, spread

from bmtool.data.tally import Tally
from bmtool.text.decode import read_lines
from bmtool.text.sentences import split_sentences
from bmtool.text.sources import File, expand

SHARES = (0.01, 0.1, 1.0)
REPEATS = 3
COMPARED = 10_000_000  # characters that both do in the comparison
LABELLED = 200_000  # lines


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--text", action="append", default=[])
    options.add_argument("--near", action="store_true", help="also with near-duplicates looked for")
    options.add_argument("--config", default=CONFIG)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = [path for text in given.text for path in expand(text)] or [_made(Path(folder))]
        if given.config == CONFIG:
            labelling(files)
            comparison(files, Path(folder))
        for near in (False, True) if given.near else (False,):
            growth(files, Path(folder), near, given.config)


def _made(folder: Path) -> Path:
    draw = random.Random(1)
    text = "".join(path.read_text("utf-8") for path in sorted(Path(SAMPLE).glob("*.txt")))
    clauses = [clause for clause in re.split("[，。！？\\n]", text) if clause]
    path = folder / "made.txt"
    with path.open("w", encoding="utf-8") as stream:
        written = 0
        while written < 20_000_000:
            written += stream.write("，".join(draw.choices(clauses, k=3)) + "。\n")
    return path


def _lines(files: list[Path], share: float = 1.0) -> Iterator[str]:
    """`share` of the lines, spread over all files."""
    step = round(1 / share)
    for path in files:
        for number, (_, line) in enumerate(read_lines(File(path), Tally())):
            if number % step == 0:
                yield line


# --- labelling ---


def labelling(files: list[Path]) -> None:
    from pypinyin import lazy_pinyin

    from bmtool.chinese.hanzi import hanzi_runs
    from bmtool.chinese.readings import Labeller, code_points

    total = sum(1 for _ in _lines(files))
    lines = list(_lines(files, min(1.0, LABELLED / total)))[:LABELLED]
    runs = [hanzi_runs(line) for line in lines]
    reader, text = Labeller(), "\n".join(lines)
    reader.read(code_points(text))
    ours, theirs, different = [], [], 0
    for part in range(REPEATS):
        started = time.perf_counter()
        reader.read(code_points(text))
        ours.append(len(text) / (time.perf_counter() - started) / 1e6)
        some = range(part, len(lines), REPEATS)
        started = time.perf_counter()
        expected = [[reading for run in runs[at] for reading in lazy_pinyin(run, errors=list)] for at in some]
        theirs.append(sum(len(lines[at]) for at in some) / (time.perf_counter() - started) / 1e6)
        # a hanzi without a reading stands for itself in pypinyin's answer
        different += sum(
            any(a != b and a.isascii() for a, b in zip(known, reader.lazy(lines[at]), strict=True))
            for known, at in zip(expected, some)
        )
    print(
        f"labelling, one thread, {len(lines):,} lines: M characters/s: ours {spread(ours)}, pypinyin {spread(theirs)}"
    )
    print(f"  ratio {spread([a / b for a, b in zip(ours, theirs)])}; lines that differ: {different}")


# --- against Hugging Face datasets ---


def comparison(files: list[Path], folder: Path) -> None:
    share = min(1.0, COMPARED / sum(len(line) for line in _lines(files)))
    path = folder / "compared.txt"
    lines = list(_lines(files, share))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    characters = sum(map(len, lines))
    ours, theirs = [], []
    for _ in range(REPEATS):
        ours.append(characters / prepare([path], folder / "ours")[0] / 1e6)
        started = time.perf_counter()
        code = f"import prepare_data; prepare_data.with_datasets({str(path)!r}, {str(folder)!r})"
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=Path(__file__).parent)
        theirs.append(characters / (time.perf_counter() - started) / 1e6)
    ratio = spread([a / b for a, b in zip(ours, theirs)])
    print(
        f"the same steps on {characters:,} characters, 2 processes, M characters/s: ours {spread(ours)}, datasets {spread(theirs)}"
    )
    print(f"  ratio {ratio}")


def with_datasets(path: str, folder: str) -> None:
    """Normalise, split, filter, deduplicate, label with pypinyin, split and save: what `prepare-data` does, in the usual way."""
    import datasets
    from pypinyin import lazy_pinyin

    hanzi = re.compile("[㐀-䶿一-鿿〇]")

    def sentences(batch: dict) -> dict:
        texts = [" ".join(unicodedata.normalize("NFKC", line).split()) for line in batch["text"]]
        return {"text": [s for line in texts for s in split_sentences(line) if len(hanzi.findall(s)) > 1]}

    def label(batch: dict) -> dict:
        return {"pinyin": [lazy_pinyin(text) for text in batch["text"]]}

    seen = set()

    def first(text: str) -> bool:
        key = hashlib.blake2b(text.encode(), digest_size=8).digest()
        return not (key in seen or seen.add(key))

    data = datasets.load_dataset("text", data_files=path, split="train", cache_dir=f"{folder}/hf")
    data = data.map(sentences, batched=True, num_proc=2, remove_columns=data.column_names, load_from_cache_file=False)
    data = data.filter(first, input_columns="text", load_from_cache_file=False)
    data = data.map(label, batched=True, num_proc=2, load_from_cache_file=False)
    data.train_test_split(0.02, seed=1).save_to_disk(f"{folder}/saved")


# --- growth ---


def growth(files: list[Path], folder: Path, near: bool, config: str) -> None:
    print(f"prepare-data, near-duplicates {'on' if near else 'off'}:")
    for share in SHARES:
        part = files
        if share < 1:
            part = [folder / "part" / f"{number}.txt" for number in range(len(files))]
            (folder / "part").mkdir(exist_ok=True)
            for source, target in zip(files, part):
                target.write_text("\n".join(_lines([source], share)) + "\n", encoding="utf-8")
        seconds, peak, characters = prepare(
            part, folder / "grown", f"data.duplicates.near={json.dumps(near)}", config=config
        )
        print(
            f"  {share:4.0%}: {characters / 1e6:7.1f} M characters  {seconds:6.1f} s  {characters / seconds / 1e6:5.2f} M characters/s"
            f"  peak {peak / 1e6:,.0f} MB"
        )


def prepare(files: list[Path], target: Path, *settings: str, config: str = CONFIG) -> tuple[float, int, int]:
    """(seconds, peak bytes of all its processes, characters) of one `bmtool prepare-data` from nothing."""
    for path in (target, target.with_name(f".{target.name}.cache")):
        shutil.rmtree(path, ignore_errors=True)
    values = [f"data.sources={json.dumps([str(path) for path in files])}", f"data.prepared={target}", *settings]
    command = [
        sys.executable,
        "-m",
        "bmtool",
        "prepare-data",
        config,
        *(word for value in values for word in ("--set", value)),
    ]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stderr=said)
        watch = _Watch(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - started
        if code:
            said.seek(0)
            sys.exit(said.read().decode())
    manifest = json.loads((target / "manifest.json").read_text("utf-8"))
    return seconds, watch.stop(), sum(source["characters"] for source in manifest["sources"].values())


class _Watch(threading.Thread):
    """Largest memory of a process and those it started, pages that they share counted once (Linux)."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self._pid, self._peak, self._ended = pid, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self._peak = max(self._peak, sum(map(_memory, _family(self._pid))))

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self._peak


def _family(pid: int) -> list[int]:
    try:
        children = [
            int(c) for task in Path(f"/proc/{pid}/task").iterdir() for c in (task / "children").read_text().split()
        ]
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(child))]


def _memory(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(re.search(r"^Pss: +(\d+)", rollup, re.M).group(1))


if __name__ == "__main__":
    main()
