"""The Flower app that this repository is: `flwr run .` trains a scenario with the fedsim that its nodes have."""

from pathlib import Path

from fedsim.flower.app import apps

server_app, client_app = apps(Path(__file__).parents[1])
