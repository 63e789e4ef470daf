"""Knows time, devices and files; knows no task."""
