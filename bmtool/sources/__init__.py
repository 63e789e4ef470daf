"""Where data sets lie: rows of tables, samples in tars, their splits; what all kits read them by."""
