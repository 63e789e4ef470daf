"""How long a newcomer takes, in an empty folder, from data of one's own to a model that is served; installing excluded.

python benchmarks/first_success.py                   200 sentences, then 90 photos; a table of seconds
python benchmarks/first_success.py photos --steps 60 one of them, with a shorter training

Only the first command is known. Each one after it is what the last line of the one before names; a line that names none ends the script.
Photos take the network that `bmtool init image-classification` asks to install.
"""

import argparse
import itertools
import os
import random
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# The last line of a command; that of an export names two, of which one is for questions.
NEXT = re.compile(r"next: (?P<next>bmtool [^(]+?)(?: \(.*\), or (?P<ask>bmtool predict .+) INPUT\.\.\.)?$")
PHOTO = (320, 240)
MINUTES = 5
COLOURS = {"sky": (90, 150, 220), "meadow": (80, 150, 60), "desert": (210, 170, 110)}


@dataclass(frozen=True)
class Kind:
    """What a newcomer has, how to begin with it, and something to ask."""

    make: Callable[[Path], None]
    begin: str
    ask: str


@dataclass(frozen=True)
class Step:
    command: str
    seconds: float


def sentences(folder: Path) -> None:
    """200 sentences, a line each."""
    who = ("我", "她", "老师", "我的朋友", "邻居家的孩子")
    when = ("今天早上", "昨天晚上", "周末", "下班以后", "明年春天")
    where = ("在公园里", "在图书馆", "在河边", "在学校门口")
    what = ("看见了一只白色的小鸟", "和大家一起唱歌", "慢慢地读完了那本书", "买了两张去北京的火车票")
    every = [f"{w}{t}{p}{d}。" for w, t, p, d in itertools.product(who, when, where, what)]
    (folder / "mine.txt").write_text("\n".join(random.Random(1).sample(every, 200)) + "\n", encoding="utf-8")


def photos(folder: Path) -> None:
    """90 photos in three class folders: a plain of a colour under noise and light, with things on it."""
    for name, colour in COLOURS.items():
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(30):
            photo(colour, random.Random(f"{name} {number}"), folder / "photos" / name / f"{number:02}.jpg")


def photo(colour: tuple[int, ...], chance: random.Random, path: Path) -> None:
    from PIL import Image, ImageDraw

    noise = Image.effect_noise(PHOTO, 60).convert("RGB")
    light = tuple(max(0, min(255, value + chance.randint(-30, 30))) for value in colour)
    image = Image.blend(Image.new("RGB", PHOTO, light), noise, 0.3)
    draw = ImageDraw.Draw(image)
    for _ in range(chance.randint(2, 6)):
        x, y, size = chance.randrange(PHOTO[0]), chance.randrange(PHOTO[1]), chance.randint(8, 40)
        draw.ellipse((x, y, x + size, y + size), fill=tuple(chance.randrange(256) for _ in range(3)))
    image.save(path)


KINDS = {
    "text": Kind(sentences, "bmtool init pinyin2hanzi --data mine.txt", "ta zai gong yuan li chang ge"),
    "photos": Kind(photos, "bmtool init image-classification --data photos", "photos/desert/00.jpg"),
}


def walk(kind: Kind, folder: Path, steps: int = 0) -> Iterator[Step]:
    """From the first command to an answer of the server. `steps`: of the training, if it is to be shorter. SystemExit at a dead end."""
    kind.make(folder)
    found = NEXT.search(f"next: {kind.begin}")
    while found and " serve " not in found["next"]:
        step, said = timed(found["next"], folder)
        yield step
        if steps:
            shorten(folder, steps)
        found = NEXT.search(said.splitlines()[-1])
    if not found or not found["ask"]:
        sys.exit(f"a dead end: {said.splitlines()[-1]}")
    yield timed(f"{found['ask']} {shlex.quote(kind.ask)}", folder)[0]
    yield served(found["next"], folder)


def timed(command: str, folder: Path) -> tuple[Step, str]:
    """Run a command; returns its time and what it said on stderr."""
    began = time.perf_counter()
    done = subprocess.run(words(command), cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(f"$ {command}\n{done.stdout}{done.stderr}")
    return Step(command, time.perf_counter() - began), done.stderr


def words(command: str) -> list[str]:
    """As a shell would find it, with the bmtool that is tried here."""
    return [sys.executable, "-m", *shlex.split(command)]


def shorten(folder: Path, steps: int) -> None:
    """Change the configuration that was written, as one does with an editor."""
    [path] = folder.glob("*.yaml")
    text = path.read_text("utf-8")
    for key in ("steps", "validate_every", "save_every"):
        text = re.sub(rf"^  {key}: \d+", f"  {key}: {steps}", text, count=1, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def served(command: str, folder: Path, wait_s: float = 120) -> Step:
    """Start a server, and wait until it is ready to answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.perf_counter()
    with subprocess.Popen([*words(command), "--port", str(port)], cwd=folder, stderr=subprocess.DEVNULL) as server:
        try:
            while not ready(port):
                if server.poll() is not None or time.perf_counter() - began > wait_s:
                    sys.exit(f"$ {command}\nit does not answer")
                time.sleep(0.1)
            return Step(command, time.perf_counter() - began)
        finally:
            server.send_signal(signal.SIGTERM)


def ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def measure(name: str, steps: int) -> None:
    """Print a line for each command of a newcomer's way, and their sum."""
    folder, total = Path(tempfile.mkdtemp()), 0.0
    try:
        for step in walk(KINDS[name], folder, steps):
            total += step.seconds
            print(f"{step.seconds:7.1f} s  {step.command}", flush=True)
    finally:
        shutil.rmtree(folder)
    print(f"{total:7.1f} s  {name} in all: {'under' if total < 60 * MINUTES else 'NOT under'} {MINUTES} minutes\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=[])
    parser.add_argument("--steps", type=int, default=0, help="of the training, in place of the configuration's own")
    given = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before it began")
    for name in given.kinds or KINDS:
        measure(name, given.steps)


if __name__ == "__main__":
    main()
