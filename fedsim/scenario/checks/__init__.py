"""What sections of a scenario must agree on."""
