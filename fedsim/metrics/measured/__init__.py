"""What is measured, a file for each subject: every file here holds `METRICS`, a tuple of `Metric`.

The files are found by themselves; rounds.csv shows first what these subjects hold, then what further files do, by name.
"""

SUBJECTS = ("attendance", "learning", "fairness", "variance", "gossip", "traffic", "time")
"""The order of the columns of rounds.csv; a file that is not among them comes after them."""
