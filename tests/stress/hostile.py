"""Texts, settings, arguments, environments and streams that nobody should write; see `outside`."""

# ruff: noqa: E501
import random

GOOD = """\
task: pinyin2hanzi
run: runs/x
data:
  sources: [nowhere/*.txt]
  prepared: nowhere/prepared
model:
  kind: tagger
optim:
  lr: 1e-4
"""
# What a configuration that is taken comes to: its sources are not there.
TAKEN = "nothing at 'nowhere/*.txt'"


# --- configurations ---


def _with(line: str) -> str:
    return GOOD + line + "\n"


def _laughs(levels: int) -> str:
    """Each level nine times the one before."""
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels))]
    return "\n".join([*lines, GOOD])


# Texts that are refused. The names are what is shown.
REFUSED = {
    "billion laughs": _laughs(12),
    "a thousand laughs a level": "a: &a [1" + ", 1" * 999 + "]\nb: &b [*a" + ", *a" * 999 + "]\nc: [*b" + ", *b" * 999 + "]\n",
    "laughs by merging": "a: &a {x: 1}\n" + "".join(f"{chr(98 + n)}: &{chr(98 + n)} {{<<: [*{chr(97 + n)}, *{chr(97 + n)}], k{n}: *{chr(97 + n)}}}\n" for n in range(20)),
    "a list that holds itself": _with("run2: &r [*r]"),
    "a section that holds itself": "task: pinyin2hanzi\ndata: &d\n  sources: [a]\n  x: *d\n",
    "a section that merges itself": "task: pinyin2hanzi\ndata: &d\n  <<: *d\n",
    "a document that holds itself": "&a {task: *a}\n",
    "an alias of nothing": _with("x: *nothing"),
    "!!int zzz": _with("seed: !!int zzz"),
    "!!int of nothing": _with("seed: !!int"),
    "!!bool zzz": _with("train: {deterministic: !!bool zzz}"),
    "!!float zzz": _with("train: {ema: !!float zzz}"),
    "!!timestamp zzz": _with("seed: !!timestamp zzz"),
    "!!timestamp of February 31": _with("seed: !!timestamp 2001-02-31"),
    "!!binary zzz": _with("seed: !!binary zzz"),
    "!!binary bytes": _with("run2: !!binary aGk="),
    "!!set": _with("finetune: !!set {a, b}"),
    "!!omap": _with("finetune: !!omap [a: 1]"),
    "!!omap of text": _with("finetune: !!omap x"),
    "!!pairs": _with("finetune: !!pairs [a: 1]"),
    "!!map of text": _with("finetune: !!map x"),
    "!!seq of text": _with("finetune: !!seq x"),
    "!!str of a list": _with("finetune: !!str [x]"),
    "!!null of text": _with("finetune: !!null x"),
    "!!python/object": _with("seed: !!python/object/apply:os.system ['true']"),
    "!!python/name": _with("seed: !!python/name:os.system"),
    "a tag of one's own": _with("seed: !mine 3"),
    "a tag with a handle that is unknown": _with("seed: !x!y 3"),
    "task is a section": GOOD.replace("pinyin2hanzi", "{}"),
    "task is a list": GOOD.replace("pinyin2hanzi", "[a]"),
    "task is a list of sections": GOOD.replace("pinyin2hanzi", "[{a: b}]"),
    "task is nothing": GOOD.replace(" pinyin2hanzi", ""),
    "task is a number": GOOD.replace("pinyin2hanzi", "3"),
    "task is infinite": GOOD.replace("pinyin2hanzi", ".inf"),
    "task is true": GOOD.replace("pinyin2hanzi", "true"),
    "task has a control character": GOOD.replace("pinyin2hanzi", '"\\e[31m"'),
    "an escape beyond Unicode": GOOD.replace("runs/x", '"\\UFFFFFFFF"'),
    "an escape just beyond Unicode": GOOD.replace("runs/x", '"\\U00110000"'),
    "half of a pair": GOOD.replace("runs/x", '"\\uD800"'),
    "an escape that is cut short": GOOD.replace("runs/x", '"\\u12"'),
    "an escape that is none": GOOD.replace("runs/x", '"\\q"'),
    "NUL by an escape": GOOD.replace("runs/x", '"a\\0b"'),
    "5,000 brackets": _with("x: " + "[" * 5000),
    "5,000 brackets, closed": _with("x: " + "[" * 5000 + "]" * 5000),
    "5,000 braces": _with("x: " + "{a: " * 5000 + "1" + "}" * 5000),
    "100 brackets, closed": _with("x: " + "[" * 100 + "]" * 100),
    "5,000 indents": "\n".join(" " * n + "a:" for n in range(5000)),
    "5,000 dashes": _with("x: " + "\n  " + "- " * 5000 + "1"),
    "5,000 questions": _with("? " * 5000 + "a"),
    "5,000 digits": _with("seed: " + "1" * 5000),
    "5,000 digits of a number": _with("train: {ema: 0." + "1" * 5000 + "e99999}"),
    "5,000 hexadecimal digits": _with("seed: 0x" + "f" * 5000),
    "40 digits": _with("seed: " + "1" * 40),
    "two million letters": GOOD.replace("runs/x", "x" * 2_000_000),
    "300,000 letters": GOOD.replace("runs/x", "x" * 300_000),
    "two million lines": GOOD + "#\n" * 2_000_000,
    "200,000 values": _with("x: [" + "1, " * 200_000 + "]"),
    "a hundred thousand keys": GOOD + "".join(f"k{n}: 1\n" for n in range(100_000)),
    "a tab before a key": GOOD + "\tseed: 1\n",
    "a tab as indentation": GOOD + "train:\n\tsteps: 3\n",
    "a key twice": _with("run: y"),
    "a key twice in a section": _with("train: {steps: 3, steps: 3}"),
    "a key of a list": _with("[a, b]: 3"),
    "a key of a section": _with("{a: b}: 3"),
    "a key of an alias": _with("x: &x [1]\n*x : 3"),
    "a key of nothing": _with("~: 3"),
    "a key that is empty": _with('"": 3'),
    "a key that is a number": _with("3: 3"),
    "a key that is true": _with("true: 3"),
    "a key with a control character": _with('"\\e[2J": 3'),
    "two documents": GOOD + "---\n" + GOOD,
    "two documents, the first empty": "---\n---\n" + GOOD,
    "no document": "",
    "a comment alone": "# nothing\n",
    "null": "~\n",
    "a text": "hello\n",
    "a number": "3\n",
    "a list": "- task\n",
    "a date": "2001-01-01\n",
    "a bracket": "[\n",
    "a brace": "{\n",
    "a quote": '"\n',
    "an anchor": "&\n",
    "an ampersand and an asterisk": "*\n",
    "a percent": "%\n",
    "a directive of another version": "%YAML 3.0\n---\n" + GOOD,
    "a directive twice": "%YAML 1.2\n%YAML 1.2\n---\n" + GOOD,
    "a directive without an end": "%TAG ! tag:x\n" + GOOD,
    "a question": "?\n",
    "a back quote": _with("x: `y`"),
    "an at sign": _with("x: @y"),
    "a colon in a plain value": _with("x: a: b"),
    "merging a text": _with("train: {<<: hello}"),
    "merging a list of texts": _with("train: {<<: [hello]}"),
    "merging what is not there": _with("train: {<<: *t}"),
    "the value sign": _with("=: 3"),
    "yes for true": _with("train: {deterministic: yes}"),
    "on for true": _with("train: {deterministic: on}"),
    "y for true": _with("train: {deterministic: y}"),
    "1 for true": _with("train: {deterministic: 1}"),
    "a date for a run": _with("seed: 2001-01-01"),
    "a time for a number": _with("seed: 1:30"),
    "an underscore in a number": _with("seed: 1_000"),
    "a run that is empty": GOOD.replace("runs/x", '""'),
    "a run of blanks": GOOD.replace("runs/x", '"  "'),
    "a run that is a number": GOOD.replace("runs/x", "3"),
    "a run that is nothing": GOOD.replace(" runs/x", ""),
    "prepared is empty": GOOD.replace("nowhere/prepared", '""'),
    "a source that is empty": GOOD.replace("nowhere/*.txt", '""'),
    "a variable that is not set": GOOD.replace("runs/x", "$NO_SUCH_VARIABLE/x"),
    "a variable in braces that is not set": GOOD.replace("runs/x", "${NO_SUCH_VARIABLE}/x"),
    "a home of nobody": GOOD.replace("runs/x", "~no-such-user/x"),
    "an infinite rate": GOOD.replace("1e-4", ".inf"),
    "a rate that is no number": GOOD.replace("1e-4", ".nan"),
    "a rate of 0": GOOD.replace("1e-4", "0"),
    "a rate beyond floats": GOOD.replace("1e-4", "1e999"),
    "a seed below 0": _with("seed: -1"),
    "a seed of half a step": _with("seed: 1.5"),
    "a seed as a text": _with("seed: '1'"),
    "a seed beyond 64 bits": _with("seed: 18446744073709551616"),
    "betas of 1": _with("  betas: [0.9, 1.0]"),
    "betas beyond 1": _with("  betas: [0.9, 9.0]"),
    "betas below 0": _with("  betas: [-0.1, 0.9]"),
    "one beta": _with("  betas: [0.9]"),
    "a warm-up as long as the training": _with("train: {steps: 100}\nschedule: {warmup_steps: 100}"),
    "a warm-up longer than the training": _with("train: {steps: 100}\nschedule: {warmup_steps: 5000}"),
    "a decay longer than the training": _with("train: {steps: 100}\nschedule: {name: wsd, decay_steps: 5000}"),
    "more threads than there are": _with("train: {threads: 1000000}"),
    "more workers than there are": _with("train: {workers: 1000000}"),
    "a width of a million": GOOD.replace("kind: tagger", "{kind: tagger, width: 1000000}"),
    "a million layers": GOOD.replace("kind: tagger", "{kind: tagger, layers: 1000000}"),
    "shares that leave nothing": GOOD.replace("prepared:", "valid_share: 0.49\n  test_share: 0.6\n  prepared:"),
    "steps beyond counting": _with("train: {steps: 1" + "0" * 20 + "}"),
    "a rate of a layer below 0": _with("finetune: {lr_scale: {head: -1}}"),
    "a rate of a layer that is no number": _with("finetune: {lr_scale: {head: .nan}}"),
    "nothing to train": _with("finetune: {train: []}"),
    "a text of an empty name to train": _with('finetune: {train: [""]}'),
    "train is a list": _with("train: [steps]"),
    "train is nothing": _with("train:"),
    "model is a text": GOOD.replace("  kind: tagger", "  tagger"),
    "model.kind is a list": GOOD.replace("tagger", "[tagger]"),
    "model.kind is a section": GOOD.replace("tagger", "{a: 1}"),
    "sources are a section": GOOD.replace("[nowhere/*.txt]", "{a: b}"),
    "sources are a text": GOOD.replace("[nowhere/*.txt]", "a"),
    "no sources": GOOD.replace("[nowhere/*.txt]", "[]"),
    "sources are lists": GOOD.replace("[nowhere/*.txt]", "[[a]]"),
    "an encoding that is none": GOOD.replace("nowhere/*.txt", "{path: a, encoding: no-such}"),
    "an encoding that is no text": GOOD.replace("nowhere/*.txt", "{path: a, encoding: base64}"),
    "an encoding that is rot13": GOOD.replace("nowhere/*.txt", "{path: a, encoding: rot13}"),
    "an encoding with NUL": GOOD.replace("nowhere/*.txt", '{path: a, encoding: "utf\\0"}'),
    "a device with a number beyond counting": _with("train: {device: 'cuda:" + "9" * 40 + "'}"),
    "a phase that is a list": _with("  phases: [a]"),
    "a phase of nothing": _with("  phases: {a: }"),
    "a metric of an empty name": _with("train: {best: ''}"),
}  # fmt: skip
BYTES = {
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-16 without a mark": GOOD.encode("utf-16-le"),
    "UTF-32": GOOD.encode("utf-32"),
    "GBK": GOOD.replace("runs/x", "汉字").encode("gb18030"),
    "Latin-1": GOOD.replace("runs/x", "é").encode("latin-1"),
    "NUL bytes": GOOD.encode() + b"\0\0",
    "half of a pair in UTF-8": GOOD.replace("runs/x", "\ud800").encode("utf-8", "surrogatepass"),
    "an overlong slash": GOOD.encode().replace(b"/", b"\xc0\xaf"),
    "control characters": GOOD.encode() + b"x: \x01\x02\n",
    "ESC": GOOD.encode() + b"x: \x1b[31m\n",
    "random bytes": bytes(random.Random(1).randrange(256) for _ in range(4000)),
    "a gzip": b"\x1f\x8b\x08" + bytes(100),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
}
TAKEN_TEXTS = {
    "as it is": GOOD,
    "a mark before it": "\ufeff" + GOOD,
    "lines of another system": GOOD.replace("\n", "\r\n"),
    "one document with its dashes": "---\n" + GOOD + "...\n",
    "a directive": "%YAML 1.2\n---\n" + GOOD,
    "JSON": '{"task": "pinyin2hanzi", "run": "r", "data": {"sources": ["nowhere/*.txt"], "prepared": "nowhere/p"}, "model": {"kind": "tagger"}}',
    "an anchor and its alias": GOOD.replace("runs/x", "&r runs/x").replace("nowhere/prepared", "nowhere/p") + "finetune: {lr_scale: {head: &one 1.0, backbone: *one}}\n",
    "merging with a change": "train: &t {steps: 30}\n" + GOOD + "  phases: {model: {<<: {l1: 0.1, lr: 0.1}, lr: 0.2}}\n",
    "1e-3 is a number": _with("train: {ema: 1e-3}"),
    ".5 is a number": _with("train: {ema: .5}"),
    "010 is ten": _with("seed: 010"),
    "0x10 is sixteen": _with("seed: 0x10"),
    "0o17 is fifteen": _with("seed: 0o17"),
    "no is text": GOOD.replace("runs/x", "no"),
    "1:30 is text": GOOD.replace("runs/x", "1:30"),
    "a date is text": GOOD.replace("runs/x", "2001-01-01"),
    "hanzi": GOOD.replace("runs/x", "runs/汉字"),
    "the home directory": GOOD.replace("runs/x", "~/runs/x"),
    "a variable": GOOD.replace("runs/x", "$HOME/runs/x"),
    "a variable in braces": GOOD.replace("runs/x", "${HOME}/runs/x"),
    "an emoji by its escape": GOOD.replace("runs/x", '"\\U0001F600"'),
}  # fmt: skip


# Values of --set, as they stand behind the sign of equality.
SETTINGS = {
    "seed": ["!!int zzz", "!!python/name:os.system", "[" * 5000, "1" * 5000, "&a [*a]", "*a", "1e999", ".nan", "-1", "1: 2", "a: b: c", "\t1", "{", "'", '"\\UFFFFFFFF"',
             "2001-02-31", "!!timestamp x", "\udcff", "a\0b", "", "x" * 300_000, "[1, 2]", "{a: b}", "--- 1\n--- 2", "\x1b[31m", "yes", "1_000", "true"],
    "run": ["", '""', "3", "~", "[a]", "$NO_SUCH_VARIABLE", "~no-such-user", "\udcff", '"\\0"', "x.yaml"],
    "task": ["", "[a]", "{}", "3", "{a: [b]}", "nothing", "\x1b[2J", "true"],
    "data.sources.0": ["a"],
    "data.sources": ["", "3", "[]", "[3]", "[[]]", "[{}]", "{0: a}"],
    "data..prepared": ["a"], ".": ["a"], "..": ["a"], " ": ["a"], "data.": ["a"], ".data": ["a"], "a" * 5000: ["a"], "seed.x": ["1"], "\udcff": ["1"], "\x1b": ["1"],
    "model.kind": ["", "[a]", "{}", "3", "~"],
    "optim.betas": ["[0.9, 1]", "[0.9, .nan]", "[[]]", "0.9"],
    "train.best": ["''", "3"], "train.device": ["cuda:99999999999", "gpu", "3"], "finetune.lr_scale": ["{3: 1.0}", "{a: b}", "[]"],
    "optim.phases": ["{nothing: {lr: 0.1}}", "{model: {phases: {}}}", "{3: {}}"],
}  # fmt: skip
TAKEN_SETTINGS = [
    "run=~/x",
    "run=$HOME/x",
    "run=${HOME}/x",
    "seed=010",
    "run=no",
    "run=1:30",
    "optim.lr=1e-3",
    "run=a=b",
    "seed = 3",
]


ARGUMENTS = [
    ["\udcff"], ["--\udcff"], ["pretrain"], ["pretrain", "a", "b"], ["pretrain", "--nothing"], ["pretrain", "--set"], [""], ["--help", "x\udcff"],
    ["translate", "--n-best", "9" * 5000, "ni"], ["translate", "--n-best", "0"], ["translate", "--n-best", "-1", "ni"], ["translate", "--n-best", "nan", "ni"],
    ["translate", "--model", "", "ni"], ["translate", "--model", "no\udcff.onnx", "ni"], ["translate", "--input", "\udcff"], ["translate", "--input", "/"], ["translate", "--input", ""],
    ["translate", "--lexicon", "no\udcff", "ni"], ["translate", "--fuzzy", "\udcff", "ni"], ["predict", "default", "--lexicon", "", "ni"], ["translate", "--proofread", "no\udcff"],
    ["annotate", "--style", "\udcff", "x"], ["annotate", "--readings", "no\udcff", "x"], ["annotate", "--input", "/"],
    ["evaluate", "no\udcff"], ["evaluate", "default", "--require", "x"], ["evaluate", "default", "--require", "cer<=nan", "--data", "x"], ["evaluate", "default", "--require", "cer<=" + "9" * 5000],
    ["evaluate", "default", "--split", "\x1b[2J"], ["evaluate", "default", "--data", "no\udcff"], ["evaluate", "default", "--weight", "nan", "--data", "x"], ["evaluate", "default", "--weight", "inf"],
    ["export-onnx", "no\udcff"], ["export-onnx", "default"], ["export-onnx", ""], ["serve", "no\udcff"], ["serve", "--port", "0"], ["serve", "--port", "9" * 5000], ["serve", "--host", "\udcff", "--open"],
    ["serve", "--wait-ms", "nan"], ["serve", "--host", "256.256.256.256", "--open"], ["serve", "--queue", "-1"], ["prepare-data"], ["prepare-data", "--report-only", "no\udcff"], ["prepare-data", "--report-only", "/"],
    ["prepare-data", "--report-only", ""], ["finetune", "{config}"], ["finetune", "{config}", "--from", "no\udcff"], ["finetune", "{config}", "--from", ""], ["finetune", "{config}", "--from", "/"],
    ["finetune", "{config}", "--from", "default"], ["selfcheck", "resume", "no\udcff"], ["selfcheck", "resume", "{config}", "--from", "no"], ["evaluate", "$NO_SUCH_VARIABLE/x"], ["pretrain", "~no-such-user/x"],
]  # fmt: skip
ENVIRONMENTS = [
    {"RANK": "x"}, {"RANK": "-1"}, {"RANK": ""}, {"RANK": "3"}, {"RANK": "1.5"}, {"RANK": "9" * 5000}, {"WORLD_SIZE": "abc"}, {"WORLD_SIZE": "0"}, {"WORLD_SIZE": "-2"}, {"WORLD_SIZE": ""},
    {"LOCAL_RANK": "x"}, {"LOCAL_RANK": "-1"}, {"LOCAL_WORLD_SIZE": "x"}, {"LOCAL_WORLD_SIZE": "0"}, {"OMP_NUM_THREADS": "abc"}, {"OMP_NUM_THREADS": "-1"}, {"OMP_NUM_THREADS": "0"},
    {"RANK": "1", "WORLD_SIZE": "1"},
]  # fmt: skip
FINE_ENVIRONMENTS = [
    {"MPLBACKEND": "x"}, {"MPLBACKEND": "module://nothing"}, {"OMP_NUM_THREADS": "2"}, {"OMP_NUM_THREADS": "2,1"}, {"LANG": "C", "LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1:strict"}, {"LC_ALL": "no_SUCH.locale"}, {"TERM": "x"}, {"COLUMNS": "x"}, {"COLUMNS": "0"}, {"HOME": "/nowhere"},
]  # fmt: skip
# (what a shell runs, the exit codes that are right)
SHELLS = [
    ("$BMTOOL --help > /dev/full", "6"), ("$BMTOOL --version > /dev/full", "6"), ("$BMTOOL annotate 你好 > /dev/full", "6"), ("$BMTOOL translate 'ni hao' > /dev/full", "6"),
    ("$BMTOOL predict default 'ni hao' > /dev/full", "6"), ("$BMTOOL --help >&-", "6"), ("$BMTOOL annotate 你好 >&-", "6"), ("$BMTOOL --version 2>&-", "0"), ("$BMTOOL annotate 你好 2>&-", "0"),
    ("$BMTOOL annotate <&-", "4"), ("$BMTOOL annotate 你好 0<&- 1>&- 2>&-", "6"), ("$BMTOOL no-such 2> /dev/full", "2"), ("$BMTOOL evaluate nowhere 2>&-", "4"),
    ("{ yes 你好 | head -n 20000; true; } | $BMTOOL annotate | head -n 1", "0"), ("$BMTOOL --help | head -n 1", "0"), ("$BMTOOL predict --help | true", "0"), ("printf '\\xff\\n' | $BMTOOL annotate", "0"),
    ("printf 'ni\\n\\xff\\n' | $BMTOOL translate", "0"), ("PYTHONIOENCODING=ascii $BMTOOL annotate 你好", "0"), ("LC_ALL=C LANG=C $BMTOOL annotate 你好", "0"), ("$BMTOOL annotate $'\\xff'", "2"),
]  # fmt: skip


# Names of configurations that are none; {pipe} is one that nobody writes to.
FILES = [
    "/dev/zero",
    "/dev/null",
    "/dev/full",
    "/",
    "/tmp",
    "{pipe}",
    "",
    "no\0body",
    "x" * 5000,
    "\udcff.yaml",
    "no.yaml/",
]
# What is put into good configurations at random.
ODD = [
    b"\0", b"\xff", b"&a ", b"*a", b"!!", b"[", b"]", b"{", b"}", b"\t", b": ", b"- ", b"'", b'"', b"\n", b"\x1b", b"%", b"<<: ", b"9" * 400,
    b"?", b"|", b">", b"#", b".inf", b"~", "\u2028".encode(), b"\x85", b"-1", b"e9",
]  # fmt: skip
