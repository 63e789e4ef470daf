"""What runs of earlier versions call otherwise. Applied when a run is opened; its files change only where its training goes on.

Old names of keys of a configuration are read by the sections that have them; a figure that was renamed is listed here.
"""

from collections.abc import Mapping
from typing import Any

FORMAT = 3  # of run.json and of a checkpoint's manifest
READS = (1, 2, 3)

# (task, kind of model) -> validation figure as it was called until format 1 -> as it is called now. An old name never comes back.
_TOKENS = {"accuracy": "token_accuracy", "loss": "token_loss"}
FIGURES = {
    ("pinyin2hanzi", "tagger"): {"accuracy": "network_accuracy"},
    ("pinyin2hanzi", "transformer"): _TOKENS,
    ("pinyin2hanzi", "rnn"): _TOKENS,
}
# What run.json did not say then.
UNKNOWN = {"prepared": None, "fingerprint": None, "best": None, "ended": None}

Names = dict[str, str]


def renamed(config: dict[str, Any]) -> Names:
    """The figures that have another name now, of a run with this configuration."""
    return FIGURES.get((config["task"], config.get("model", {}).get("kind")), {})


def figures(values: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Figures, or the `valid/` figures of an event, by the names of today."""
    new = {f"{prefix}{old}": f"{prefix}{name}" for prefix in ("", "valid/") for old, name in names.items()}
    return {new.get(key, key): value for key, value in values.items()}


def info(old: Mapping[str, Any]) -> dict[str, Any]:
    """With what it does not say after what it says: a file that is written again keeps its order."""
    return dict(old) | {key: value for key, value in UNKNOWN.items() if key not in old}


def manifest(old: Mapping[str, Any], names: Names) -> dict[str, Any]:
    return dict(old) | {"metrics": figures(old["metrics"], names)}


def state(old: dict[str, Any], elapsed_s: dict[str, float] | None, names: Names) -> dict[str, Any]:
    """With the times of its manifest. Until format 2 times stood in the state, and the ranking was made of the checkpoints there were."""
    new = (
        {"window": None, "recent": None, "onward": [], "processes": None}
        | old
        | {"metrics": figures(old.get("metrics", {}), names)}
    )
    if elapsed_s is None:
        window = (new["window"] or {}).pop("elapsed_s", 0.0)
        elapsed_s = {"training": old.get("elapsed_s", 0.0), "window": window}
    if "ranking" not in old:
        new["ranking"] = {"value": old.get("best_value"), "waited": old.get("waited", 0), "ranked": None}
    return new | {"elapsed_s": elapsed_s}
