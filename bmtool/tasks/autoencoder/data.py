"""Preparing images."""

from bmtool.images.prepare import prepare

__all__ = ["prepare"]
