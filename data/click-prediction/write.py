"""Writes clicks.csv: made-up people of a made-up shop, and whether they took what they were shown. Nothing in it is anybody's.

    python data/click-prediction/write.py

Planted: each person likes one of six styles and each thing has one, and what counts is that both are the same, which neither column says by
itself: a factorization machine finds it, logistic regression cannot. `viewed` is what was taken before, the newest last; it tells the
style to who looks at it beside the thing that is shown. Phones click less, dear things are taken less.
"""

import csv
import math
import random
from datetime import datetime, timedelta, timezone
from pathlib import Path

PEOPLE, THINGS, STYLES, ROWS, VIEWED = 80, 48, 6, 4_000, 6
STYLE_WORDS = ("garden", "kitchen", "desk", "travel", "music", "light")
KINDS = ("lamp", "bag", "chair", "clock", "box", "cup", "case", "shelf")


def main() -> None:
    draw, taken = random.Random(19), dict[int, list[str]]()
    likes = [draw.randrange(STYLES) for _ in range(PEOPLE)]
    price = [round(draw.uniform(3, 60), 2) for _ in range(THINGS)]
    when = datetime(2026, 1, 5, 8, tzinfo=timezone.utc)
    with Path(__file__).with_name("clicks.csv").open("w", encoding="utf-8", newline="") as stream:
        out = csv.writer(stream, lineterminator="\n")
        out.writerow(["time", "user", "item", "title", "price", "device", "viewed", "clicked"])
        for _ in range(ROWS):
            when += timedelta(seconds=draw.randrange(20, 900))
            person, thing, device = (
                draw.randrange(PEOPLE),
                draw.randrange(THINGS),
                draw.choice(["phone", "phone", "computer"]),
            )
            score = (2.0 if likes[person] == thing % STYLES else -2.0) - 0.4 * (device == "phone") - price[thing] / 60
            clicked = draw.random() < 1 / (1 + math.exp(-score))
            title = f"{STYLE_WORDS[thing % STYLES]} {KINDS[thing // STYLES]}"
            before = taken.setdefault(person, [])
            row = [when.strftime("%Y-%m-%dT%H:%M:%SZ"), f"u{person}", f"i{thing}", title, price[thing], device]
            out.writerow([*row, "|".join(before[-VIEWED:]), int(clicked)])
            before += [f"i{thing}"] * clicked


if __name__ == "__main__":
    main()
