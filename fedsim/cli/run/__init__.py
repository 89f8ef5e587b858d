"""Commands that run one scenario."""
