"""What needs torch: from a config to a module, and what modules share."""
