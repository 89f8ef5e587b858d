"""The strategies that ship with Flower: which of them have a meaning here, with which options, and how one is made."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flwr.serverapp import strategy as shipped
from flwr.serverapp.strategy import Strategy as FlowerStrategy

if TYPE_CHECKING:
    from fedsim.strategies.stock import Stock

ALONE: Mapping[str, Any] = {
    "fraction_train": 1.0,
    "fraction_evaluate": 0.0,
    "min_train_nodes": 1,
    "min_available_nodes": 1,
}
"""Options under which a stock strategy takes whoever is there."""
TREES = "puts together trees of XGBoost, and clients here send the parameters of a model trained by gradient steps"
WITHOUT_MEANING: Mapping[str, str] = {"FedXgbBagging": TREES, "FedXgbCyclic": TREES}
"""Strategies of Flower that cannot run here, and why."""
INNER = "strategy"
"""The argument of a wrapper that is another strategy."""
FUNCTIONS = ("train_metrics_aggr_fn", "evaluate_metrics_aggr_fn", "selection_rule", "accountant")
"""Arguments that are no values, so that a scenario cannot give them."""


def names() -> list[str]:
    """Return the names of all strategies that ship with Flower."""
    return sorted(name for name in shipped.__all__ if name not in ("Strategy", "Result"))


def _class(name: str) -> type[FlowerStrategy]:
    found: type[FlowerStrategy] = getattr(shipped, name)
    return found


def _parameters(name: str) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(_class(name)).parameters


def wraps(name: str) -> bool:
    """Return whether a strategy is a wrapper around another one."""
    return INNER in _parameters(name)


def make(config: Stock) -> FlowerStrategy:
    """Return the strategy that a scenario names, with the one inside it; `problems` has nothing against it."""
    with _silent():
        if not wraps(config.flower):
            return _made(config.flower, config.options)
        inside = _made(config.inside.flower, config.inside.options)
        return _made(config.flower, {INNER: inside, **config.options})


def _made(name: str, options: Mapping[str, Any]) -> FlowerStrategy:
    alone = {key: value for key, value in ALONE.items() if key in _parameters(name)}
    return _class(name)(**{**alone, **options})


def problems(config: Stock) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for what Flower does not have, what has no meaning here, and options that are refused."""
    found = list(_wrong("", config.flower, config.options))
    known = not any(key == "flower" for key, _ in found)
    wrapper = known and wraps(config.flower)
    if wrapper:
        inner = config.inside
        found += _wrong("inner.", inner.flower, inner.options)
        if inner.flower in names() and wraps(inner.flower):
            found.append(("inner.flower", f"{inner.flower} is a wrapper itself; give a strategy that aggregates"))
    elif known and config.inner is not None:
        wrappers = ", ".join(name for name in names() if wraps(name))
        found.append(("inner", f"{config.flower} has no other strategy inside; those that do are {wrappers}"))
    if not found:
        try:
            make(config)
        except (TypeError, ValueError) as error:
            found.append(("options", f"{config.flower} refuses them: {' '.join(str(error).split())}"))
    yield from found


def _wrong(place: str, name: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if name in WITHOUT_MEANING:
        able = ", ".join(other for other in names() if other not in WITHOUT_MEANING)
        yield f"{place}flower", f"{name} {WITHOUT_MEANING[name]}; use one of {able}"
        return
    if name not in names():
        yield f"{place}flower", f"Flower has no strategy '{name}'; it has {', '.join(names())}"
        return
    parameters = {key: value for key, value in _parameters(name).items() if key not in (INNER, *FUNCTIONS)}
    for key, value in options.items():
        if key == INNER:
            yield f"{place}options", f"{name} refuses them: the strategy inside is written as `inner: {{flower: ...}}`"
        elif key in FUNCTIONS and key in _parameters(name):
            yield f"{place}options", f"{name} refuses them: {key} is no value that a scenario could hold"
        elif key not in parameters:
            yield f"{place}options", f"{name} refuses them: it has no '{key}'; it takes {', '.join(parameters)}"
        elif isinstance(value, str) != isinstance(parameters[key].default, str):
            yield f"{place}options", f"{name} refuses them: {key} must be a {_kind(parameters[key])}, got {value!r}"
    missing = [key for key, known in parameters.items() if known.default is known.empty and key not in options]
    if missing:
        yield f"{place}options", f"{name} needs {', '.join(missing)}"


def _kind(parameter: inspect.Parameter) -> str:
    return "text" if isinstance(parameter.default, str) else "number"


@contextmanager
def _silent() -> Iterator[None]:
    """Keep to itself what a strategy logs about options that are ours."""
    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
