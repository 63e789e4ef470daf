"""Questions that are answered by a piece of a text."""
