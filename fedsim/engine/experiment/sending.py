"""How the clients of a scenario send, and what cannot be sent so."""

from __future__ import annotations

from fedsim.clients.uplink import UplinkPlan
from fedsim.core import ClientData, Population, ScenarioError
from fedsim.core.uplink import Codec
from fedsim.engine.experiment import smoothness
from fedsim.scenario import Scenario


def uplink_plan(scenario: Scenario, data: ClientData, population: Population) -> UplinkPlan | None:
    """Return what nodes must know of the uplink; None where vectors travel as they are."""
    codec = scenario.uplink
    if codec is None:
        return None
    rescales = codec.feedback != "none" and scenario.rescales
    scales = smoothness.scales(codec.weights, data, population.weights, scenario.model)
    return UplinkPlan(codec, scenario.seed, scales, rescales)


def check(codec: Codec, size: int) -> None:
    """Refuse a codec that cannot take vectors of this length, or that has no contraction where it needs one.

    Raises
    ------
    ScenarioError : with the key and the reason.
    """
    wrong = codec.fits(size)
    if wrong is not None:
        raise ScenarioError(f"uplink.{wrong}")
    if codec.feedback != "none" and codec.unbiased and codec.variance(size) is None:
        raise ScenarioError("uplink.feedback: divides an unbiased codec by 1 + variance(size), and this one has none")


def up_bytes(codec: Codec | None, size: int, nbytes: int) -> int:
    """Return the bytes of one client's delta of `size` entries, where the model takes `nbytes` with its buffers."""
    return nbytes if codec is None else codec.nbytes(size) + nbytes - 4 * size
