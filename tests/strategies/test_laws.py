"""One table of rules, one list of laws: every strategy in the catalogue must meet all of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import product
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from annotated_types import Ge, Le

from fedsim.core import Cohort, Dot, Population, Rule
from fedsim.core.coefficients import coefficients
from fedsim.core.server import Adam
from fedsim.core.server import catalogue as transforms
from fedsim.core.server.amplify import Amplify
from fedsim.core.state import flatten, restore
from fedsim.strategies import catalogue
from fedsim.strategies.fedau import FedAU
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.fedvarp import FedVARP

from .scripted import advance, play, play_on, population

N, D = 5, 7
P = (1.0, 0.3, 0.5, 0.9, 0.2)
A = (0.1, 0.2, 0.3, 0.15, 0.25)
COHORTS = [[0, 1, 4], [], [2], [0, 3, 4], [1, 2], [0, 1, 2, 3, 4]]
RULES = {name: cls() for name, cls in catalogue().items() if issubclass(cls, Rule)}
FORMS: dict[str, Rule] = {
    **RULES,
    "fedavg-population": FedAvg(normalise="population"),
    "fedavg-ip": FedAvg(normalise="inverse_probability"),
    "fedavg-estimated": FedAvg(normalise="inverse_probability", probabilities="estimated"),
    "fedvarp-ip": FedVARP(normalise="inverse_probability"),
    "fedstale-auto": FedStale(beta="auto"),
    "fedstale-auto-0.1": FedStale(beta="auto", beta_max=0.1),
    "fedstale-skip": FedStale(on_empty="skip"),
    **{f"fedavg-{kind}": FedAvg(server_optimizer=made()) for kind, made in transforms().items() if made is not Amplify},
    "fedavg-amplify": FedAvg(server_optimizer=Amplify(period=2, factor=2.0)),
    "fedavg-decay": FedAvg(server_weight_decay=0.1),
    "fedstale-adam": FedStale(server_optimizer=Adam()),
}
LINEAR = {name: rule for name, rule in FORMS.items() if rule.linear and rule.corrected_by() is None}
EXTRAPOLATING = {"fedexp"}
"""Rules whose steps are longer than FedAvg's also when everybody comes."""
each_form = pytest.mark.parametrize("rule", FORMS.values(), ids=FORMS.keys())
each_linear_form = pytest.mark.parametrize("rule", LINEAR.values(), ids=LINEAR.keys())


def noise(round: int, client: int) -> Any:
    return np.random.Generator(np.random.Philox(key=[round, client])).normal(size=D)


def people(weights: Any = None) -> Population:
    return population(N, P, weights)


@each_form
def test_same_inputs_give_the_same_bits_and_inputs_stay_untouched(rule: Rule) -> None:
    state = rule.start(np.ones(D, np.float32), people())
    cohort = Cohort(1, np.array([0, 2]))
    asked = rule.ask(state, cohort)
    sums = {name: np.arange(1 if isinstance(one, Dot) else D, dtype=np.float64) for name, one in asked.items()}
    before = copy.deepcopy((flatten(state), sums))
    one, other = rule.step(state, cohort, sums), rule.step(state, cohort, sums)
    for left, right in zip(flatten(one).items(), flatten(other).items(), strict=True):
        assert left[0] == right[0]
        assert left[1].tobytes() == right[1].tobytes()
    assert {k: v.tobytes() for k, v in flatten(state).items()} == {k: v.tobytes() for k, v in before[0].items()}
    assert all(np.array_equal(sums[k], before[1][k]) for k in sums)


@each_form
def test_parameters_keep_their_shape_and_type_and_stay_finite_with_empty_cohorts(rule: Rule) -> None:
    params, _, _ = play(rule, people(), COHORTS, noise, size=D)
    assert all(p.shape == (D,) and p.dtype == np.float32 and np.isfinite(p).all() for p in params)


@each_form
def test_the_order_of_replies_changes_nothing(rule: Rule) -> None:
    straight, _, _ = play(rule, people(), COHORTS, noise, size=D, nodes=3)
    backwards, _, _ = play(rule, people(), COHORTS, noise, size=D, nodes=3, order=lambda replies: replies[::-1])
    assert [p.tobytes() for p in straight] == [p.tobytes() for p in backwards]


@each_form
def test_two_rounds_and_two_more_are_four_through_the_encoded_state(rule: Rule) -> None:
    whole, _, _ = play(rule, people(), COHORTS, noise, size=D)
    first, strategy, grid = play(rule, people(), COHORTS[:3], noise, size=D)
    assert strategy.state is not None
    saved = {name: array.copy() for name, array in flatten(strategy.state).items()}
    fresh = copy.copy(strategy)
    fresh.state = restore(fresh.begin(np.zeros(D, np.float32)), saved)
    fresh.choose = lambda round: np.array(COHORTS[round - 1], np.int64)
    rest = advance(fresh, grid, range(4, len(COHORTS) + 1))
    assert [p.tobytes() for p in (*first, *rest)] == [p.tobytes() for p in whole]


@each_linear_form
@pytest.mark.parametrize("weights", [None, A], ids=["uniform", "examples"])
def test_a_linear_rule_moves_by_its_coefficients_of_deltas_and_memories(rule: Rule, weights: Any) -> None:
    if weights is not None and list(replace(rule, weights="examples").problems()):
        return
    crowd = people(weights)
    plain = replace(rule, server_optimizer=None)
    _, strategy, grid = play(plain, crowd, [[]], noise, size=D)
    memories = np.zeros((N, D))
    for number, clients in enumerate(COHORTS, start=2):
        strategy.choose = lambda round, clients=clients: np.array(clients, np.int64)
        outcome = play_on(strategy, grid, number)
        used = coefficients(plain, outcome.before, outcome.cohort, crowd.weights)
        deltas = np.array([noise(number, c) for c in clients], np.float32).reshape(-1, D)
        expected = used.fresh @ deltas
        if used.stale is not None:
            expected = expected + used.stale @ memories
        np.testing.assert_allclose(outcome.update if outcome.update is not None else np.zeros(D), expected, atol=1e-12)
        if plain.remembers and clients:
            memories[clients] = deltas


@each_linear_form
def test_coefficients_do_not_depend_on_how_long_the_vectors_are(rule: Rule) -> None:
    cohort = Cohort(1, np.array([0, 2]))
    short, long = (
        coefficients(rule, rule.start(np.zeros(size, np.float32), people(A)), cohort, people(A).weights)
        for size in (0, 100)
    )
    assert short.fresh.tobytes() == long.fresh.tobytes()
    assert (short.stale is None) == (long.stale is None) == (not rule.remembers)


ALL = [[0, 1, 2, 3, 4]]


EVERYBODY = {
    name: rule
    for name, rule in RULES.items()
    if getattr(rule.corrected_by(), "linear", True) and name not in EXTRAPOLATING
}


@pytest.mark.parametrize("rule", EVERYBODY.values(), ids=EVERYBODY.keys())
def test_everybody_present_with_certainty_is_fedavg(rule: Rule) -> None:
    crowd = population(N, [1.0] * N)
    reference, _, _ = play(FedAvg(), crowd, ALL * 4, noise, size=D)
    params, _, _ = play(rule, crowd, ALL * 4, noise, size=D)
    np.testing.assert_allclose(params, reference, rtol=0, atol=1e-6)


def test_fedstale_without_memory_is_fedavg_bit_for_bit() -> None:
    one, _, _ = play(FedStale(beta=0.0), people(A), COHORTS, noise, size=D)
    other, _, _ = play(FedAvg(normalise="inverse_probability"), people(A), COHORTS, noise, size=D)
    assert [p.tobytes() for p in one] == [p.tobytes() for p in other]


def test_fedstale_with_all_memory_is_fedvarp_bit_for_bit() -> None:
    one, _, _ = play(FedStale(beta=1.0), people(A), COHORTS, noise, size=D)
    other, _, _ = play(FedVARP(normalise="inverse_probability"), people(A), COHORTS, noise, size=D)
    assert [p.tobytes() for p in one] == [p.tobytes() for p in other]


def test_the_two_forms_of_fedvarp_agree_at_a_fixed_cohort_size_and_equal_probabilities() -> None:
    crowd = population(4, [0.5] * 4)
    cohorts = [[0, 1], [2, 3], [0, 3], [1, 2], [0, 2]]
    one, _, _ = play(FedVARP(), crowd, cohorts, noise, size=D)
    other, _, _ = play(FedVARP(normalise="inverse_probability"), crowd, cohorts, noise, size=D)
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_fedau_cut_off_at_one_is_fedavg_over_the_population_bit_for_bit() -> None:
    one, _, _ = play(FedAU(cutoff=1), people(), COHORTS, noise, size=D)
    other, _, _ = play(FedAvg(normalise="population"), people(), COHORTS, noise, size=D)
    assert [p.tobytes() for p in one] == [p.tobytes() for p in other]


def test_fedau_weights_stay_one_at_full_participation() -> None:
    _, strategy, _ = play(FedAU(), people(), ALL * 5, noise, size=D)
    assert strategy.state is not None
    assert strategy.state.rule.weight.tolist() == [1.0] * N


def test_one_step_is_linear_in_beta() -> None:
    at = {}
    for beta in (0.0, 0.5, 1.0):
        params, _, _ = play(FedStale(beta=beta), people(), [ALL[0]], noise, size=D)
        second, _, _ = play(FedStale(beta=beta), people(), [ALL[0], [1, 2]], noise, size=D)
        at[beta] = second[1].astype(np.float64) - params[0]
    np.testing.assert_allclose(at[0.5], 0.5 * (at[0.0] + at[1.0]), atol=1e-6)


def test_the_first_round_does_not_depend_on_beta() -> None:
    first = {
        beta: play(FedStale(beta=beta), people(), [[0, 2]], noise, size=D)[0][0].tobytes() for beta in (0.0, 0.4, 1.0)
    }
    assert len(set(first.values())) == 1


def test_a_client_that_always_comes_cancels_its_own_memory() -> None:
    rule = FedStale(beta=1.0)
    state = rule.start(np.zeros(1, np.float32), people())
    used = coefficients(rule, state, Cohort(2, np.array([0, 1])), people().weights)
    assert used.stale is not None
    assert used.stale[0] == 0.0


TRIED = (0, 0.25, 0.5, 0.75, 1, 2, 3)


def kinds(hint: Any, bounds: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the types that a hint allows, each with its bounds."""
    if get_origin(hint) is Annotated:
        yield from kinds(hint.__origin__, (*bounds, *hint.__metadata__))
    elif get_origin(hint) in (Union, UnionType):
        for member in get_args(hint):
            yield from kinds(member, bounds)
    else:
        yield hint, bounds


def within(value: float, bound: Any) -> bool:
    low, high = getattr(bound, "ge", -np.inf), getattr(bound, "le", np.inf)
    return bool(low <= value <= high and getattr(bound, "gt", -np.inf) < value < getattr(bound, "lt", np.inf))


def moved(config: Any) -> Iterator[tuple[str, Any]]:
    """Yield a config with one numeric option moved within its bounds, by the option's name; nested ones too."""
    hints = get_type_hints(type(config), include_extras=True)
    for option in fields(config):
        value = getattr(config, option.name)
        for kind, bounds in kinds(hints[option.name]):
            others = [kind(other) for other in TRIED if other == kind(other)] if kind in (int, float) else []
            for other in others:
                if other != value and all(within(other, bound) for bound in bounds):
                    yield option.name, replace(config, **{option.name: other})
        if is_dataclass(value):
            for name, inner in moved(value):
                yield f"{option.name}.{name}", replace(config, **{option.name: inner})


def dead(forms: Iterable[Rule]) -> set[str]:
    """Return the numeric options that move the result of none of these forms of a rule."""
    options, alive = set(), set()
    for rule in forms:
        reference, _, _ = play(rule, people(), COHORTS, noise, size=D)
        for name, other in moved(rule):
            options.add(name)
            if name not in alive:
                params, _, _ = play(other, people(), COHORTS, noise, size=D)
                alive |= {name} if params[-1].tobytes() != reference[-1].tobytes() else set()
    assert "server_lr" in options
    return options - alive


AROUND = {"server_noise", "dp_delta"}
"""Options that act around a rule, on the sum that it is given and on what is told; test_server_noise.py moves them."""


@pytest.mark.parametrize("kind", [type(rule) for rule in RULES.values()], ids=RULES.keys())
def test_every_numeric_option_moves_the_result(kind: type[Rule]) -> None:
    assert dead(rule for rule in FORMS.values() if type(rule) is kind) - AROUND == set()


@dataclass(frozen=True, kw_only=True)
class Careless(FedAvg):
    """FedAvg with an option that nobody reads."""

    trim: Annotated[float, Ge(0), Le(1)] = 0.1


def test_an_option_that_nobody_reads_is_found() -> None:
    assert dead([Careless()]) - AROUND == {"trim"}


# --- exact enumeration of all 2^N cohorts: nothing sampled --------------------------------------------------------

UNBIASED: dict[str, Rule] = {
    "fedavg-ip": FedAvg(normalise="inverse_probability"),
    "fedstale-0.3": FedStale(beta=0.3),
    "fedstale-1": FedStale(beta=1.0),
    "fedvarp-ip": FedVARP(normalise="inverse_probability"),
}


@pytest.mark.parametrize("rule", UNBIASED.values(), ids=UNBIASED.keys())
def test_mean_and_variance_over_all_cohorts_equal_the_formulas(rule: Rule) -> None:
    p, a = np.array(P), np.array(A)
    deltas = np.array([noise(9, c) for c in range(N)])
    memories = np.array([noise(8, c) for c in range(N)])
    crowd = population(N, P, A)
    state = rule.start(np.zeros(D, np.float32), crowd)
    beta = getattr(rule, "beta", 1.0 if isinstance(rule, FedVARP) else 0.0)
    if rule.remembers:
        state = replace(state, mean=a @ memories)
    mean, square = np.zeros(D), 0.0
    for present in product([0, 1], repeat=N):
        clients = np.flatnonzero(present)
        chance = float(np.prod(np.where(present, p, 1 - p)))
        cohort = Cohort(3, clients)
        sums = {
            name: asked.fresh @ deltas[clients] + (0 if asked.stale is None else asked.stale @ memories[clients])
            for name, asked in rule.ask(state, cohort).items()
        }
        _, update = rule.step(state, cohort, sums)
        moved = np.zeros(D) if update is None else update
        mean += chance * moved
        square += chance * float(moved @ moved)
    target = a @ deltas
    np.testing.assert_allclose(mean, target, rtol=0, atol=1e-12)
    corrected = deltas - beta * memories
    formula = float(np.sum(a**2 * (1 - p) / p * np.sum(corrected**2, axis=1)))
    assert square - float(mean @ mean) == pytest.approx(formula, abs=1e-12, rel=1e-12)


def test_using_the_new_memory_too_early_would_be_seen() -> None:
    # with p < 1, H updated before it is used changes the update: the rule must use the old one
    rule = FedStale(beta=1.0)
    crowd = population(2, (0.5, 0.5))
    state = replace(rule.start(np.zeros(1, np.float32), crowd), mean=np.array([4.0]))
    _, update = rule.step(state, Cohort(2, np.array([0])), {"update": np.array([1.0]), "innovation": np.array([8.0])})
    assert update is not None
    assert update.tolist() == [5.0]
