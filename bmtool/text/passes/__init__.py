"""The passes over a corpus, in their order: clean, repeats, choose (with protect), learn, encode.

Each is jobs over blocks, with the job beside it.
"""
