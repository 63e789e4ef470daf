"""What differs between settings of before and of now, in words."""

from collections.abc import Iterator
from typing import Any


def differences(before: dict, now: dict) -> dict[str, str]:
    """key -> `key: old -> new` for every key that differs, of sections within too, sorted; a key that one side lacks is None there."""
    old, new = dict(_flat(before)), dict(_flat(now))
    return {
        key: f"{key}: {old.get(key)!r} -> {new.get(key)!r}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    }


def _flat(section: dict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
