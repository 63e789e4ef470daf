"""`export-hf`: the best weights of a language model as others load them: config.json, model.safetensors, tokenizer."""

from pathlib import Path

from bmtool.base.console import Console
from bmtool.base.files import filling
from bmtool.commands import refusals
from bmtool.commands.loading import restore
from bmtool.errors import ConfigError, ResourceError


def export_hf(run_path: str | Path, folder: str | Path) -> Path:
    """Write a checkpoint in the Hugging Face format to `folder`, which must be empty. Returns it.

    ConfigError for a run of another task; ResourceError when the folder holds something.
    """
    console, place = Console(), Path(folder)
    refusals.require_folder(place, "DIR")
    if place.is_dir() and any(place.iterdir()):
        raise ResourceError(f"{place} is not empty: name another directory")
    _, task, name = restore(run_path, console.warn)
    if not hasattr(task, "write_checkpoint"):
        raise ConfigError(f"{run_path} is a run of {task.config.task}: only language models are written in this format")
    with filling(place, "checkpoint", last=lambda path: path.name == "config.json") as working:
        task.write_checkpoint(working)
    console.say(f"wrote {place} ({name}): {', '.join(sorted(path.name for path in place.iterdir()))}")
    return place
