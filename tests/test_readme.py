"""The READMEs and the pages under docs/ stay true: every command of their console blocks is run, in a fresh copy of what they use.

What they show of its output is compared with what comes (tests/transcripts.py).
"""

import re

import pytest
import transcripts
from conftest import ROOT
from transcripts import READMES

from bmtool.registry import TASKS

DOCS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
LINES = 173


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_both_languages_show_the_same_commands():
    assert transcripts.commands(READMES[:1]) == transcripts.commands(READMES[1:])


@pytest.mark.parametrize("name", READMES)
def test_a_readme_is_read_in_one_sitting(name):
    assert len(page(name).splitlines()) <= LINES


@pytest.mark.parametrize("name", READMES)
def test_the_table_of_tasks_is_that_of_the_registry(name):
    rows = re.findall(r"^\| ((?:`[\w-]+`(?:, )?)+) \| .* \| \[[^]]+\]\(([^)#]+)\) \|$", page(name), re.MULTILINE)
    assert [task for tasks, _ in rows for task in re.findall(r"`([\w-]+)`", tasks)] == list(TASKS)
    assert {shown for _, shown in rows} == set(transcripts.TASKS)


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md", *DOCS])
def test_links_and_pictures_exist(name):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page(name)):
        assert target.startswith("http") or ((ROOT / name).parent / target).exists(), target


def test_every_page_is_in_the_index():
    named = re.findall(r"\]\(([^)#]+\.md)\)", page("docs/README.md"))
    assert sorted(f"docs/{target}" for target in named if not target.startswith("..")) == [
        name for name in DOCS if name != "docs/README.md"
    ]


def test_every_page_that_shows_commands_is_run():
    assert {name for name in DOCS if transcripts.transcripts(page(name))} == set(transcripts.PAGES) - set(READMES)


def test_make_targets_exist():
    targets = re.findall(r"^([\w-]+):", page("Makefile"), re.MULTILINE)
    for command in transcripts.commands(transcripts.PAGES):
        if command.startswith("make "):
            assert command.split()[1] in targets


@pytest.mark.slow
@pytest.mark.timeout(2700)  # all of the pages, one command after the other; some 8 minutes on a machine of its own
def test_every_command_works_and_says_what_is_shown(tmp_path):
    ran = {}
    for done in transcripts.run(transcripts.commands(transcripts.PAGES), tmp_path):
        assert done.code == 0, f"{done.command}\n{done.output}"
        if "|| echo" in done.command:  # shown for the code it fails with
            assert done.output.splitlines()[-1] in ("exit 2", "exit 3"), done.command
        ran[done.command] = done
    for name in transcripts.PAGES:
        found = list(transcripts.differences(page(name), ran))
        assert not found, f"{name}: `make transcripts` writes what comes now:\n\n" + "\n\n".join(found)


def test_a_server_answers_the_commands_after_it(tmp_path):
    serve = "python3 -u -m http.server 0 &"
    ran = list(transcripts.run(["make it", serve, "ls -d configs", "ls -d configs", "false"], tmp_path))
    assert [(done.command, done.code) for done in ran] == [(serve, 0), ("ls -d configs", 0), ("false", 1)]
    assert "http://" in ran[0].output and ran[1].output == "configs\n"
    [ended] = transcripts.run(["echo no address &"], tmp_path / "other")
    assert ended.code == 1 and ended.output == "no address\n"


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
    text = "```console\n$ a \\\n  b\nold 1\n...\nold 9\n$ make c\nkept\n$ d\n```\nold 1\n```console\n$ e\nfour\n```\n"
    came = (("a    b", 0, "new 1\nx\n\nold 9\n"), ("d", 0, "x\n"), ("e", 0, "five\nsix\n"))
    ran = {one[0]: transcripts.Ran(*one) for one in came}
    new = text.replace("old 1", "new 1", 1).replace("four", "five\nsix")
    assert transcripts.rewritten(text, ran) == new
    assert len(list(transcripts.differences(text, ran))) == 2 and not list(transcripts.differences(new, ran))
