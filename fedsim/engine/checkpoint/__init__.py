"""Checkpoints, on this machine's disk and behind a URL."""
