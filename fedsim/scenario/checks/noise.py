"""What noise of the server asks of the other sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.uniform import Uniform

Found = Iterator[tuple[tuple[str, ...], str]]
KEY, DELTA = "server_noise", "dp_delta"


def _noisy(strategy: Any) -> bool:
    return bool(getattr(strategy, KEY, 0.0))


def noise_has_a_scale(strategy: Any, client: Any) -> Found:
    """Noise is measured by the bound on what one client can send."""
    if _noisy(strategy) and client.clip_update is None:
        text = "is a multiple of client.clip_update, the bound on what one client can do; give that too"
        yield ("strategy", KEY), text


def noise_goes_on_clipped_deltas(strategy: Any, uplink: Any) -> Found:
    """What a codec gives back may be longer than the bound."""
    if _noisy(strategy) and uplink is not None:
        text = "is measured by client.clip_update, and what is decoded of an uplink may be longer; leave one out"
        yield ("strategy", KEY), text


def noise_is_not_probed(strategy: Any, probe: Any) -> Found:
    """The probe forms updates from what clients computed."""
    if _noisy(strategy) and probe is not None:
        yield ("probe",), "tells the variance over who comes, without the server's noise; leave one out"


def compared_noise_fits(compare: Any, client: Any, uplink: Any, probe: Any) -> Found:
    """So does the noise of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        for found in (noise_has_a_scale(strategy, client), noise_goes_on_clipped_deltas(strategy, uplink)):
            for _, message in found:
                yield ("compare", str(number), KEY), message
        yield from noise_is_not_probed(strategy, probe)


def epsilon_is_known(strategy: Any, participation: Any, devices: Any, faults: Any, on_client_error: Any) -> Found:
    """Epsilon is known where cohorts are samples: of a fixed size, or by coins of one probability."""
    if getattr(strategy, "dp_delta", None) is None:
        return
    yield from ((("strategy", DELTA), text) for text in _unaccounted(strategy, participation))
    if devices is not None or faults is not None or on_client_error == "drop":
        text = "is accounted for where all who are sampled deliver: leave out devices, faults and on_client_error: drop"
        yield ("strategy", DELTA), text


def _unaccounted(strategy: Any, participation: Any) -> Iterator[str]:
    known = "epsilon is known for participation of the kinds uniform, and bernoulli with one probability for all"
    if isinstance(participation, Bernoulli):
        p = participation.probabilities
        if not (isinstance(p, float | int) or (isinstance(p, tuple | list) and len(set(p)) == 1)):
            yield f"{known}; here they differ"
        elif strategy.normalise == "participants":
            yield "normalise: participants divides by how many came, which has no noise; use population"
    elif not isinstance(participation, Uniform):
        yield f"{known}; got {participation.kind}"
    if participation.modified:
        yield f"{known}, neither modulated nor selected from"


def compared_epsilon_is_known(
    compare: Any, participation: Any, devices: Any, faults: Any, on_client_error: Any
) -> Found:
    """So is that of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        for _, message in epsilon_is_known(strategy, participation, devices, faults, on_client_error):
            yield ("compare", str(number), DELTA), message


CHECKS = (
    noise_has_a_scale,
    noise_goes_on_clipped_deltas,
    noise_is_not_probed,
    compared_noise_fits,
    epsilon_is_known,
    compared_epsilon_is_known,
)
