"""Shared network blocks, each citing its paper, each with a parity test."""
