"""The database of runs, filled by idempotent keys (run, round, metric)."""
