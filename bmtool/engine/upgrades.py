"""What runs of earlier versions call otherwise. Applied when a run is opened; its files change only where its training goes on.

Old names of keys of a configuration are read by the sections that have them; a figure that was renamed is listed here.
"""

from collections.abc import Mapping
from typing import Any

FORMAT = 2  # of run.json and of a checkpoint's manifest
READS = (1, 2)

# (task, kind of model) -> validation figure as it was called until format 1 -> as it is called now. An old name never comes back.
_TOKENS = {"accuracy": "token_accuracy", "loss": "token_loss"}
FIGURES = {
    ("pinyin2hanzi", "tagger"): {"accuracy": "network_accuracy"},
    ("pinyin2hanzi", "transformer"): _TOKENS,
    ("pinyin2hanzi", "rnn"): _TOKENS,
}
# What run.json did not say then.
UNKNOWN = {"prepared": None, "fingerprint": None, "best": None}
# What state.pt did not hold then.
NOTHING = {"window": None}

Names = dict[str, str]


def renamed(config: dict[str, Any]) -> Names:
    """The figures that have another name now, of a run with this configuration."""
    return FIGURES.get((config["task"], config.get("model", {}).get("kind")), {})


def figures(values: Mapping[str, Any], names: Names) -> dict[str, Any]:
    """Figures, or the `valid/` figures of an event, by the names of today."""
    new = {f"{prefix}{old}": f"{prefix}{name}" for prefix in ("", "valid/") for old, name in names.items()}
    return {new.get(key, key): value for key, value in values.items()}


def info(old: Mapping[str, Any]) -> dict[str, Any]:
    return UNKNOWN | dict(old)


def manifest(old: Mapping[str, Any], names: Names) -> dict[str, Any]:
    return dict(old) | {"metrics": figures(old["metrics"], names)}


def state(old: dict[str, Any], names: Names) -> dict[str, Any]:
    return NOTHING | old | {"metrics": figures(old.get("metrics", {}), names)}
