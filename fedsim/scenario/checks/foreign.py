"""What local work that is not ours must agree on with the rest of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.core import Rule
from fedsim.core.client_work import OwnWork

Found = Iterator[tuple[tuple[str, ...], str]]


def app_is_there(client: Any, folder: str) -> Found:
    """The Flower app that is to train is there, and has the options that are given."""
    yield from ((("client", *key.split(".")), message) for key, message in client.problems_in(folder))


def _key(client: Any) -> str | None:
    """Return the key under which foreign work stands, None without any."""
    return "app" if client.app is not None else None if isinstance(client.work, OwnWork) else "work"


def foreign_work_starts_from_a_server(client: Any, strategy: Any) -> Found:
    """Foreign work starts from a server's model."""
    key = _key(client)
    if key is not None and strategy.name == "gossip":
        yield ("client", key), "starts from a server's model, and gossip has none; choose a strategy with a server"


def foreign_work_makes_its_own_steps(client: Any, strategy: Any) -> Found:
    """A correction adds to the gradients of clients, and foreign work makes these by itself."""
    key = _key(client)
    corrected = isinstance(strategy, Rule) and strategy.corrected_by() is not None
    if key is not None and corrected:
        yield ("strategy",), f"corrects the clients' gradients, and client.{key} makes these by itself"


def apps_take_no_mu(client: Any, strategy: Any) -> Found:
    """FedProx changes the clients' objective, which a foreign client minimises by itself."""
    key = _key(client)
    if key is not None and getattr(strategy, "proximal_mu", None):
        yield ("strategy", "options"), f"proximal_mu would change the clients' objective, and client.{key} has its own"


CHECKS = (app_is_there, foreign_work_starts_from_a_server, foreign_work_makes_its_own_steps, apps_take_no_mu)
