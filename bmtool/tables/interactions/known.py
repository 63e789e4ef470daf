"""What a model knows of items and users beside its weights: ids, titles, words, how often items were taken, and who took what.

It is kept in a run's assets and packed into an export, so that either answers in raw ids and with reasons, without the prepared data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from bmtool.measure.topn import Items, Words
from bmtool.predict.assets import Assets, Folder, arrays
from bmtool.tables.interactions.content import weigh
from bmtool.tables.interactions.names import UNKNOWN, Names, Texts
from bmtool.tables.interactions.store import Interactions

ITEMS, USERS = "items.safetensors", "users.safetensors"


@dataclass(frozen=True)
class Known:
    """`taken` int [items]: how often each was, in training. The items of user u are `history[bounds[u] : bounds[u + 1]]`, the earliest
    first."""

    items: Names
    titles: Texts | None
    words: Words | None
    # what `words.numbers` are
    terms: Texts | None
    taken: np.ndarray
    users: Names
    bounds: np.ndarray
    history: np.ndarray

    @classmethod
    def of(cls, held: Interactions) -> "Known":
        """Of training, whose rows and those of the validation are what is known of users."""
        content = weigh(held.content.every()) if held.content is not None else None
        words, terms = (None, None) if content is None else (content[0], Texts.of(content[1]))
        history = held.history("test")
        taken = held.split("train").popularity(len(held.items))
        return cls(held.items, held.titles, words, terms, taken, held.users, history.bounds, history.items)

    @classmethod
    def read(cls, assets: Assets) -> "Known":
        """From what `files` gave."""
        items, users = arrays(assets, ITEMS), arrays(assets, USERS)
        words = Words(*(items[f"words.{part}"] for part in Words._fields)) if "words.bounds" in items else None
        return cls(
            Names.read(items), _texts(items, "titles"), words, _texts(items, "terms"), items["taken"], Names.read(users),
            users["history.bounds"], users["history.items"],
        )  # fmt: skip

    @classmethod
    def open(cls, folder: Path) -> "Known":
        return cls.read(Folder(folder))

    def files(self) -> dict[str, bytes]:
        items = self.items.arrays() | {"taken": self.taken.astype(np.int64)}
        for name, texts in (("titles", self.titles), ("terms", self.terms)):
            items |= {} if texts is None else {f"{name}.bounds": texts.bounds, f"{name}.text": texts.text}
        if self.words is not None:
            items |= {f"words.{part}": values for part, values in self.words._asdict().items()}
        users = self.users.arrays() | {"history.bounds": self.bounds, "history.items": self.history}
        return {ITEMS: _saved(items), USERS: _saved(users)}

    # --- asked for ---

    def title(self, item: int) -> str:
        return self._titles[item] if self._titles else self.items[item]

    @cached_property
    def _titles(self) -> list[str]:
        return self.titles.every() if self.titles is not None else []

    def of_user(self, user: str) -> np.ndarray | None:
        """The items of a user, int32; None for one who is not known."""
        number = int(self.users.numbers([user])[0])
        return None if number == UNKNOWN else self.history[self.bounds[number] : self.bounds[number + 1]]

    def measured(self) -> Items:
        """As a meter takes them."""
        return Items(self.taken, len(self.users), self.words)

    def alike(self, items: np.ndarray) -> np.ndarray:
        """float32 [items]: the cosines of what is written about all items with what is written about some, added up."""
        if self.words is None:
            return np.zeros(len(self.items), np.float32)
        bounds, numbers, weights = self.words
        profile = np.zeros(int(numbers.max(initial=-1)) + 1, np.float32)
        for item in items.tolist():
            part = slice(bounds[item], bounds[item + 1])
            np.add.at(profile, numbers[part], weights[part])
        products = np.append(np.cumsum(weights * profile[numbers], dtype=np.float64), 0.0)
        return (products[bounds[1:] - 1] - products[bounds[:-1] - 1]).astype(np.float32)


def _texts(held: Mapping[str, np.ndarray], name: str) -> Texts | None:
    return Texts(held[f"{name}.bounds"], held[f"{name}.text"]) if f"{name}.bounds" in held else None


def _saved(held: Mapping[str, np.ndarray]) -> bytes:
    return save({name: np.ascontiguousarray(values) for name, values in held.items()})
