"""What a notebook shows of runs and comparisons."""
