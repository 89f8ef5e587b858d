"""Words that stand for a rule and a correction under it, one a file: `{name: scaffold}` is fedavg with `scaffold`."""
