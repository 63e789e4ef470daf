"""The passes over a corpus, in their order: clean, repeats, choose, learn, encode. Each is jobs over blocks, and the job beside it."""
