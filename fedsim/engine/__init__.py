"""Floor 3: the round loop, the grids, the run folder; where a scenario is put together and run."""
