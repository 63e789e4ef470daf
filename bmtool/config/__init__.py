"""Typed configuration sections, and loading them from YAML with every problem reported at once."""
