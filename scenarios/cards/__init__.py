"""Cards: papers' set-ups as scenarios with their claims, one file each; `fedsim reproduce` runs them."""
