"""N-gram language models over numbered symbols: counted and smoothed (`estimate`), stored in two bytes an n-gram (`table`, `model`)."""
