"""bmtool: from raw data to a trained, measured, exported and deployed model, from the shell."""

__version__ = "0.1.0"
