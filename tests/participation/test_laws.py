"""Probability laws: exact forms, ranges, and their place in a config."""

import numpy as np
import pytest

from fedsim.core import ScenarioError, World
from fedsim.core.rng import stream
from fedsim.participation.laws import Beta, LabelDirichlet, Law, TwoLevel, UniformLaw, laws, resolve
from fedsim.participation.processes.bernoulli import Bernoulli

COUNTS = np.array([[8, 2, 0], [0, 0, 5], [0, 0, 0], [3, 3, 3]])


def test_label_dirichlet_is_the_clipped_product_with_the_luck_of_the_classes() -> None:
    world = World(7, 4, lambda: COUNTS)
    luck = stream(7, "participation.law").dirichlet(np.full(3, 0.5))
    kappa = np.array([[0.8, 0.2, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    expected = np.clip(0.1 * 3 * (kappa @ luck), 0.02, 1.0)
    np.testing.assert_array_equal(LabelDirichlet(alpha=0.5, mean=0.1, min=0.02).draw(world), expected)


def test_label_dirichlet_gives_the_mean_to_clients_with_all_labels_alike() -> None:
    world = World(7, 4, lambda: COUNTS)
    assert LabelDirichlet(mean=0.1).draw(world)[3] == pytest.approx(0.1)


def test_label_dirichlet_correlates_participation_with_labels() -> None:
    labels = np.eye(10, dtype=np.int64)[np.arange(1000) % 10] * 20
    drawn = LabelDirichlet(alpha=0.1, mean=0.1, min=0.02).draw(World(1, 1000, lambda: labels))
    by_label = drawn.reshape(100, 10)
    assert (by_label == by_label[0]).all()
    assert by_label[0].max() > 0.3
    assert by_label[0].min() == 0.02


@pytest.mark.parametrize("counts", [None, np.zeros((4, 0), np.int64)])
def test_label_dirichlet_without_labels_is_refused(counts: np.ndarray | None) -> None:
    world = World(7, 4, None if counts is None else lambda: counts)
    with pytest.raises(ScenarioError, match="dataset with labels"):
        Bernoulli(probabilities=LabelDirichlet()).process(world)


def test_two_level_gives_high_to_the_first_share() -> None:
    assert TwoLevel(share=0.3, high=0.9, low=0.1).draw(World(1, 10)).tolist() == [0.9] * 3 + [0.1] * 7


def test_beta_has_its_mean_and_respects_the_minimum() -> None:
    drawn = Beta(a=2, b=6, min=0.05).draw(World(1, 100_000))
    assert drawn.min() == 0.05
    assert np.maximum(drawn, 0.05).mean() == pytest.approx(0.25, abs=0.005)


def test_uniform_law_fills_its_range() -> None:
    drawn = UniformLaw(low=0.2, high=0.4).draw(World(1, 100_000))
    assert 0.2 <= drawn.min() < 0.2001
    assert 0.3999 < drawn.max() <= 0.4
    assert drawn.mean() == pytest.approx(0.3, abs=0.001)


@pytest.mark.parametrize("law", [Beta(), UniformLaw(), TwoLevel()], ids=lambda law: law.law)
def test_every_law_gives_probabilities_in_range(law: Law) -> None:
    drawn = law.draw(World(3, 5000))
    assert ((drawn > 0) & (drawn <= 1)).all()


@pytest.mark.parametrize("law", [Beta(), UniformLaw()], ids=lambda law: law.law)
def test_one_more_client_changes_nobody_elses_probability(law: Law) -> None:
    np.testing.assert_array_equal(law.draw(World(3, 501))[:500], law.draw(World(3, 500)))


def test_laws_are_found_by_the_word_in_the_scenario() -> None:
    assert all(cls.__dataclass_fields__["law"].default == word for word, cls in laws().items())


def test_a_number_and_a_list_are_themselves() -> None:
    assert resolve(0.25, World(1, 3)).tolist() == [0.25] * 3
    assert resolve((0.1, 0.2, 0.3), World(1, 3)).tolist() == [0.1, 0.2, 0.3]


def test_a_law_with_an_empty_range_is_refused_by_key() -> None:
    with pytest.raises(ScenarioError, match=r"participation\.probabilities\.low: must not exceed high"):
        Bernoulli(probabilities=UniformLaw(low=0.5, high=0.4)).process(World(1, 3))
