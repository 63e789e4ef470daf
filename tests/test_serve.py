"""The server: the same answers as the command line, limits that hold, a life without dropped requests, and the page in a real browser."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from conftest import ROOT
from test_cli import fails, imported_by
from test_image_tasks import CNN, digits, picture  # noqa: F401  fixtures

from bmtool.serve.batcher import Batcher, Busy, Limits

LINES = ["jin tian tian qi hen hao", "zhongguorenmin", "ta mai le 3 ge iPhone", "", "xi'an", "lüyou 2024", "a" * 300]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@contextlib.contextmanager
def serving(*arguments: object):
    """A server in a process of its own: (base address, process)."""
    port = free_port()
    command = [sys.executable, "-m", "bmtool", "serve", *map(str, arguments), "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
    reader.start()
    process.lines = lines
    base = f"http://127.0.0.1:{port}"
    try:
        for _ in range(150):
            try:
                if httpx.get(f"{base}/ready").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.2)
        yield base, process
    finally:
        process.terminate()
        process.wait(20)
        reader.join()
        process.stderr.close()


@pytest.fixture(scope="module")
def server():
    with serving("default", "--queue", 64) as (base, _):
        yield base


@pytest.fixture(scope="module")
def client(server):
    with httpx.Client(base_url=server, timeout=30) as held:
        yield held


# --- the same answers everywhere ---


def test_server_and_command_line_agree(client, invoke):
    said = [json.loads(line) for line in invoke("translate", "--json", "--n-best", 3, *LINES).stdout.splitlines()]
    asked = {"text": LINES, "n_best": 3, "alternatives": True}
    assert client.post("/v1/translate", json=asked).json()["answers"] == said
    one = client.post("/v1/translate", json=asked | {"text": LINES[0]}).json()
    assert one == said[0]
    streamed = client.post("/v1/translate/stream", content="\n".join(LINES[:3])).text.splitlines()
    assert [json.loads(line)["text"] for line in streamed] == [value["text"] for value in said[:3]]
    predicted = client.post("/v1/predict", json={"text": LINES[0], "top": 3}).json()
    assert predicted["n_best"] == said[0]["n_best"]


def test_options_are_those_of_the_command_line(client, invoke):
    for options, arguments in (
        ({"context": "她在动物园看见一条", "text": "she"}, ["--context", "她在动物园看见一条", "she"]),
        ({"initials": True, "text": "bjdx"}, ["--initials", "bjdx"]),
        ({"fuzzy": ["all"], "text": "wo si xuesen"}, ["--fuzzy", "all", "wo si xuesen"]),
        ({"traditional": True, "text": "women de toufa"}, ["--traditional", "women de toufa"]),
    ):
        assert (
            client.post("/v1/translate", json=options).json()["text"] == invoke("translate", *arguments).stdout.strip()
        )


def test_an_answer_does_not_depend_on_its_neighbours(client):
    """Requests at the same time are gathered into one run of the model; alone they give the same."""
    lines = [
        f"{a} {b} {c}" for a in ("wo", "ni", "ta") for b in ("zai", "mai", "kan") for c in ("shu", "che", "fang zi")
    ]
    alone = [client.post("/v1/translate", json={"text": line}).json() for line in lines]
    with ThreadPoolExecutor(len(lines)) as pool:
        together = list(pool.map(lambda line: client.post("/v1/translate", json={"text": line}).json(), lines))
    assert [value["text"] for value in together] == [value["text"] for value in alone]
    for ours, theirs in zip(together, alone):
        assert ours["confidence"] == pytest.approx(theirs["confidence"], abs=1e-4)
    counts = {}
    for line in client.get("/metrics").text.splitlines():
        name, _, value = line.rpartition(" ")
        counts[name] = value
    assert float(counts["bmtool_batch_size_sum"]) > float(counts["bmtool_batch_size_count"])


def test_images_through_form_and_base64(exported, picture, invoke):  # noqa: F811
    said = json.loads(invoke("predict", exported(CNN), picture, "--json", "--top", 3).stdout)
    with serving(exported(CNN)) as (base, _):
        upload = httpx.post(f"{base}/v1/predict", files={"image": picture.read_bytes()}, data={"top": "3"})
        encoded = base64.b64encode(picture.read_bytes()).decode()
        text = httpx.post(f"{base}/v1/predict", json={"image": f"data:image/png;base64,{encoded}", "top": 3})
        many = httpx.post(f"{base}/v1/predict", json={"image": [encoded, encoded], "top": 3})
        assert upload.json() == text.json() == many.json()["answers"][1]
        assert upload.json()["label"] == said["label"]
        assert upload.json()["classes"][0]["probability"] == pytest.approx(said["classes"][0]["probability"], abs=1e-5)
        about = httpx.get(f"{base}/v1/model").json()
        assert about["takes"] == "image" and len(about["labels"]) == 10
        for sent, status, words in (
            ({"files": {"image": b"text"}}, 422, "no image"),
            ({"files": {"other": b"x"}}, 422, "form field"),
            ({"json": {"image": "!!"}}, 422, "not base64"),
            ({"json": {"text": "ni hao"}}, 422, "send `image`"),
            ({"json": {"image": [encoded] * 17}}, 422, "16 images"),
            ({"files": {"image": bomb()}}, 422, "million pixels"),
        ):
            answer = httpx.post(f"{base}/v1/predict", **sent)
            assert answer.status_code == status and words in answer.json()["detail"], answer.text
        assert httpx.post(f"{base}/v1/translate", json={"text": "ni"}).status_code == 404


def bomb() -> bytes:
    from test_images import bomb as make

    return make()


def test_serving_an_exported_model_needs_no_torch(exported):
    code = "import bmtool.serve.app, bmtool.serve.model; bmtool.serve.model.Served.load('default', print)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print([m for m in ('torch', 'onnx', 'matplotlib') if m in sys.modules])"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert "fastapi" not in imported_by("translate", "ni hao")


def test_model_page_and_schema(client):
    about = client.get("/v1/model").json()
    assert about["task"] == "pinyin2hanzi" and about["hanzi"] > 6000 and "# pinyin2hanzi" in about["card"]
    assert client.get("/health").json() == {"status": "ok"}
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/v1/translate", "/v1/predict", "/v1/model"} <= set(paths)
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "http://" not in page.text.replace("http://127.0.0.1", "") and "https://" not in page.text
    for name in ("x-content-type-options", "x-frame-options", "referrer-policy", "x-request-id"):
        assert page.headers[name]
    assert client.get("/health", headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"


# --- refusals ---


@pytest.mark.parametrize("body, status, words", [
    (b"{", 422, "no JSON"),
    (b"\xff\xfe", 422, "not UTF-8"),
    (b'{"text": 3}', 422, "schema"),
    (b'{"text": "ni", "more": 1}', 422, "schema"),
    (b'{"text": "ni", "n_best": 0}', 422, "schema"),
    (b'{"text": "ni", "n_best": 21}', 422, "at most 20"),
    (b'{"text": []}', 422, "1 to 256 lines"),
    (json.dumps({"text": ["ni"] * 257}).encode(), 422, "1 to 256 lines"),
    (json.dumps({"text": "a" * 2001}).encode(), 422, "2,000 characters"),
    (b'{"text": "\\ud800"}', 422, ""),
    (b'{"text": "ni", "fuzzy": ["q/x"]}', 422, "unknown fuzzy sound"),
    (b"[" * 200_000, 413, "100,000 values"),
    (b'{"text": ' + b"[" * 90_000, 422, "nested too deeply"),
    (b'{"text": [' + b"1," * 999_999 + b"1]}", 413, "100,000 values"),
    (b'{"text": [' + b"1," * 99_000 + b"1]}", 422, "1 to 256 lines, this one has 99,001"),
    (b'{"text": [' + b"1," * 255 + b"1]}", 422, "schema"),
    (b'{"text": "ni", "fuzzy": [' + b"1," * 90_000 + b"1]}", 422, "at most 64 values"),
    (b'{"text": "ni"' + b"".join(b',"a%d": 1' % n for n in range(90_000)) + b"}", 422, "64 fields"),
    (b'{"text": "ni", "top": ' + b"9" * 5_000 + b"}", 422, "5,000 digits"),
    (b'{"text": "ni", "top": NaN}', 422, "NaN"),
    (b'{"text": "ni", "top": -Infinity}', 422, "Infinity"),
    (b'{"text": "ni", "top": 1e999}', 422, "too large"),
    (b'{"text": "ni", "text": "hao"}', 422, "comes twice"),
    (b'["ni"]', 422, "no JSON object"),
    (json.dumps({"text": ["a" * 2000] * 21}).encode(), 413, "40,000 letters"),
    (json.dumps({"text": ["b j d x " * 10] * 20, "initials": True}).encode(), 413, "32 times"),
    (b'{"text": "ni", "context": "' + b"x" * 3000 + b'"}', 422, "context is longer"),
])  # fmt: skip
def test_bad_requests_are_problems(client, body, status, words):
    answer = client.post("/v1/translate", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    value = answer.json()
    assert (
        value["status"] == status
        and words in value["detail"]
        and "Traceback" not in answer.text
        and str(ROOT) not in answer.text
    )


def test_the_wrong_path_or_method_is_a_problem(client):
    assert client.get("/nothing").json()["status"] == 404
    assert client.get("/v1/translate").json()["status"] == 405
    assert client.post("/v1/reload").json()["status"] == 403
    assert client.post("/v1/translate/stream", content=b"\xff\n").json()["status"] == 400


@pytest.mark.slow
def test_bodies_that_are_too_long_or_too_slow(server, client):
    assert client.post("/v1/translate", content=b"x" * 9_000_000).status_code == 413

    def endless():
        for _ in range(200):
            yield b"x" * 100_000

    with contextlib.suppress(httpx.WriteError):  # the server may say no and hang up before all is sent
        assert client.post("/v1/translate", content=endless()).status_code == 413
    host, port = server.removeprefix("http://").split(":")
    silent = [socket.create_connection((host, int(port))) for _ in range(2)]
    silent[1].sendall(b"GET /health HTTP/1.1\r\nHo")  # no whole head of a request
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        slow.settimeout(15)
        assert b" 408 " in slow.recv(200)
    for one in silent:
        with one:
            one.settimeout(15)
            assert one.recv(200) == b""
    assert client.get("/health").status_code == 200


def test_many_idle_connections_do_no_harm(server, client):
    host, port = server.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(300)]
    for connection in held[:150]:
        connection.sendall(b"GET / HTTP/1.1\r\nHo")
    assert client.post("/v1/translate", json={"text": "ni hao"}).json()["text"] == "你好"
    for connection in held:
        connection.close()


def test_a_full_queue_is_refused_at_once(client):
    with ThreadPoolExecutor(24) as pool:
        lines = ["women " * 60] * 40
        answers = list(pool.map(lambda _: client.post("/v1/translate", json={"text": lines}), range(24)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused and all(answer.headers["retry-after"] == "1" for answer in refused)
    assert {answer.status_code for answer in answers} <= {200, 503}
    assert client.post("/v1/translate", json={"text": "ni hao"}).status_code == 200


def test_batches_hold_equal_options_and_are_bounded():
    seen: list[tuple[str, int]] = []

    def run(options, inputs):
        seen.append((options, len(inputs)))
        time.sleep(0.02)
        if "bad" in inputs:
            raise ValueError("bad")
        return [f"{options}{item}" for item in inputs]

    async def scenario():
        batcher = Batcher(run, Limits(batch=4, cost=100, wait_ms=20, queue=6), lambda size: None)

        def ask(inputs, options):
            return batcher.ask(inputs, options, costs=[1] * len(inputs))

        first = await asyncio.gather(*(ask([number], "a" if number < 4 else "b") for number in range(6)))
        assert first == [[f"a{n}"] if n < 4 else [f"b{n}"] for n in range(6)]
        assert ("a", 4) in seen and ("b", 2) in seen
        waiting = [asyncio.ensure_future(ask([n, n, n], "a")) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await ask([9], "a")
        await asyncio.gather(*waiting)
        with pytest.raises(ValueError):
            await ask(["bad"], "a")
        assert await ask([1], "a") == ["a1"] and batcher.waiting == 0
        gone = asyncio.ensure_future(ask([5], "c"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0.1)
        assert all(options != "c" for options, _ in seen)
        batcher.close()

    asyncio.run(scenario())


# --- keys, life, logs ---


def test_other_addresses_need_a_key(invoke, tmp_path):
    fails(invoke("serve", "--host", "0.0.0.0"), 2, "--api-key", "--open")
    (tmp_path / "broken.onnx").write_bytes(b"x")
    fails(invoke("serve", tmp_path / "broken.onnx"), 4, "broken.onnx")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = subprocess.run(
            [sys.executable, "-m", "bmtool", "serve", "--port", str(taken.getsockname()[1])],
            capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 6 and "--port" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_keys_reload_logs_and_an_end_that_finishes_what_runs(tmp_path):
    from bmtool.commands.loading import PRETRAINED

    for path in (PRETRAINED / "pinyin2hanzi").iterdir():
        shutil.copy(path, tmp_path)
    model = tmp_path / "model.onnx"
    with serving(model, "--api-key", "secret") as (base, process), contextlib.ExitStack() as open_ones:
        assert httpx.get(f"{base}/health").status_code == 200
        assert httpx.post(f"{base}/v1/translate", json={"text": "ni hao"}).status_code == 401
        assert httpx.get(f"{base}/v1/model", headers={"x-api-key": "secreT"}).status_code == 401
        keyed = open_ones.enter_context(
            httpx.Client(base_url=base, headers={"authorization": "Bearer secret"}, timeout=30)
        )
        assert keyed.post("/v1/translate", json={"text": "ni hao"}).json()["text"] == "你好"
        failures: list[int] = []
        stop = threading.Event()

        def load():
            with httpx.Client(base_url=base, headers={"x-api-key": "secret"}, timeout=30) as mine:
                while not stop.is_set():
                    failures.append(mine.post("/v1/translate", json={"text": "women qu gongyuan"}).status_code)

        threads = [threading.Thread(target=load) for _ in range(3)]
        [thread.start() for thread in threads]
        assert keyed.post("/v1/reload").json()["task"] == "pinyin2hanzi"
        process.send_signal(signal.SIGHUP)
        time.sleep(1.5)
        stop.set()
        [thread.join() for thread in threads]
        assert len(failures) > 3 and set(failures) == {200}
        model.write_bytes(b"broken")
        assert keyed.post("/v1/reload").status_code == 422
        assert keyed.post("/v1/translate", json={"text": "ni hao"}).status_code == 200
        with ThreadPoolExecutor(1) as pool:
            long = pool.submit(
                keyed.post, "/v1/translate", json={"text": ["women yiqi qu gongyuan sanbu ba " * 8] * 60}
            )
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            assert long.result().status_code == 200
        assert process.wait(20) == 0
    log = [json.loads(line) for line in process.lines[1:] if line.startswith("{")]
    assert any(line.get("path") == "/v1/translate" and line["status"] == 401 for line in log)
    everything = "".join(process.lines)
    assert "gongyuan" not in everything and "secret" not in everything and "公园" not in everything


@pytest.mark.slow
def test_a_model_that_dies_is_started_again(exported, picture, tmp_path):  # noqa: F811
    model = tmp_path / "model.onnx"
    shutil.copy(exported(CNN), model)
    with serving(model, "--api-key", "k") as (base, process), httpx.Client(timeout=30) as client:
        client.base_url, client.headers["x-api-key"] = base, "k"

        def ask() -> httpx.Response:
            return client.post("/v1/predict", files={"image": picture.read_bytes()})

        before = ask().json()
        os.kill(model_of(process), signal.SIGKILL)
        refused = ask()
        assert refused.status_code == 503 and refused.headers["retry-after"] == "2" and "starts again" in refused.text
        assert client.get("/ready").status_code == 503 and client.get("/health").status_code == 200
        within(20, lambda: client.get("/ready").status_code == 200)
        assert ask().json() == before
        shutil.copy(ROOT / "bmtool/pretrained/pinyin2hanzi/model.onnx", model)
        for table in (ROOT / "bmtool/pretrained/pinyin2hanzi").glob("*.safetensors"):
            shutil.copy(table, tmp_path)
        other = client.post("/v1/reload")
        assert other.status_code == 422 and "pinyin2hanzi" in other.json()["detail"]
        assert ask().json() == before
        child = model_of(process)
        process.kill()
        within(10, lambda: not os.path.exists(f"/proc/{child}"))


def test_a_second_signal_ends_at_once():
    with serving("default") as (base, process), ThreadPoolExecutor(1) as pool:
        long = pool.submit(
            httpx.post, f"{base}/v1/translate", json={"text": ["women yiqi qu gongyuan " * 20] * 80}, timeout=60
        )
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(4) == 130
        with contextlib.suppress(httpx.TransportError):
            assert long.result().status_code == 500
    assert process.lines[-1] == "bmtool: a second signal came: what ran was not finished\n"


def model_of(process: subprocess.Popen) -> int:
    """The number of the process that holds a server's model."""
    children = [c for file in Path(f"/proc/{process.pid}/task").glob("*/children") for c in file.read_text().split()]
    return next(int(c) for c in children if b"spawn_main" in Path(f"/proc/{c}/cmdline").read_bytes())


def within(seconds: float, holds) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


# --- the page ---


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync"]  # fmt: skip
    with playwright.sync_playwright() as held:
        made = held.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield made
        made.close()


def open_page(browser, base: str, **options):
    page = browser.new_page(locale="en-US", **options)
    page.errors = []
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.on("console", lambda message: page.errors.append(message.text) if message.type == "error" else None)
    page.goto(base)
    return page


@pytest.mark.slow
def test_typing_in_a_browser(browser, server, client, invoke):
    from playwright.sync_api import expect

    page = open_page(browser, server, viewport={"width": 390, "height": 700})
    page.type("#pinyin", "jintian tianqi henhao")
    expect(page.locator("#written")).to_have_attribute("data-live", "今天天气很好")
    shown = [text[1:] for text in page.locator("#candidates li").all_inner_texts()]
    said = client.post("/v1/translate", json={"text": "jintian tianqi henhao", "n_best": 9}).json()
    assert [text.strip() for text in shown] == [way["text"] for way in said["n_best"]]
    assert said["text"] == invoke("translate", "jintian tianqi henhao").stdout.strip()
    _keep(page, "page-phone")
    page.keyboard.press("1")
    assert page.inner_text("#written").strip() == said["text"]
    page.type("#pinyin", "women")
    page.wait_for_selector("#candidates button")
    page.keyboard.press("Enter")
    assert page.inner_text("#written").strip() == said["text"] + "我们"
    page.keyboard.press("Backspace")
    assert page.inner_text("#written").strip() == said["text"]
    page.click("#tab-lines")
    page.fill("#many", "ni hao\nzaijian")
    page.click("#convert")
    expect(page.locator("#answers")).to_have_value("你好\n再见")
    page.fill("#many", "a" * 2001)
    page.click("#convert")
    page.wait_for_selector("#problem:not([hidden])")
    assert "2,000 characters" in page.inner_text("#problem")
    page.click("#card-part summary")
    assert page.locator("#card tr").count() > 20 and "license:" not in page.inner_text("#card")
    _keep(page, "page-card")
    page.click("#language")
    assert page.inner_text("#tab-type") == "边输边看" and page.inner_text("#card-part summary") == "关于这个模型"
    assert [error for error in page.errors if "422" not in error] == []
    page.close()


@pytest.mark.slow
def test_a_picture_in_a_browser(browser, exported, picture, tmp_path):  # noqa: F811
    from playwright.sync_api import expect

    with serving(exported(CNN), "--api-key", "k") as (base, process):
        page = open_page(browser, base, color_scheme="dark", viewport={"width": 900, "height": 800})
        page.wait_for_selector("#key:not([hidden])")
        page.fill("#secret", "k")
        page.keyboard.press("Enter")
        page.wait_for_selector("#image-part:not([hidden])")
        page.set_input_files("#file", str(picture))
        page.wait_for_selector(".bar")
        answer = httpx.post(
            f"{base}/v1/predict", files={"image": picture.read_bytes()}, headers={"x-api-key": "k"}
        ).json()
        assert page.locator(".bar span").first.inner_text() == answer["label"]
        assert page.locator(".bar").count() == 5 or page.locator(".bar").count() == 8
        page.click("#card-part summary")
        expect(page.locator("#card h3").first).to_have_text(exported(CNN).parent.parent.name)
        expect(page.locator("#card table")).to_have_count(0)  # it was exported before it was measured
        _keep(page, "page-image")
        (tmp_path / "bad.png").write_text("text")
        page.set_input_files("#file", str(tmp_path / "bad.png"))
        page.wait_for_selector("#problem:not([hidden])")
        assert "no image" in page.inner_text("#problem")
        process.terminate()
        process.wait(20)
        page.set_input_files("#file", str(picture))
        expect(page.locator("#problem")).to_contain_text("cannot reach")
        page.close()


@pytest.mark.slow
def test_a_basket_in_a_browser(browser, exported):
    from playwright.sync_api import expect

    with serving(exported("recommendation")) as (base, _):
        page = open_page(browser, base, viewport={"width": 820, "height": 760})
        page.wait_for_selector("#basket-part:not([hidden])")
        page.fill("#search", "mixing bowl")
        page.fill("#search", "flour")
        expect(page.locator("#basket li")).to_have_text(["mixing bowl", "flour"])
        page.click("#basket-part button:not([type=button])")
        expect(page.locator("#answer li").first).to_contain_text("yeast")
        expect(page.locator("#answer li").first).to_contain_text("because of flour")
        answer = httpx.post(f"{base}/v1/predict", json={"record": {"history": ["BA01", "BA02"]}}).json()
        assert page.locator("#answer li .bar span:first-child").all_inner_texts() == [
            one["title"] for one in answer["items"]
        ]
        _keep(page, "basket")
        page.click("#basket button >> nth=1")
        expect(page.locator("#basket li")).to_have_text(["mixing bowl"])
        assert page.errors == []
        page.close()


def _keep(page, name: str) -> None:
    """Screenshots go where BMTOOL_SCREENSHOTS says, to be looked at."""
    if folder := os.environ.get("BMTOOL_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png")


# --- what ships ---


@pytest.mark.slow
def test_the_steps_of_the_container_in_a_bare_environment(tmp_path):
    """The Dockerfile runs the same script; no PyTorch gets in."""
    environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable, "HOME": str(tmp_path)}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    subprocess.run([ROOT / ".ci" / "install-server", tmp_path / "venv"], check=True, env=environment, cwd=tmp_path)
    assert not list((tmp_path / "venv").glob("lib/python*/site-packages/torch"))
    port = free_port()
    command = [tmp_path / "venv" / "bin" / "bmtool", "serve", "--host", "0.0.0.0", "--port", str(port)]
    process = subprocess.Popen(
        command, env=environment | {"BMTOOL_API_KEY": "k"}, cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(100):
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/v1/translate", json={"text": "ni hao"}, headers={"x-api-key": "k"}
                )
                break
            time.sleep(0.2)
        assert answer.json()["text"] == "你好"
    finally:
        process.terminate()
        assert process.wait(20) == 0


def test_the_container_runs_what_the_test_runs():
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    assert (
        "RUN .ci/install-server /opt/bmtool" in dockerfile
        and "USER 10001" in dockerfile
        and "HEALTHCHECK" in dockerfile
    )
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    for copied in ("pyproject.toml", "README.md", "bmtool", ".ci/install-server"):
        assert f"!{copied}" in ignored
