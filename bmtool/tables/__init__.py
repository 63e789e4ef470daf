"""Kit for tables: reading, columns, preparing, batches, rows to predict on, what columns matter."""
