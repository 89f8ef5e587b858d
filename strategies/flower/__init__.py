"""The one Flower adapter: rules as `flwr` strategies, tasks and replies as `flwr` messages."""
