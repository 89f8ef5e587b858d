"""Somebody else's Flower app: its folder, its ClientApp at a host, and what makes that the local work of a run."""
