"""What several tasks share about data: reading, cleaning, shards, batches."""
