"""`fedsim validate FILE...`: check scenarios without running anything."""

from __future__ import annotations

from typing import Annotated

import typer

from fedsim.core import Problem, ScenarioError


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenario files.", show_default=False)],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value, e.g. strategy.beta=0.3; repeatable."),
    ] = None,
) -> None:
    """Check scenarios and print everything that is wrong, one line each; exit code 2 if anything is."""
    problems: list[Problem] = []
    for file in files:
        try:
            typer.echo(f"{file}: ok ({_summary(file, overrides or [])})")
        except ScenarioError as error:
            problems.extend(error.problems)
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))


def _summary(file: str, overrides: list[str]) -> str:
    from fedsim.scenario import expand, load, scenario_hash, warnings

    scenario = load(file, overrides)
    for warning in warnings(scenario):
        typer.echo(str(warning), err=True)
    clients = "clients as the data has" if scenario.num_clients is None else _counted(scenario.num_clients, "client")
    parts = [f"hash {scenario_hash(scenario)[:8]}", clients, _counted(scenario.rounds, "round")]
    if scenario.sweep:
        parts.append(_counted(len(expand(scenario)), "run"))
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("s" if number != 1 else "")
