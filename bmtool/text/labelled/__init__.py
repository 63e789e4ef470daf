"""Texts with what is right of them: classes, spans, answers."""
