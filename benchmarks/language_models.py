"""Language models: training, writing and opening against transformers, and bits per character against an n-gram model.

    python benchmarks/language_models.py train|write|open [--rounds 3] [--text FILE|DIRECTORY|GLOB]...
    python benchmarks/language_models.py bits RUN HELD_OUT...

`train`: the shipped configs/language-model/decoder.yaml in float32 and bf16, in turn with the Hugging Face Trainer on the same network,
tokens and text: once in rows that are cut as ours are, once in lines padded to the longest of a batch. `write`: 128 tokens of one row on
one thread, by a run, by its export, and by transformers on its `export-hf`. `open`: a checkpoint of 400 MB of random weights, in a process
of its own; needs Linux. `bits`: files that no training has seen, under the run and under a 4-gram model (Kneser-Ney, nothing pruned) of the
tokens that the run was trained on. Everything is measured in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch

# Before transformers, which imports torchvision itself.
from bmtool import torchvision  # noqa: F401
from bmtool.commands.export_hf import export_hf
from bmtool.commands.export_onnx import export_onnx
from bmtool.commands.loading import Loaded, load_model
from bmtool.config.load import load
from bmtool.engine.device import choose
from bmtool.engine.trainer import seed_everything
from bmtool.ngram.estimate import Estimate, count, kneser_ney, suffix
from bmtool.tasks.language_model import prepare
from bmtool.tasks.language_model.config import Options
from bmtool.tasks.language_model.task import Task
from bmtool.text.backbones import build, decoder, hub
from bmtool.text.backbones.config import DecoderModel
from bmtool.text.learning import learn
from bmtool.text.tokenizer import Tokenizer

os.environ.setdefault("HF_HUB_OFFLINE", "1")

CONFIG = "configs/language-model/decoder.yaml"
LINES = 32  # of a padded batch
WRITTEN, PROMPT = 128, "今天的天气很好，我们一起去公园"
ORDER = 4
CHUNK = 1 << 22  # tokens of the training text that are counted together
LARGE = decoder.Shape(21_128, 768, 12, 12, 12, 64, 2048, 1024)


# --- training ---


def train(given: argparse.Namespace, folder: Path) -> None:
    """Each in a process of its own: what one does with memory is not what the next has."""
    print(f"{common.processor()}; PyTorch {torch.__version__}; {given.rounds} rounds of {given.steps} steps")
    _settings(given, folder)
    for precision in ("fp32", "bf16"):
        found: dict[str, list[float]] = {name: [] for name in TRAINED}
        used = []
        for _ in range(given.rounds):
            used.append(_of_matrix_rate(given, folder, precision, found))
        print(f"\n{precision}, {given.threads} threads; real tokens/s, medians (min - max)")
        print(f"share of the float32 matrix rate (6 FLOP x dense core parameters) {common.spread(used)}")
        for name, rates in found.items():
            ratios = [mine / other for mine, other in zip(found["bmtool"], rates)]
            print(f"{name:24} {common.spread(rates)}   bmtool / it {common.spread(ratios)}", flush=True)


def _of_matrix_rate(given: argparse.Namespace, folder: Path, precision: str, found: dict[str, list[float]]) -> float:
    """One round of all; the share of the machine's matrix products that ours has."""
    for name, rates in found.items():
        asked = [name, precision, str(given.threads), str(given.steps), str(folder)]
        done = subprocess.run(
            [sys.executable, __file__, "one", *asked], capture_output=True, text=True, check=False, cwd=Path.cwd()
        )
        if done.returncode:
            sys.exit(done.stderr)
        rate, core, tokens = map(float, done.stdout.split()[-3:])
        rates.append(tokens)
    return 6 * core * found["bmtool"][-1] / 1e9 / rate


def one(given: argparse.Namespace, _: Path) -> None:
    """(float32 matrix rate, dense core parameters, tokens a second) of one kind of training, on stdout."""
    name, precision, threads, steps, folder = given.paths
    settings = [
        f"data.prepared={folder}/data",
        f"run={folder}/run",
        f"train.precision={precision}",
        f"train.threads={threads}",
    ]
    config = load(CONFIG, settings)
    choose(config.train)  # so many threads
    rate, core = common.matmul_rate(), Task.fresh(config).core_parameters
    print(rate, core, TRAINED[name](config, Path(folder), int(steps)))


def _settings(given: argparse.Namespace, folder: Path) -> list[str]:
    sources = ",".join(given.text or [common.SAMPLE])
    held = [
        f"data.sources=[{sources}]",
        f"data.prepared={folder / 'data'}",
        f"run={folder / 'run'}",
        "data.valid_share=0.05",
    ]
    if not (folder / "data").exists():
        common.bmtool("prepare-data", CONFIG, *(part for value in held for part in ("--set", value)))
    return held


def _ours(config: Any, folder: Path, steps: int) -> float:
    batches, seconds = common.trained(config, steps)
    return sum(batch.tokens for batch in batches) / seconds


def _packed(config: Any) -> Iterator[dict[str, torch.Tensor]]:
    """Rows of one stream that holds text alone, as `run_clm.py` groups it."""
    stream, width = prepare.open_stream(config.data, config.data.prepared, "train"), config.model.context
    for start in range(0, stream.tokens - width, width):
        row = torch.from_numpy(stream.span(start, start + width))
        yield {"input_ids": row, "labels": row}


def _padded(config: Any) -> Iterator[dict[str, torch.Tensor]]:
    stream = prepare.open_stream(config.data, config.data.prepared, "train")
    draw = np.random.default_rng(1)
    for number in draw.permutation(len(stream.bounds) - 1).tolist():
        start, stop = stream.bounds[number : number + 2].tolist()
        row = torch.from_numpy(stream.span(start, min(stop, start + config.model.context)))
        yield {"input_ids": row, "labels": row}


def _collated(rows: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """As DataCollatorForLanguageModeling: filled up to the longest, no loss on what fills."""
    width = max(len(row["input_ids"]) for row in rows)
    tokens, keep = torch.zeros(len(rows), width, dtype=torch.int64), torch.zeros(len(rows), width, dtype=torch.int64)
    for number, row in enumerate(rows):
        tokens[number, : len(row["input_ids"])], keep[number, : len(row["input_ids"])] = row["input_ids"], 1
    if bool(keep.all()):
        return {"input_ids": tokens, "labels": tokens}
    return {"input_ids": tokens, "attention_mask": keep, "labels": torch.where(keep.bool(), tokens, -100)}


def _theirs(config: Any, folder: Path, steps: int, rows: Iterator[dict[str, torch.Tensor]]) -> float:
    from transformers import AutoConfig, AutoModelForCausalLM, TrainerCallback, TrainingArguments
    from transformers import Trainer as HfTrainer

    ends: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: object, **__: object) -> None:
            ends.append(time.perf_counter())

    seed_everything(1)
    task = Task.fresh(config)
    task.write_checkpoint(folder)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    first = next(rows)
    size = (
        LINES if len(first["input_ids"]) < config.model.context else config.train.batch_tokens // config.model.context
    )
    held = [first, *(row for _, row in zip(range(size * (steps + 1) - 1), rows))]
    arguments = TrainingArguments(
        output_dir=str(folder / "hf"), max_steps=steps + 1, per_device_train_batch_size=size, learning_rate=config.optim.lr,
        max_grad_norm=1.0, report_to=[], save_strategy="no", logging_strategy="no", use_cpu=True, disable_tqdm=True,
        bf16=config.train.precision == "bf16",
    )  # fmt: skip
    trainer = HfTrainer(model=model, args=arguments, train_dataset=held, data_collator=_collated, callbacks=[Clock()])
    trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(held)
    trainer.train()
    return sum(len(row["input_ids"]) for row in held[size:]) / (ends[-1] - ends[0])


TRAINED = {
    "bmtool": _ours,
    "Trainer, packed rows": lambda config, folder, steps: _theirs(config, folder, steps, _packed(config)),
    "Trainer, padded lines": lambda config, folder, steps: _theirs(config, folder, steps, _padded(config)),
}


# --- writing ---


def write(given: argparse.Namespace, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    settings = [
        *_settings(given, folder),
        "train.threads=1",
        "train.steps=2",
        "schedule.warmup_steps=0",
        "schedule.decay_steps=1",
    ]
    common.bmtool("pretrain", CONFIG, *(part for value in settings for part in ("--set", value)))
    export_onnx(folder / "run")
    models = {
        "bmtool, run": _writer(load_model(folder / "run", print)),
        "bmtool, export": _writer(load_model(folder / "run" / "export" / "model.onnx", print)),
        "transformers": _transformers(export_hf(folder / "run", folder / "hf")),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in range(given.rounds):
        for name, wrote in models.items():
            wrote(4)
            first, all_ = _seconds(wrote, 1), _seconds(wrote, WRITTEN)
            found[name].append((1000 * first, 1000 * (all_ - first) / (WRITTEN - 1)))
    print(f"\none row, {WRITTEN} tokens, one thread; milliseconds, medians (min - max)")
    for name, times in found.items():
        for what, mine, theirs in zip(("first token", "per token"), zip(*times), zip(*found["transformers"])):
            print(
                f"{name:16} {what:12} {common.spread(mine)}   transformers / it {common.spread([b / a for a, b in zip(mine, theirs)])}"
            )


def _seconds(wrote: Callable[[int], None], tokens: int) -> float:
    began = time.perf_counter()
    wrote(tokens)
    return time.perf_counter() - began


def _writer(loaded: Loaded) -> Callable[[int], None]:
    """Greedy, and past the end of a text: so many tokens whatever they are."""
    predictor = loaded.predictor
    predictor.tokenizer.special = predictor.tokenizer.special._replace(end=-1)

    def wrote(tokens: int) -> None:
        (value,) = predictor.predict([predictor.read(PROMPT)], Options(temperature=0, max_tokens=tokens))
        assert len(value.log_probabilities) == tokens

    return wrote


def _transformers(folder: Path) -> Callable[[int], None]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(PROMPT, return_tensors="pt")["input_ids"]

    @torch.no_grad()
    def wrote(count: int) -> None:
        found = model.generate(tokens, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0)
        assert found.shape[1] == tokens.shape[1] + count

    return wrote


# --- opening ---

ASK = """
import re, sys, time
from pathlib import Path
def kilobytes(name):
    return int(re.search(name + r":\\s*(\\d+)", Path("/proc/self/status").read_text("ascii"))[1])
began = time.perf_counter()
from bmtool import torchvision
import bmtool.tasks.language_model.task
from bmtool.commands.loading import load_model
from bmtool.tasks.language_model.config import Options
imported, before = time.perf_counter(), kilobytes("VmRSS")
predictor = load_model(sys.argv[1], print).predictor
predictor.predict([predictor.read(sys.argv[2])], Options(temperature=0, max_tokens=1))
after = kilobytes("VmHWM")
print(imported - began, time.perf_counter() - imported, 1024 * (after - before))
"""


def open_(given: argparse.Namespace, folder: Path) -> None:
    tokenizer = _write_large(folder)
    size = (folder / hub.WEIGHTS).stat().st_size
    rounds = []
    for _ in range(given.rounds):
        done = subprocess.run([sys.executable, "-c", ASK, folder, PROMPT], capture_output=True, text=True, check=True)
        rounds.append([float(value) for value in done.stdout.split()])
    imports, seconds, grown = zip(*rounds)
    print(f"\na checkpoint of {size / 1e6:,.0f} MB, {tokenizer.size:,} tokens; medians (min - max)")
    print(f"importing         {common.spread(imports)} s")
    print(f"to the first token after that  {common.spread(seconds)} s")
    print(f"memory that it adds            {common.spread([value / size for value in grown])} x the file")


def _write_large(folder: Path) -> Tokenizer:
    tokenizer = learn(
        iter([Path(path).read_text("utf-8") for path in Path(common.SAMPLE).glob("*.txt")]), kind="char", size=8000
    )
    parts = {name: module.state_dict() for name, module in build.build(LARGE, DecoderModel()).items()}
    hub.write_checkpoint(folder, LARGE, parts, hub.special_numbers(tokenizer.special, causal=True))
    for name, contents in tokenizer.files().items():
        (folder / name).write_bytes(contents)
    return tokenizer


# --- bits ---


def bits(given: argparse.Namespace, folder: Path) -> None:
    run, *texts = given.paths
    config = load(f"{run}/config.yaml")
    stream = prepare.open_stream(config.data, config.data.prepared, "train")
    grams = _ngrams(stream)
    print(f"\n{stream.tokens:,} tokens of training text; bits per character")
    print(f"{'':24} {'characters':>12} {'the run':>24} {f'{ORDER}-gram':>8} {'less':>7}")
    totals = np.zeros(3)
    for text in texts:
        found = _evaluated(run, text, folder)
        mine, characters = found["metrics"]["bits_per_character"], found["characters"]
        theirs = _bits_of(grams, Path(text), stream.tokenizer) / characters
        totals += np.array([characters, mine["value"] * characters, theirs * characters])
        print(
            f"{Path(text).stem:24} {characters:>12,} {mine['value']:8.3f} ({mine['low']:.3f} - {mine['high']:.3f}) {theirs:8.3f} "
            f"{1 - mine['value'] / theirs:7.1%}", flush=True,
        )  # fmt: skip
    _, mine, theirs = totals / totals[0]
    print(f"{'all':24} {int(totals[0]):>12,} {mine:8.3f} {'':17} {theirs:8.3f} {1 - mine / theirs:7.1%}")


def _evaluated(run: str, text: str, folder: Path) -> dict[str, Any]:
    common.bmtool("evaluate", run, "--data", text, "--output", str(folder / Path(text).stem))
    (path,) = (folder / Path(text).stem).glob("*.json")
    return json.loads(path.read_text("utf-8"))


def _ngrams(stream: Any) -> Estimate:
    """Tokens are symbols; what begins and ends a document is the boundary."""

    def symbols() -> Iterator[np.ndarray]:
        edges = [stream.tokenizer.begin, stream.tokenizer.end]
        for start in range(0, stream.tokens, CHUNK):
            tokens = stream.span(start, min(start + CHUNK, stream.tokens))
            yield np.where(np.isin(tokens, edges), 0, tokens + 1)

    return kneser_ney(count(symbols(), ORDER), stream.tokenizer.size + 1)


def _bits_of(grams: Estimate, text: Path, tokenizer: Tokenizer) -> float:
    """-log2 p of all lines of a file, each a document and its end among them."""
    total = 0.0
    for line in text.read_text("utf-8").splitlines():
        if not line.strip():
            continue
        word = np.append(tokenizer.encode([line])[0] + 1, 0)
        history = np.zeros(len(word), np.int64)
        for back in range(1, ORDER):
            history[back:] |= word[: max(0, len(word) - back)] << 14 * (back - 1)
        total -= float(np.log2(grams.probability(suffix(history, ORDER - 1), word)).sum())
    return total


WHAT = {"train": train, "one": one, "write": write, "open": open_, "bits": bits}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("paths", nargs="*", help="of bits: the run, then files that it has not seen")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of train")
    parser.add_argument("--text", action="append", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        WHAT[given.what](given, Path(folder))


if __name__ == "__main__":
    main()
