"""The kit of tasks that read text: sources, cleaning, duplicates, and the path from a corpus to shards."""
