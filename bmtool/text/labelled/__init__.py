"""Texts with labels, spans or answers: a kit."""
