"""`prepare-data`: raw sources to what training reads."""

from pathlib import Path

from bmtool import registry
from bmtool.config.load import load
from bmtool.engine.console import Console


def prepare_data(config: str | Path, overrides: list[str] | None = None) -> dict:
    """Prepare the data of `config`, print what was kept and dropped and why, and return the manifest."""
    loaded = load(config, overrides)
    console = Console()
    manifest = registry.find(loaded.task).load("prepare")(loaded, console.say)
    for name, source in manifest["sources"].items():
        for reason, count in source["dropped"].items():
            examples = source["examples"].get(reason, [])
            console.say(f"  {name}: dropped {count:,} x {reason}" + (f"  e.g. {examples[0]}" if examples else ""))
    splits = ", ".join(f"{split} {counts['examples']:,}" for split, counts in manifest["splits"].items())
    vocabulary = ", ".join(f"{value:,} {key}" for key, value in manifest["vocabulary"].items() if key != "sha256")
    console.say(
        f"prepared {loaded.data.prepared}: {splits} examples; vocabulary {vocabulary}; data hash {manifest['data_hash'][:12]}"
    )
    return manifest
