"""Noise to images like those it has seen: two networks that train each other."""
