"""Many runs, or everything about one: found, summed up, compared, put on a page. Nothing here trains or loads weights."""
