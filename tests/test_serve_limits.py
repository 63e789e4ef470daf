"""What a server bears: costs, turns, memory, JSON from outside, strangers. Whole attacks on a real one are in tests/stress/server.py."""

import asyncio
import contextlib
import json
import random
import threading
import time

import httpx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stress import server as stress
from test_cli import fails
from test_image_tasks import CNN, digits, picture  # noqa: F401  fixtures
from test_serve import serving

from bmtool import registry
from bmtool.base.memory import available
from bmtool.commands.loading import load_model
from bmtool.errors import ConfigError, ResourceError
from bmtool.predict.backends import OnnxBackend
from bmtool.predict.contract import Options
from bmtool.serve import costs, jsontext, memory, origins
from bmtool.serve.batcher import Batcher, Ending, Limits
from bmtool.serve.problems import ProblemError
from bmtool.serve.settings import Settings

# --- attacks ---


def test_a_sample_of_the_attacks():
    quick = 24
    found = list(stress.attempts(quick, seed=33))  # drawn so that none of them waits long
    assert len(found) == quick
    assert [attempt for attempt in found if attempt.problem] == []


def test_there_are_many_attacks():
    assert len(stress._trials()) >= 130


# --- turns ---


def model(log: list[tuple[str, list[int]]], gate: threading.Event | None = None):
    def run(options, inputs):
        log.append((options, list(inputs)))
        if gate is not None:
            gate.wait(20)
        return [f"{options}{item}" for item in inputs]

    return run


def in_loop(scenario, run, **limits):
    async def main():
        batcher = Batcher(
            run, Limits(**{"batch": 4, "cost": 100, "wait_ms": 0.0, "queue": 1_000} | limits), lambda size: None
        )
        try:
            await asyncio.wait_for(scenario(batcher), 30)
        finally:
            batcher.close()

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.lists(st.integers(1, 150), min_size=1, max_size=12)), min_size=1, max_size=8
    )
)
def test_every_request_is_answered_in_order_and_runs_are_bounded(requests):
    log: list[tuple[str, list[int]]] = []

    async def scenario(batcher):
        asked = [batcher.ask(costs, options, costs=costs) for options, costs in requests]
        answers = await asyncio.gather(*asked)
        assert answers == [[f"{options}{cost}" for cost in costs] for options, costs in requests]
        assert batcher.waiting == 0

    in_loop(scenario, model(log))
    for _, run in log:
        assert len(run) <= 4 and sum(run) <= max(100, max(run) + 50)


def test_a_small_request_passes_a_long_one():
    log: list[tuple[str, list[int]]] = []

    async def scenario(batcher):
        long = asyncio.ensure_future(batcher.ask(list(range(40)), "a", costs=[1] * 40))
        await asyncio.sleep(0.05)
        small = [asyncio.ensure_future(batcher.ask([100 + n], option, costs=[1])) for n, option in enumerate("ab")]
        await asyncio.gather(*small)
        assert not long.done()
        assert await long == [f"a{n}" for n in range(40)]

    def run(options, inputs):
        time.sleep(0.05)
        return model(log)(options, inputs)

    in_loop(scenario, run)


def test_what_nobody_waits_for_is_not_run():
    log: list[tuple[str, list[int]]] = []
    gate = threading.Event()

    async def scenario(batcher):
        long = asyncio.ensure_future(batcher.ask(list(range(40)), "a", costs=[1] * 40))
        while not log:
            await asyncio.sleep(0.01)
        long.cancel()
        await asyncio.sleep(0)
        gate.set()
        assert await batcher.ask([1], "b", costs=[1]) == ["b1"]
        assert [options for options, _ in log] == ["a", "b"]

    in_loop(scenario, model(log, gate))


def test_at_the_end_those_that_wait_are_told():
    gate = threading.Event()

    async def scenario(batcher):
        asked = [asyncio.ensure_future(batcher.ask([n], "a", costs=[1])) for n in range(9)]
        await asyncio.sleep(0.05)
        batcher.end()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(one, Ending) for one in found)
        with pytest.raises(Ending):
            await batcher.ask([1], "a", costs=[1])
        gate.set()

    in_loop(scenario, model([], gate))


def test_a_request_that_may_not_hold_its_answers_ends_alone():
    room = memory.Memory(100)

    async def scenario(batcher):
        held = room.hold()
        asked = batcher.ask(list(range(40)), "a", costs=[1] * 40, keep=lambda answers: held.more(20 * len(answers)))
        other = batcher.ask([1], "a", costs=[1])
        found = await asyncio.gather(asked, other, return_exceptions=True)
        assert isinstance(found[0], ProblemError) and found[1] == ["a1"]
        held.release()
        assert room.held == 0

    in_loop(scenario, model([]))


# --- costs ---


def test_costs_are_counted_for_whatever_a_model_takes():
    taken = {entry.takes for entry in registry.TASKS.values()}
    assert taken == set(costs.TARIFFS) == set(costs._COUNTS)


def test_a_request_that_is_too_dear_is_refused_with_the_limit():
    entry = registry.find("pinyin2hanzi")
    plain, initials = entry.load("options")(), entry.load("options")(initials=True)
    assert costs.priced(entry, ["a" * 9, ""], plain, Settings()) == [10, 1]
    assert costs.priced(entry, ["a" * 9], initials, Settings()) == [9 * 32 + 1]
    for lines, options, words in ((["a" * 2_000] * 20, plain, "40,000 letters"), (["a" * 1_300], initials, "32 times")):
        with pytest.raises(ProblemError, match=words) as refused:
            costs.priced(entry, lines, options, Settings())
        assert refused.value.answer.status_code == 413


def test_images_are_counted_by_their_heads(picture):  # noqa: F811
    entry = registry.find("image-classification")
    (cost,) = costs.priced(entry, [picture.read_bytes()], Options(), Settings())
    assert cost > 1 and costs.priced(entry, [b"none"], Options(), Settings()) == [1]
    with pytest.raises(ProblemError, match="million pixels"):
        costs.priced(entry, [picture.read_bytes()], Options(), Settings(run_bytes=160))


def test_runs_are_small_where_memory_is_little():
    assert costs.of_run("text", Settings(run_bytes=2_000_000_000)) == costs.TARIFFS["text"].run
    assert costs.of_run("text", Settings(run_bytes=100_000_000)) == 250


# --- memory ---


def test_what_runs_left_is_given_back_where_there_is_too_much(monkeypatch):
    """The answers are the same; onnxruntime is told to keep nothing."""
    loaded = load_model("default", lambda message: None)
    asked = []
    run = onnxruntime.InferenceSession.run
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", lambda *given: asked.append(given[3]) or run(*given))
    options, answers = loaded.entry.load("options")(), []
    for most in (None, 1 << 50, 1):
        monkeypatch.setattr(OnnxBackend, "most", most)
        answers.append(loaded.predictor.predict([loaded.predictor.read("ni hao")], options)[0].record())
    assert answers[0] == answers[1] == answers[2]
    third = len(asked) // 3
    assert not any(asked[: 2 * third])
    assert {found.get_run_config_entry("memory.enable_memory_arena_shrinkage") for found in asked[2 * third :]} == {
        "cpu:0"
    }


@pytest.mark.parametrize("groups, files, expected", [
    ("", {}, 8 << 30), ("0::/", {"memory.max": "max"}, 8 << 30), ("0::/", {"memory.max": 1 << 30}, 1 << 30),
    ("0::/system.slice/x.service", {"system.slice/x.service/memory.max": 1 << 29, "system.slice/memory.max": "max"}, 1 << 29),
    ("0::/a/b", {"a/b/memory.max": 1 << 29, "a/memory.max": 1 << 28}, 1 << 28),
    ("3:cpu:/z\n4:memory:/docker/y\n0::/", {"memory/docker/y/memory.limit_in_bytes": 1 << 27}, 1 << 27),
    ("4:memory:/docker/y", {"memory/memory.limit_in_bytes": 1 << 26}, 1 << 26),
    ("4:memory:/", {"memory/memory.limit_in_bytes": 9223372036854771712}, 8 << 30),
])  # fmt: skip
def test_what_there_is_counts_the_container(groups, files, expected, tmp_path):
    written = {"proc/meminfo": f"MemTotal: {8 << 20} kB", "proc/self/cgroup": groups}
    written |= {f"sys/fs/cgroup/{name}": f"{limit}\n" for name, limit in files.items()}
    for name, text in written.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available(tmp_path) == expected


def test_sizes(invoke):
    assert [memory.size(text) for text in ("2GB", "1.5g", "800 MB", "1000")] == [2 * 10**9, 15 * 10**8, 8 * 10**8, 1000]
    for text in ("", "x", "0", "-1GB", "9" * 5_000, "1PB", "nan"):
        with pytest.raises(ConfigError, match="--memory"):
            memory.size(text)
    fails(invoke("serve", "--memory", "lots"), 2, "--memory lots", "2GB")
    fails(invoke("serve", "--cors", "*"), 2, "--cors *", "https://example.com")
    with pytest.raises(ResourceError, match="--memory 496MB at least"):
        memory.room(450_000_000, 400_000_000)


def test_memory_is_given_back():
    room = memory.Memory(100)
    first, second = room.hold(), room.hold()
    first.more(80)
    with pytest.raises(ProblemError) as busy:
        second.more(30)
    assert busy.value.answer.status_code == 503 and busy.value.answer.headers["retry-after"]
    with pytest.raises(ProblemError) as never:
        second.more(101)
    assert never.value.answer.status_code == 413
    first.release()
    second.more(100)
    second.release()
    assert room.held == 0


# --- JSON ---

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5), max_leaves=30,
)  # fmt: skip


@settings(deadline=None)
@given(JSON, st.integers(0, 1_000), st.booleans())
def test_values_are_counted_whatever_the_pieces(value, seed, escaped):
    def commas_and_brackets(part) -> int:
        inside = list(part.values()) if isinstance(part, dict) else part if isinstance(part, list) else None
        return 0 if inside is None else 1 + max(0, len(inside) - 1) + sum(map(commas_and_brackets, inside))

    raw, values, draw = (
        json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass"),
        jsontext.Values(),
        random.Random(seed),
    )
    start = 0
    while start < len(raw):
        end = start + draw.randint(1, 9)
        values.add(raw[start:end])
        start = end
    assert values.count == commas_and_brackets(value)


@settings(deadline=None)
@given(JSON)
def test_json_is_read_as_others_write_it(value):
    try:
        assert jsontext.parse(json.dumps(value).encode()) == value
    except ProblemError as error:  # a half surrogate pair
        assert "half" in str(error)


@settings(deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0dDe9-N', max_size=60).map(str.encode))
def test_bytes_that_are_no_json_are_a_problem(raw):
    with contextlib.suppress(ProblemError):
        jsontext.parse(raw)


# --- a real server ---


def test_pixels_and_forms(exported, picture):  # noqa: F811
    with serving(exported(CNN), "--memory", "1GB") as (base, _), httpx.Client(base_url=base, timeout=30) as held:
        for sent, status, words in (
            ({"content": b"x" * 50, "headers": {"content-type": "multipart/form-data"}}, 400, "boundary"),
            ({"content": b"--a\r\n" * 9, "headers": {"content-type": "multipart/form-data; boundary=a"}}, 400, "form"),
            (
                {"files": {"image": picture.read_bytes()}, "data": {f"x{n}": "1" for n in range(90)}},
                400,
                "Too many fields",
            ),
            ({"files": {"image": picture.read_bytes()}, "data": {"top": "9" * 5_000}}, 400, "form"),
            ({"files": [("image", picture.read_bytes())] * 17}, 400, "Too many files"),
            ({"files": {"image": picture.read_bytes()}, "data": {"top": "9" * 900}}, 422, "schema"),
            ({"files": {"image": b"\r" * 7_000_000}}, 422, "no image"),
        ):
            answer = held.post("/v1/predict", **sent)
            assert answer.status_code == status and words in answer.json()["detail"], answer.text
        assert held.post("/v1/predict", files={"image": picture.read_bytes()}).status_code == 200


def test_names_and_origins():
    """The rest of the table is among the attacks."""
    ours = origins.Origins(["proxy.example"], ["https://friend.example"])
    with pytest.raises(ProblemError) as other:
        ours.check("GET", {b"host": b"evil.example"})
    assert other.value.answer.status_code == 421
    ours.check("GET", {b"host": b"proxy.example", b"origin": b"https://evil.example", b"sec-fetch-site": b"cross-site"})
    ours.check("POST", {})
