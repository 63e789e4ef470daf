"""Dialogues: the turns of a record, the template that makes them one text, and the tokens of it."""
