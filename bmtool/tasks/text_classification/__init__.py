"""Texts to classes or to a number: text-classification and text-regression."""
