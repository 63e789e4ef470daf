"""bmtool: from raw data to a trained, measured, exported and deployed model, from the shell."""

import os
from typing import TYPE_CHECKING, Any

from bmtool.base.cores import spin_briefly

__version__ = "0.4.0"
__all__ = ["Model", "Run", "finetune", "load", "train", "translate"]

if TYPE_CHECKING:
    from bmtool.api import Model, Run, finetune, load, train, translate

spin_briefly()
# ONNX Runtime reports its use to its maker, and keeps an identifier in the home directory, unless it is told not to before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def __getattr__(name: str) -> Any:
    """`translate` and its kin, imported when they are first asked for: `bmtool --help` needs none of it."""
    if name in __all__:
        from bmtool import api

        return getattr(api, name)
    raise AttributeError(f"module 'bmtool' has no attribute {name!r}")
