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
) -> None:
    """Run somebody's Flower app (ServerApp and ClientApp) as it is, with fixed node ids and seeded generators."""
    from fedsim.core.system.terminal import as_written

    with as_written():  # also while Flower is imported, whose logger keeps the stream that it finds
        from fedsim.engine.flower.app_run import run_app
        from fedsim.engine.nodes.app_folder import read_app

        app = read_app(path, run_config or ())
        seconds = run_app(app, nodes, hosts=hosts, address=address, seed=seed)
    typer.echo(f"{path}: done in {seconds:.1f} s on {nodes} nodes, {f'{hosts} hosts' if hosts else 'one process'}")
