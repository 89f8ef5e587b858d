"""What local work that is not ours must agree on with the rest of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = Iterator[tuple[tuple[str, ...], str]]


def app_is_there(client: Any, folder: str) -> Found:
    """The Flower app that is to train is there, and has the options that are given."""
    yield from ((("client", *key.split(".")), message) for key, message in client.problems_in(folder))


def gossip_trains_by_itself(client: Any, strategy: Any) -> Found:
    """Foreign work starts from a server's model."""
    if client.app is not None and strategy.name == "gossip":
        yield ("client", "app"), "a Flower app answers a server, and gossip has none; choose a strategy with a server"


def apps_take_no_mu(client: Any, strategy: Any) -> Found:
    """FedProx changes the clients' objective, which a foreign client minimises by itself."""
    if client.app is not None and getattr(strategy, "proximal_mu", None):
        yield ("strategy", "options"), "proximal_mu would change what clients minimise, and the app does that by itself"


CHECKS = (app_is_there, gossip_trains_by_itself, apps_take_no_mu)
