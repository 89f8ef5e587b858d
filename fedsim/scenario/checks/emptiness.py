"""Worlds in which nobody ever takes part: allowed, and told, because what is then evaluated is the initial model."""

from __future__ import annotations

from collections.abc import Iterator

from fedsim.core import Problem, ScenarioError, World
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.tree import nearest


def why_nobody(scenario: Scenario, num_clients: int | None = None) -> tuple[str, str] | None:
    """Return (section, reason) when it is certain that nobody takes part in any round, None when somebody may.

    `num_clients` is what the data said, where the scenario does not.
    """
    count = num_clients if scenario.num_clients is None else scenario.num_clients
    if count is None:
        return None
    world = World(scenario.seed, count, folder=scenario.folder)
    try:
        why = scenario.participation.nobody_comes(world, scenario.rounds)
        if why is not None:
            return "participation", why
        return _nobody_in_time(scenario, world)
    except ScenarioError:  # a problem of its own, told when the run is put together
        return None


def _nobody_in_time(scenario: Scenario, world: World) -> tuple[str, str] | None:
    devices, steps = scenario.devices, scenario.client.local_steps
    if devices is None or devices.deadline_s is None or devices.jitter or steps is None:
        return None
    fastest = steps / float(devices.clock(world).steps_per_s.max())
    if fastest <= devices.deadline_s:
        return None
    text = f"the fastest device needs {fastest:g} s for {steps} steps, and deadline_s is {devices.deadline_s:g}"
    return "devices", f"{text}: raise deadline_s, or steps_per_s"


def warnings(scenario: Scenario) -> Iterator[Problem]:
    """Yield what is allowed in a scenario and hardly meant, each with its place."""
    found = why_nobody(scenario)
    if found is not None and scenario.origin is not None:
        section, why = found
        place, origin = nearest(scenario.origin.tree, (section,)).place, scenario.origin
        text = f"warning: nobody takes part in any of {scenario.rounds:,} rounds; {why}"
        yield Problem(place.file or origin.file, place.line, place.column, section, text)
