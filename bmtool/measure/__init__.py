"""Measuring: streaming bootstrap, reports, quality gates."""
