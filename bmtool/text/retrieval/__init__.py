"""Passages of documents, found by words and by vectors."""
