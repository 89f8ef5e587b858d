"""Cards: a set-up of a paper with its claims, and the verdict on each."""
