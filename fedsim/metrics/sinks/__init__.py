"""What reads the events of a run: one file per sink."""
