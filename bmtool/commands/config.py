"""`config`: a configuration as bmtool reads it, and the schema of all that may stand in one."""

from pathlib import Path
from typing import Any

from bmtool.config import json_schema, load, origins


def show(path: str | Path, overrides: list[str] | None = None) -> str:
    """The resolved configuration as YAML, each value with where it comes from as its comment."""
    document = load.read(path, overrides)
    config = load.validate(document)
    return origins.listing(config, origins.origins(config, document))


def resolved(path: str | Path, overrides: list[str] | None = None) -> dict[str, Any]:
    """The same as plain data: `config`, and `from` with the origin of each key by its dotted name."""
    document = load.read(path, overrides)
    config = load.validate(document)
    found = origins.origins(config, document)
    return {"config": config.model_dump(), "from": {".".join(map(str, key)): origin for key, origin in found.items()}}


def schema(task: str | None = None) -> dict[str, Any]:
    """JSON Schema of the configurations of a task, or of all."""
    return json_schema.schema(task)
