"""The Flower app that this repository is: `flwr run .` trains a scenario with the fedsim that its nodes have."""

from pathlib import Path

from fedsim.flower.app import apps

_halves = apps(Path(__file__).parents[1])
# Flower looks for these two names in the text of this file
server_app = _halves[0]
client_app = _halves[1]
