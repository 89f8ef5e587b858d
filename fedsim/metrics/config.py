"""The `metrics:` section of a scenario: where rows go, and which further sinks read the events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.core.errors import ScenarioError
from fedsim.core.foreign.door import Door, made, options_of, refuse
from fedsim.core.foreign.failures import blamed
from fedsim.core.foreign.reference import Thing
from fedsim.metrics import sinks

if TYPE_CHECKING:
    from fedsim.metrics.sinks.base import Sink


@cache
def catalogue() -> dict[str, type[Any]]:
    """Return the sinks that a scenario can name, by their word in `metrics: {sinks: [{kind: ...}]}`."""
    return discover(sinks.__name__, sinks.__path__, "kind")


def _foreign(door: Door, thing: Thing) -> type:
    """Return a user's sink as the config class `metrics: {sinks: [{kind: ...}]}`."""
    target = thing.target
    if not callable(target) or not (
        callable(getattr(target, "open", None)) or callable(getattr(target, "write", None))
    ):
        raise refuse(door, thing)
    options, named = options_of(door, thing, without=("run_folder",))

    def opened(self: Any, run_folder: Path) -> Any:
        from fedsim.metrics.sinks.base import whole

        with blamed(str(thing.text)):
            made_of = target(**dict.fromkeys(named, run_folder), **self.options())
            return whole(made_of.open(run_folder) if hasattr(made_of, "open") else made_of)

    return made(door, thing, "kind", SinkConfig, options=options, methods={"open": opened})


@dataclass(frozen=True, kw_only=True)
class SinkConfig:
    """A sink of the user's own."""


def spelled(word: str) -> dict[str, str]:
    """Return a sink that is given by its word alone, spelled out."""
    return {"kind": word}


DOOR = Door("fedsim.sinks", "a sink: a class derived from fedsim.metrics.sinks.base.Sink, with write(events)", _foreign)
AnySink = Annotated[Any, OneOf("kind", catalogue, DOOR, spelled)]


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """What is recorded beside rounds.csv and summary.json. Nothing here changes a bit of the training."""

    store: str | None = None
    """Database of the runs: a file (`runs/fedsim.db`, `sqlite:///...`) or `postgresql://...`; default `fedsim.db`
    beside the run folder."""
    service: str | None = None
    """A service (`fedsim serve`) that gets the events too, for instance `http://lab:8080`."""
    token_env: str | None = None
    """Name of the environment variable that holds the service's token; the token itself stands in no file."""
    sinks: tuple[AnySink, ...] = ()
    """Further readers of the events, e.g. `[{kind: tensorboard}]`."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for an address that is none, and for a token without a service."""
        if self.store is not None:
            from fedsim.metrics.address import parse

            try:
                parse(self.store)
            except ScenarioError as error:
                yield "store", str(error).removeprefix("metrics.store: ")
        if self.service is not None:
            from fedsim.metrics.sinks.remote import split

            try:
                split(self.service)
            except ScenarioError as error:
                yield "service", str(error).removeprefix("metrics.service: ")
        elif self.token_env is not None:
            yield "token_env", "a token without `service` goes nowhere"

    def open(self, run_folder: Path) -> list[Sink]:
        """Return the sinks of one run, besides the store's.

        Raises ScenarioError for a token that is not in the environment, or a package that is not installed.
        """
        from fedsim.metrics.sinks import remote

        opened = [sink.open(run_folder) for sink in self.sinks]
        if self.service is not None:
            token = remote.secret(self.token_env)
            opened.append(remote.HttpSink(self.service, run_folder / remote.SPOOL, token=token))
        return opened
