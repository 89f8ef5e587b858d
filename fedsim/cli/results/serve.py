"""fedsim serve: the runs of a store over HTTP, with a live page."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from fedsim.store.database import Store

TOKEN_ENV = "FEDSIM_TOKEN"


def serve(
    store: Annotated[str, typer.Option(help="The store: a file, a folder or a URL.")] = "runs/fedsim.db",
    host: Annotated[str, typer.Option(help="Address to listen at; other than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    token_env: Annotated[
        str,
        typer.Option(metavar="NAME", help="Environment variable that holds the token; several with commas between."),
    ] = TOKEN_ENV,
) -> None:
    """Serve a page with all runs, live, and the same as REST; other machines may send their runs here."""
    from fedsim.core import ScenarioError
    from fedsim.service.guard import LOOPBACK, is_near

    token = os.environ.get(token_env, "").strip() or None
    near = is_near(host)
    if not near and token is None:
        raise ScenarioError(
            f"--host {host}: other machines could reach this address, so that a token is needed; "
            f"put one into the environment, e.g. {token_env}=$(openssl rand -hex 16)"
        )
    opened, writes = _open(store)
    from fedsim.service.app import create_app
    from fedsim.service.guard import Access

    door = Access(token, (*LOOPBACK, host) if near else ())
    with opened:
        _listen(create_app(opened, door, writes=writes), host, port, f"{opened}" + ("" if writes else ", read only"))


def _open(store: str) -> tuple[Store, bool]:
    """Return the store, and whether it can be written."""
    from pathlib import Path

    from sqlalchemy.exc import OperationalError, SQLAlchemyError

    from fedsim.analysis.frames import open_for_reading
    from fedsim.core import ScenarioError
    from fedsim.store.database import Store
    from fedsim.store.schema import StoreError

    place = store if "://" in store or not Path(store).is_dir() else str(Path(store) / "fedsim.db")
    try:
        return Store(place, busy_s=10.0), True
    except (OperationalError, OSError):
        return open_for_reading(place), False
    except (SQLAlchemyError, StoreError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise ScenarioError(f"{place}: cannot be used as a store: {reason}") from error


def _listen(app: FastAPI, host: str, port: int, what: str) -> None:
    """Serve until a signal; the address is printed once the port is open."""
    from fedsim.core import ScenarioError
    from fedsim.service.listening import Server, listener

    try:
        opened = listener(host, port)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ScenarioError(f"--host {host} --port {port}: cannot listen there: {reason}") from error
    with opened:
        shown = f"[{host}]" if ":" in host else host
        typer.echo(f"serving {what} at http://{shown}:{opened.getsockname()[1]}/ (Ctrl-C ends)")
        sys.stdout.flush()
        Server(app).run(sockets=[opened])
