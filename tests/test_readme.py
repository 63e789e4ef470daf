"""README.md and README.zh-CN.md stay true: every command in them is run, in their order, in a fresh copy of what they use.

What they show of its output is compared with what comes (tests/transcripts.py).
"""

import re

import pytest
import transcripts
from conftest import ROOT

READMES = transcripts.PAGES


def commands(name: str) -> list[str]:
    """Every `$ ...` line of the console blocks."""
    return [shown.command for shown in transcripts.transcripts((ROOT / name).read_text("utf-8"))]


def test_both_languages_show_the_same_commands():
    assert commands(READMES[0]) == commands(READMES[1])


@pytest.mark.parametrize("name", READMES)
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text("utf-8")):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_make_targets_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in commands(READMES[0]):
        if command.startswith("make "):
            assert command.split()[1] in targets


@pytest.mark.slow
@pytest.mark.timeout(1800)  # all of a README, one command after the other
def test_every_command_works_and_says_what_is_shown(tmp_path):
    ran = []
    for done in transcripts.run(commands(READMES[0]), tmp_path):
        assert done.code == 0, f"{done.command}\n{done.output}"
        if "|| echo" in done.command:  # shown for the code it fails with
            assert done.output.splitlines()[-1] in ("exit 2", "exit 3"), done.command
        ran.append(done)
    for name in READMES:
        found = list(transcripts.differences((ROOT / name).read_text("utf-8"), ran))
        assert not found, "`make transcripts` writes what comes now:\n\n" + "\n\n".join(found)


@pytest.mark.parametrize("shown, came", [
    ("step 100/300  loss 1.3290  25,702 tokens/s  left 0:16", "step 100/300  loss 1.3291  9,702 tokens/s  left 12:16"),
    (" ece   │ 0.0543 │ 0.0243 - 0.0905 ", " ece  │ 0.0552 │ 0.0240 - 0.1002 "), ("data hash 3389ca792540", "data hash 0089ca792540"),
    (" mrr │ 0.1853 │ +0.0245 │ 0.016 * ", " mrr │ 0.1853 │ +0.0245 │ 0.200 "),
    ("device: CPU, 2 threads (no", "device: CPU, 1 threads of 2 cores (OMP_NUM_THREADS) (no"),
])  # fmt: skip
def test_lines_that_differ_by_machine_and_time_agree(shown, came):
    assert transcripts.agree(shown, came) and transcripts.renewed([shown], [came]) == [shown]


@pytest.mark.parametrize("shown, came", [
    (" ece   │ 0.1743 │ 0.0243 - 0.0905 ", " ece  │ 0.0543 │ 0.0243 - 0.0905 "), ("train 1,150, valid 78", "train 1,550, valid 78"),
    ("今天天气很好", "今天天气很号"), ("step 50/300  loss 1.5", "step 50/300  loss"), ("0.5 - 0.6", "-0.5 - 0.6"),
])  # fmt: skip
def test_lines_that_say_something_else_do_not_agree(shown, came):
    assert not transcripts.agree(shown, came) and transcripts.renewed([shown], [came]) == [came]


def test_pages_are_rewritten_with_what_comes():
    page = "```console\n$ a \\\n  b\nold 1\n...\nold 9\n$ make c\nkept\n$ d\n```\nold 1\n```console\n$ e\nfour\n```\n"
    ran = [
        transcripts.Ran(*one)
        for one in (("a    b", 0, "new 1\nx\n\nold 9\n"), ("d", 0, "x\n"), ("e", 0, "five\nsix\n"))
    ]
    new = page.replace("old 1", "new 1", 1).replace("four", "five\nsix")
    assert transcripts.rewritten(page, ran) == new
    assert len(list(transcripts.differences(page, ran))) == 2 and not list(transcripts.differences(new, ran))
