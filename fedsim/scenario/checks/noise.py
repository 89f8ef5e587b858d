"""What noise of the server asks of the other sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = Iterator[tuple[tuple[str, ...], str]]
KEY = "server_noise"


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


CHECKS = (noise_has_a_scale, noise_goes_on_clipped_deltas, noise_is_not_probed, compared_noise_fits)
