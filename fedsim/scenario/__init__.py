"""Floor 2: the scenario. One YAML file in, one validated, frozen value out; or every problem at once, with its line."""

from fedsim.scenario.checks.emptiness import warnings, why_nobody
from fedsim.scenario.identity import by_content, holder, read_inputs, scenario_hash
from fedsim.scenario.loading import expand, from_dict, load, override, quick_form
from fedsim.scenario.raw import as_plain, plain_text
from fedsim.scenario.scenario import Scenario, Variant
from fedsim.scenario.schema import json_schema, schema_text
from fedsim.scenario.sections import (
    Auto,
    Checkpoint,
    Evaluate,
    Flower,
    HostClass,
    MemoryOptions,
    Probe,
    Processes,
    Ray,
    Serial,
    Stop,
)
from fedsim.scenario.sources import Sourced, placed, sources
from fedsim.scenario.text import dump, slug, to_mapping

__all__ = [
    "Auto",
    "Checkpoint",
    "Evaluate",
    "Flower",
    "HostClass",
    "MemoryOptions",
    "Probe",
    "Processes",
    "Ray",
    "Scenario",
    "Serial",
    "Sourced",
    "Stop",
    "Variant",
    "as_plain",
    "by_content",
    "dump",
    "expand",
    "from_dict",
    "holder",
    "json_schema",
    "load",
    "override",
    "placed",
    "plain_text",
    "quick_form",
    "read_inputs",
    "scenario_hash",
    "schema_text",
    "slug",
    "sources",
    "to_mapping",
    "warnings",
    "why_nobody",
]
