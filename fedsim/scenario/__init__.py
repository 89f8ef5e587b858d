"""Floor 2: the scenario. One YAML file in, one validated, frozen value out; or every problem at once, with its line."""

from fedsim.scenario.loading import expand, from_dict, load
from fedsim.scenario.scenario import Scenario
from fedsim.scenario.sections import Checkpoint, Evaluate, Flower, Memory, Probe, Ray, Serial, Stop
from fedsim.scenario.text import dump, scenario_hash, slug, to_mapping

__all__ = [
    "Checkpoint",
    "Evaluate",
    "Flower",
    "Memory",
    "Probe",
    "Ray",
    "Scenario",
    "Serial",
    "Stop",
    "dump",
    "expand",
    "from_dict",
    "load",
    "scenario_hash",
    "slug",
    "to_mapping",
]
