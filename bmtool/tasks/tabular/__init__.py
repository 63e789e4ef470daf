"""Rows of tables to classes or to a number: tabular-classification and tabular-regression."""
