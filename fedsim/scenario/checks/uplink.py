"""What the section `uplink:` asks of the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = Iterator[tuple[tuple[str, ...], str]]

LINEAR = ("linear", "linear-regression")


def uplink_has_a_server(uplink: Any, strategy: Any) -> Found:
    """What is coded goes from clients to a server, through nodes that keep what feedback needs."""
    if uplink is None:
        return
    if strategy.name == "gossip":
        yield ("uplink",), "codes what clients send to a server, and under gossip there is none; leave it out"
    if strategy.name == "stock":
        text = "a stock Flower strategy takes models from its clients, and no coded updates; leave it out"
        yield ("uplink",), text


def uplink_has_no_probe(uplink: Any, probe: Any) -> Found:
    """The probe forms updates from projections of deltas, and a codec is not linear in them."""
    if uplink is not None and probe is not None:
        text = "forms updates from projections of what clients computed, and no codec is linear in that; leave one out"
        yield ("probe",), text


def weights_are_known(uplink: Any, data: Any, model: Any) -> Found:
    """EF21-W's weights are there for every client, or can be computed."""
    weights = getattr(uplink, "weights", None)
    if isinstance(weights, tuple) and data.num_clients not in (None, len(weights)):
        yield ("uplink", "weights"), f"has {len(weights)} entries for {data.num_clients} clients"
    if weights == "smoothness" and data.dataset != "quadratic" and model.name not in LINEAR:
        text = f"is computed for quadratic data and linear models, not for {model.name}; list a weight for each client"
        yield ("uplink", "weights"), text


def compared_strategies_have_a_server(uplink: Any, compare: Any) -> Found:
    """So do the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        for _, message in uplink_has_a_server(uplink, strategy):
            yield ("compare", str(number), "name"), f"uplink {message}"


CHECKS = (uplink_has_a_server, uplink_has_no_probe, weights_are_known, compared_strategies_have_a_server)
