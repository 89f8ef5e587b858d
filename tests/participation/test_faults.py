"""Injected faults: keyed by (seed, round, client), at most one a client, with their probabilities."""

import numpy as np

from fedsim.participation.faults import FAULTS, Faults

CLIENTS = np.arange(20_000)


def test_no_fault_is_the_default() -> None:
    assert not any(struck.any() for struck in Faults().events(1, 1, CLIENTS).values())


def test_certain_faults_strike_everybody_with_the_first_of_them() -> None:
    events = Faults(crash=1.0, message_loss=1.0, nan=1.0).events(1, 1, CLIENTS)
    assert events["crash"].all()
    assert not events["message_loss"].any()
    assert not events["nan"].any()


def test_faults_have_their_probabilities_and_exclude_each_other() -> None:
    events = Faults(crash=0.1, message_loss=0.2, nan=0.3).events(5, 3, CLIENTS)
    expected = {"crash": 0.1, "message_loss": 0.9 * 0.2, "nan": 0.9 * 0.8 * 0.3}
    for kind in FAULTS:
        chance = expected[kind]
        bound = 5 * np.sqrt(20_000 * chance * (1 - chance))
        assert abs(events[kind].sum() - 20_000 * chance) < bound
    assert np.sum(list(events.values()), axis=0).max() == 1


def test_what_strikes_a_client_does_not_depend_on_the_company() -> None:
    faults = Faults(crash=0.3, nan=0.3)
    everyone, some = faults.events(1, 9, CLIENTS), np.array([3, 77, 1234])
    for kind, struck in faults.events(1, 9, some).items():
        assert struck.tolist() == everyone[kind][some].tolist()


def test_rounds_and_seeds_draw_apart() -> None:
    faults = Faults(crash=0.5)
    first = faults.events(1, 1, CLIENTS)["crash"]
    for seed, round in ((1, 2), (2, 1)):
        other = faults.events(seed, round, CLIENTS)["crash"]
        assert abs((first & other).sum() - 5000) < 5 * np.sqrt(20_000 * 0.25 * 0.75)


def test_one_kind_of_fault_moves_no_other_kinds_draws() -> None:
    alone = Faults(nan=0.2).events(1, 1, CLIENTS)["nan"]
    beside = Faults(crash=0.1, nan=0.2).events(1, 1, CLIENTS)
    assert beside["nan"].tolist() == (alone & ~beside["crash"]).tolist()
