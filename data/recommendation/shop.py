"""Writes the made-up shop beside it (orders.csv, items.csv): nobody ever bought any of it. The same bytes every time.

Two things are planted, so that it can be told whether a model finds them: everybody has one hobby, rarely two, and buys nine of ten things
for it; and of a hobby things are bought in an order, each often followed by the one behind it in ITEMS. Stars say how much a thing was
liked: those of one's first hobby most.
"""

import csv
import random
from datetime import datetime, timedelta
from pathlib import Path

ITEMS = {
    "baking": "mixing bowl|flour|yeast|dough scraper|proofing basket|bread tin|oven thermometer|baking stone|cooling rack|bread knife|"
    "cake ring|piping bag",
    "gardening": "seed tray|potting soil|tomato seeds|watering can|plant labels|trowel|bean poles|garden twine|pruning shears|compost bin|"
    "rain gauge|frost fleece",
    "photography": "camera body|memory card|camera strap|prime lens|lens cloth|tripod|polarising filter|camera bag|flash|light stand|"
    "softbox|photo printer",
    "fishing": "fishing rod|reel|line|hooks|float set|tackle box|landing net|waders|lure set|fish scale|folding stool|smoker box",
    "painting": "sketch pad|graphite pencils|eraser|watercolour set|round brush|flat brush|palette|stretched canvas|oil colours|"
    "linseed oil|easel|varnish",
    "cycling": "bicycle|helmet|bicycle lock|lights|mudguards|pump|inner tube|tyre levers|chain oil|panniers|bicycle computer|rain cape",
}  # fmt: skip
USERS, ORDERS = 300, (6, 18)
HOBBY, FOLLOWS = 0.9, 0.6  # of the orders: for a hobby of one's own; of these, what comes behind the last
BEGIN = datetime(2024, 1, 1, 8)


def write(folder: Path) -> None:
    draw = random.Random(7)
    items = [
        (f"{hobby[:2].upper()}{place:02}", title, hobby)
        for hobby, titles in ITEMS.items()
        for place, title in enumerate(titles.split("|"), 1)
    ]
    with (folder / "items.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("item", "title", "hobby"), *items])
    rows = [row for user in range(1, USERS + 1) for row in _orders(f"user {user}", items, draw)]
    with (folder / "orders.csv").open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows([("user", "item", "stars", "time"), *rows])


def _orders(user: str, items: list[tuple[str, str, str]], draw: random.Random) -> list[tuple[str, str, int, str]]:
    own = draw.sample(list(ITEMS), 2 if draw.random() < 0.2 else 1)
    when, last, rows, taken = BEGIN + timedelta(hours=draw.randrange(24 * 300)), -1, [], set()
    for _ in range(draw.randint(*ORDERS)):
        place = _next(items, own, last, draw)
        if place in taken:
            continue
        taken.add(place)
        when += timedelta(hours=draw.randrange(2, 24 * 9), minutes=draw.randrange(60))
        liked = 5 if items[place][2] == own[0] else 4 if items[place][2] in own else 2
        stars = min(5, max(1, liked - place % 3 // 2 + draw.choice((-1, 0, 0, 0, 1))))
        rows.append((user, items[place][0], stars, when.isoformat()))
        last = place
    return rows


def _next(items: list[tuple[str, str, str]], own: list[str], last: int, draw: random.Random) -> int:
    if draw.random() >= HOBBY:
        return draw.randrange(len(items))
    follows = last >= 0 and items[last][2] in own and draw.random() < FOLLOWS
    if follows and last + 1 < len(items) and items[last + 1][2] == items[last][2]:
        return last + 1
    mine = [place for place, (_, _, hobby) in enumerate(items) if hobby in own]
    # What comes first in a list is bought more often.
    return min(draw.choice(mine), draw.choice(mine))


if __name__ == "__main__":
    write(Path(__file__).parent)
