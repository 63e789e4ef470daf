"""The routes of OpenAI's interface, asked by its own client: from a run and from an export, streamed and whole, and what is refused."""

import asyncio
import contextlib
import re
import time

import httpx
import numpy as np
import pytest
from conftest import config_path
from test_contract import Here
from test_serve import _keep, browser, open_page, serving  # noqa: F401  a fixture

from bmtool.commands.loading import load_model
from bmtool.commands.train import pretrain
from bmtool.serve.app import create
from bmtool.serve.service import Service
from bmtool.serve.settings import Settings
from bmtool.tasks.language_model.config import Options

openai = pytest.importorskip("openai")

CHAT, CAUSAL, MASKED = "language-model-chat", "language-model", "language-model-masked"
HELLO = [{"role": "user", "content": "你好"}]


class Model(Here):
    def kill(self):
        pass


@contextlib.asynccontextmanager
async def asking(path, settings: Settings = Settings()):
    """A client of a server whose model is in this process."""
    guard = create(Service(str(path), Model(path), settings, print))
    transport = httpx.ASGITransport(guard)
    async with (
        guard.app.router.lifespan_context(guard.app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as held,
        openai.AsyncOpenAI(
            base_url="http://localhost/v1", api_key=settings.api_key or "none", http_client=held, max_retries=0
        ) as client,
    ):
        client.service = guard.app.state.service
        yield client


def asked(path, work, settings: Settings = Settings()):
    """What `work(client)` gives."""

    async def whole():
        async with asking(path, settings) as client:
            return await work(client)

    return asyncio.run(whole())


# --- the same as the command line, in the shapes of others ---


@pytest.mark.parametrize("from_run", [True, False])
def test_a_dialogue_is_answered_as_on_the_command_line_whole_and_streamed(trained, exported, from_run):
    predictor = load_model(trained(CHAT), print).predictor
    turns = [{"role": "system", "content": "你是客服"}, *HELLO]
    (said,) = predictor.predict([predictor.read(turns)], Options(seed=3, temperature=0.7, max_tokens=9))
    how = {"seed": 3, "temperature": 0.7, "max_completion_tokens": 9}
    how["model"] = f"trained-{CHAT}" if from_run else "model.onnx"

    async def work(client):
        parts = [{"role": "developer", "content": [{"type": "text", "text": "你是客服"}]}, *HELLO]
        whole = await client.chat.completions.create(messages=parts, logprobs=True, **how)
        stream = await client.chat.completions.create(
            messages=turns, stream=True, stream_options={"include_usage": True}, **how
        )
        return whole, [piece async for piece in stream], client.service.writing

    whole, pieces, writing = asked(trained(CHAT) if from_run else exported(CHAT), work)
    (choice,) = whole.choices
    assert (choice.message.content, choice.message.role) == (said.text, "assistant") and writing == 0
    assert choice.finish_reason == ("stop" if said.details["ended"] == "end" else "length")
    given = [token["log_probability"] for token in said.details["tokens"]]
    assert [piece.logprob for piece in choice.logprobs.content] == pytest.approx(given, abs=1e-3)
    assert b"".join(bytes(p.bytes) for p in choice.logprobs.content).decode("utf-8", "replace") == said.text
    read = len(predictor.read(turns).tokens)
    assert whole.usage.prompt_tokens == read and whole.usage.total_tokens == read + whole.usage.completion_tokens
    assert whole.usage.completion_tokens == len(said.log_probabilities)
    assert pieces[0].choices[0].delta.role == "assistant" and pieces[-1].usage == whole.usage
    assert "".join(piece.choices[0].delta.content for piece in pieces[:-1]) == said.text
    assert [p.choices[0].finish_reason for p in pieces[:-1] if p.choices[0].finish_reason] == [choice.finish_reason]
    assert len({piece.id for piece in pieces}) == 1 and whole.object == "chat.completion"


@pytest.mark.parametrize("from_run", [True, False])
def test_texts_go_on_from_a_run_and_from_an_export(trained, exported, from_run):
    predictor = load_model(trained(CAUSAL), print).predictor
    prompts = ["今天", ""]
    values = [
        predictor.predict([predictor.read(prompt)], Options(seed=seed, temperature=1.0, max_tokens=9))[0]
        for prompt in prompts
        for seed in (5, 6)
    ]

    async def work(client):
        name = (await client.models.list()).data[0].id
        assert (await client.models.retrieve(name)).owned_by == "bmtool"
        how = {"model": name, "prompt": prompts, "n": 2, "seed": 5, "max_tokens": 9}
        whole = await client.completions.create(logprobs=0, **how)
        pieces = [piece async for piece in await client.completions.create(stream=True, **how)]
        stopped = await client.completions.create(
            model=name, prompt="今天", seed=5, max_tokens=9, stop=values[0].text[2:4]
        )
        return whole, pieces, stopped

    whole, pieces, stopped = asked(trained(CAUSAL) if from_run else exported(CAUSAL), work)
    assert [choice.text for choice in whole.choices] == [value.text for value in values]
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert whole.usage.prompt_tokens == 3 + 1
    first = whole.choices[0].logprobs
    assert first.token_logprobs == pytest.approx([t["log_probability"] for t in values[0].details["tokens"]], abs=1e-3)
    assert first.text_offset[:3] == [0, len(first.tokens[0]), len(first.tokens[0]) + len(first.tokens[1])]
    told = ["", "", "", ""]
    for piece in pieces:
        told[piece.choices[0].index] += piece.choices[0].text
    assert told == [value.text for value in values]
    assert stopped.choices[0].text == values[0].text[:2] and stopped.choices[0].finish_reason == "stop"


def test_without_a_seed_texts_differ(trained):
    async def work(client):
        return [
            (await client.completions.create(model=f"trained-{CAUSAL}", prompt="今天")).choices[0] for _ in range(3)
        ]

    found = asked(trained(CAUSAL), work)
    assert len({choice.text for choice in found}) > 1 and all(len(choice.text) <= 16 for choice in found)


@pytest.mark.parametrize("case", [CAUSAL, MASKED])
def test_embeddings_are_means_of_hidden_states_from_a_run_and_an_export(trained, exported, case):
    texts = ["今天天气很好", "我们", "a" * 20]
    predictor = load_model(trained(case), print).predictor
    read = [predictor.read_to_embed(text) for text in texts]
    expected = predictor.embed(read)
    alone = np.concatenate([predictor.embed([one]) for one in read])
    np.testing.assert_allclose(expected, alone, atol=1e-5)

    async def work(client):
        name = (await client.models.list()).data[0].id
        whole = await client.embeddings.create(model=name, input=texts)
        return whole, await client.embeddings.create(model=name, input=texts[0], encoding_format="float")

    for path in (trained(case), exported(case)):
        whole, one = asked(path, work)
        np.testing.assert_allclose([found.embedding for found in whole.data], expected, atol=1e-4)
        np.testing.assert_allclose(one.data[0].embedding, expected[0], atol=1e-4)
        assert whole.usage.prompt_tokens == sum(len(item.tokens) for item in read)


def test_an_export_of_before_says_that_it_gives_no_hidden_states(exported, monkeypatch):
    from bmtool.predict.backends import OnnxBackend

    held = OnnxBackend.run
    monkeypatch.setattr(
        OnnxBackend, "run", lambda self, *given: {k: v for k, v in held(self, *given).items() if k != "hidden"}
    )

    async def work(client):
        with pytest.raises(openai.BadRequestError, match="does not give its hidden states: export the run again"):
            await client.embeddings.create(model="model.onnx", input="a")

    asked(exported(CAUSAL), work)


# --- what is refused, and how ---


@pytest.mark.parametrize("more, message", [
    ({"messages": []}, "messages"), ({"messages": [{"role": "tool", "content": "a"}]}, "system, user or assistant"),
    ({"messages": [{"role": "user", "content": ""}]}, "nothing is said"),
    ({"messages": [*HELLO, {"role": "assistant", "content": "a"}]}, "nothing to answer"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "text alone can be read"), ({"temperature": 3}, "temperature"),
    ({"presence_penalty": 0.5}, "presence_penalty: this server can only take 0"), ({"tools": [{"type": "function"}]}, "tools"),
    ({"top_logprobs": 2}, "top_logprobs: this server can only take 0"),
    ({"extra_body": {"grammar": "x"}}, "grammar: this server does not know it"),
    ({"n": 17}, "n: "), ({"stop": ["a", ""]}, "none of them empty"), ({"response_format": {"type": "json_object"}}, "response_format"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_in_their_shape(trained, more, message):
    async def work(client):
        with pytest.raises(openai.BadRequestError, match=message) as error:
            await client.chat.completions.create(**{"model": f"trained-{CHAT}", "messages": HELLO} | more)
        return error.value, client.service.writing

    error, writing = asked(trained(CHAT), work)
    assert error.type == "invalid_request_error" and writing == 0


def test_what_asks_for_nothing_is_taken(trained):
    idle = {
        "presence_penalty": 0, "frequency_penalty": 0.0, "tools": [], "response_format": {"type": "text"}, "user": "a", "store": False,
    }  # fmt: skip

    async def work(client):
        how = {"model": f"trained-{CHAT}", "max_tokens": 2, **idle}
        said = (await client.chat.completions.create(messages=HELLO, **how)).choices[0].message
        whole = [*HELLO, said, {"role": "user", "content": "谢谢"}]
        again = await client.chat.completions.create(messages=whole, **how)
        sent = [*HELLO, said.model_dump(), whole[-1]]
        return again, await client.chat.completions.create(messages=sent, **how)

    one, two = asked(trained(CHAT), work)
    assert one.choices and one.usage.prompt_tokens == two.usage.prompt_tokens > 30


def test_prompts_that_are_too_long_or_empty(trained):
    async def work(client):
        for content, code in (("长" * 300, "context_length_exceeded"), ("a" * 1_000_000, "context_length_exceeded")):
            with pytest.raises(openai.BadRequestError) as error:
                await client.chat.completions.create(
                    model=f"trained-{CHAT}", messages=[{"role": "user", "content": content}]
                )
            assert error.value.code == code
            with pytest.raises(openai.BadRequestError):
                await client.embeddings.create(model=f"trained-{CHAT}", input=content)
        return await client.completions.create(model=f"trained-{CHAT}", prompt="", max_tokens=3)

    assert asked(trained(CHAT), work).usage.prompt_tokens == 1


def test_keys_models_and_tasks_of_others_are_refused_in_their_shape(trained, exported):
    async def work(client):
        with pytest.raises(openai.NotFoundError, match="does not exist") as error:
            await client.completions.create(model="gpt-5", prompt="a")
        assert (error.value.code, error.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError, match="has no chat template"):
            await client.chat.completions.create(model=f"trained-{CAUSAL}", messages=HELLO)
        with pytest.raises(openai.AuthenticationError, match="send the server's key"):
            await client.with_options(api_key="other").models.list()

    asked(trained(CAUSAL), work, Settings(api_key="k"))

    async def other(client):
        with pytest.raises(openai.NotFoundError, match="writes nothing on"):
            await client.completions.create(model="model.onnx", prompt="a")
        with pytest.raises(openai.NotFoundError, match="has no hidden states"):
            await client.embeddings.create(model="model.onnx", input="a")
        return [model.id for model in (await client.models.list()).data]

    assert asked(exported("tagger"), other) == ["model.onnx"]


def test_so_many_texts_are_written_together_and_no_more(trained):
    async def work(client):
        client.service.writing = 2
        with pytest.raises(openai.InternalServerError, match="2 texts are being written: try again"):
            await client.completions.create(model=f"trained-{CAUSAL}", prompt="a")
        client.service.writing = 1
        await client.completions.create(model=f"trained-{CAUSAL}", prompt="a")

    asked(trained(CAUSAL), work, Settings(writing=2))


def test_a_text_whose_model_was_loaded_again_ends_with_an_error(trained, monkeypatch):
    monkeypatch.setattr("bmtool.serve.writing.BIT", 0.0)

    async def work(client):
        stream = await client.completions.create(
            model=f"trained-{CAUSAL}", prompt="今天", temperature=0, max_tokens=9, stream=True
        )
        with pytest.raises(openai.APIError, match="the model was loaded again while it wrote"):
            assert len([piece async for piece in stream]) < 9

    async def whole():
        async with asking(trained(CAUSAL)) as client:
            writings = client.service.model._served._writings
            monkeypatch.setattr(writings, "_open", _Forgets())
            await work(client)

    asyncio.run(whole())


class _Forgets(dict):
    """Holds what was begun for one look."""

    def __contains__(self, name):
        return False


# --- a server of its own ---


@pytest.fixture(scope="module")
def long(folder):
    """A server of a model that can write for minutes."""
    more = [
        f"data.prepared={folder / 'long-data'}", f"run={folder / 'long'}", "model.context=4096", "train.batch_tokens=4096",
        "train.steps=1",
    ]  # fmt: skip
    with serving(pretrain(config_path(CHAT), more)) as (base, _):
        yield base


def test_nothing_more_is_written_for_whoever_has_gone(long):
    with openai.OpenAI(base_url=f"{long}/v1", api_key="none", max_retries=0) as client:
        stream = client.completions.create(
            model="long", prompt="今天", temperature=0, n=16, max_tokens=4000, stream=True
        )
        assert next(iter(stream)).choices[0].index == 0
        assert _writing(long) == 1
        # While it writes, others have their turns.
        assert client.chat.completions.create(model="long", messages=HELLO, max_tokens=3).choices[0].message.content
        assert _writing(long) == 1
        stream.close()
        until = time.monotonic() + 60
        while _writing(long):
            assert time.monotonic() < until
            time.sleep(0.1)


def _writing(base: str) -> float:
    lines = httpx.get(f"{base}/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("bmtool_writing "))


@pytest.mark.slow
def test_a_dialogue_in_a_browser(browser, long):  # noqa: F811
    from playwright.sync_api import expect

    page = open_page(browser, long, viewport={"width": 390, "height": 700})
    page.wait_for_selector("#write-part:not([hidden])")
    page.fill("#prompt", "你好")
    page.keyboard.press("Enter")
    expect(page.locator("#said .coming")).to_contain_text(re.compile(".{6}", re.DOTALL))
    _keep(page, "page-writing")
    page.click("#halt")
    expect(page.locator("#said .coming")).to_have_count(0)
    assert page.inner_text("#said .user") == "你好" and len(page.locator("#said p").last.inner_text()) > 5
    page.fill("#prompt", "长" * 5000)
    page.click("#go")
    page.wait_for_selector("#problem:not([hidden])")
    assert "too many" in page.inner_text("#problem") and page.input_value("#prompt").startswith("长")
    _keep(page, "page-written")
    page.click("#anew")
    expect(page.locator("#said")).to_be_hidden()
    assert [error for error in page.errors if "400" not in error] == []
    page.close()


@pytest.mark.slow
def test_a_text_that_goes_on_in_a_browser(browser, trained):  # noqa: F811
    from playwright.sync_api import expect

    with serving(trained(CAUSAL)) as (base, _):
        page = open_page(browser, base, color_scheme="dark", viewport={"width": 900, "height": 700})
        page.wait_for_selector("#write-part:not([hidden])")
        page.fill("#prompt", "今天天气")
        page.click("#go")
        expect(page.locator("#said p:not(.coming)")).to_have_count(1)
        assert page.inner_text("#said .given") == "今天天气" and len(page.inner_text("#said p")) > 4
        _keep(page, "page-goes-on")
        assert page.errors == []
        page.close()
