"""fedsim flower-app: an unmodified Flower app on this engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def flower_app(
    path: Annotated[Path, typer.Argument(help="The app's folder, with its pyproject.toml.")],
    nodes: Annotated[int, typer.Option(min=1, help="How many nodes (Flower: SuperNodes).")] = 10,
    hosts: Annotated[int, typer.Option(min=0, help="Ray processes that run them; 0 stays in this one.")] = 0,
    address: Annotated[str, typer.Option(help="Where Ray is: local, auto or host:port.")] = "local",
    run_config: Annotated[
        list[str] | None, typer.Option(help="Values over the app's own, as of `flwr run`: 'num-server-rounds=5'.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="What the app's random generators start from.")] = 0,
    participation: Annotated[
        str | None, typer.Option(help="Who is there when, as in a scenario: '{kind: bernoulli, probabilities: 0.5}'.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The run's folder; with --participation, runs/NAME by default.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in that folder.")] = False,
) -> None:
    """Run somebody's Flower app (ServerApp and ClientApp) as it is, with fixed node ids and seeded generators.

    With --participation nodes come and go, and the run is written down: a folder, the store, the page; --out alone
    writes it down with everybody there.
    """
    from fedsim.core.system.terminal import as_written

    with as_written():  # also while Flower is imported, whose logger keeps the stream that it finds
        from fedsim.engine.flower.app_run import run_app
        from fedsim.engine.nodes.app_folder import read_app

        app = read_app(path, run_config or ())
        if participation is None and out is None:
            folder, seconds = None, run_app(app, nodes, hosts=hosts, address=address, seed=seed)
        else:
            from fedsim.engine.run.app import record_app

            world = participation or "{kind: full}"
            folder, seconds = record_app(
                app, nodes, world, hosts=hosts, address=address, seed=seed, out=out, overwrite=overwrite
            )
    typer.echo(f"{path}: done in {seconds:.1f} s on {nodes} nodes, {f'{hosts} hosts' if hosts else 'one process'}")
    if folder is not None:
        typer.echo(f"  files                      {folder}")
