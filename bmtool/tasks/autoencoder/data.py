"""Preparing images."""

from bmtool.data.images import prepare

__all__ = ["prepare"]
