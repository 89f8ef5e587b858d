"""A client that keeps its own model and merges those of its neighbours."""
