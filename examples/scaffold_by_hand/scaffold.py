"""SCAFFOLD (Karimireddy et al. 2020, option II) written by hand: what a client does, and what the server does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fedsim import Work
from fedsim.core import Cohort, LinearSum, Population, Rule
from fedsim.core.client_half import Order


class Client:
    """K steps of w <- w - lr (gradient + c - c_i); then c_i <- c_i - c + (x - w) / (K lr)."""

    def train(self, module, batches, start, round, rng, state, shared) -> Work:
        """Train one client; `state` is its c_i, `shared["c"]` the server's c."""
        server = torch.from_numpy(shared["c"])
        own = torch.zeros_like(server) if state is None else state
        (weight,) = module.parameters()
        for center, curvature in batches:  # of `dataset: quadratic`: f_i(w) = curvature / 2 |w - center|^2
            loss = 0.5 * (curvature * module(center)).sum()
            (gradient,) = torch.autograd.grad(loss, [weight])
            with torch.no_grad():
                weight -= batches.lr * (gradient + server - own)
        delta = weight.detach() - torch.from_numpy(start)
        renewed = own - server - delta / (len(batches) * batches.lr)
        return Work(delta, {"loss": loss.item()}, renewed)


@dataclass(frozen=True)
class State:
    """The server's control variate c (d,), and the population."""

    control: np.ndarray
    population: Population


@dataclass(frozen=True, kw_only=True)
class Server(Rule):
    """x <- x + mean_S delta_i, and c <- c + (1/N) sum_S (c_i+ - c_i) = c - |S|/N c - sum_S delta_i / (N K lr)."""

    linear = False
    steps: int = 2
    """K, the clients' local steps."""
    lr: float = 0.1
    """The clients' learning rate."""

    def start(self, params: np.ndarray, population: Population) -> State:
        """Return c = 0."""
        return State(np.zeros(len(params)), population)

    def order(self, state: State, cohort: Cohort) -> Order:
        """Send c to everybody."""
        return Order(shared={"c": state.control})

    def ask(self, state: State, cohort: Cohort) -> Mapping[str, LinearSum]:
        """Ask for sum_S delta_i."""
        return {"total": LinearSum(np.ones(len(cohort)))}

    def step(self, state: State, cohort: Cohort, sums: Mapping[str, Any]) -> tuple[State, np.ndarray | None]:
        """Move x by the mean, and c by what the clients' own variates moved."""
        if not len(cohort):
            return state, None
        count = state.population.num_clients
        control = (1 - len(cohort) / count) * state.control - sums["total"] / (count * self.steps * self.lr)
        return State(control, state.population), sums["total"] / len(cohort)
