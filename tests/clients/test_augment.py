"""Crop and flip: their laws, and that nothing but (seed, round, client, step, position) decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedsim.clients.augment import Augment
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork, ScenarioError
from fedsim.data import Partitioned
from fedsim.data.reading.normalise import Statistics, normalised
from fedsim.models.linear import Linear
from tests.clients.fakes import COUNTS, collect, ragged, train

EVERYONE = np.arange(len(COUNTS))
SIDE = 12


def numbered(many: int) -> torch.Tensor:
    """Return images (1, 1, many, 1, 12, 12) whose pixels say where they stand, from 1."""
    return torch.arange(1.0, SIDE * SIDE + 1).view(1, 1, 1, 1, SIDE, SIDE).expand(1, 1, many, 1, -1, -1).contiguous()


def applied(names: tuple[str, ...], many: int = 4000, round: int = 1) -> torch.Tensor:
    positions = np.arange(many)[None, None]
    return Augment(names, 7, round).apply(numbered(many), np.array([3]), 0, positions)[0, 0, :, 0]


def test_a_crop_is_each_of_the_81_shifts_equally_often_with_black_around() -> None:
    original, counted = numbered(1)[0, 0, 0, 0], Counter[tuple[int, int]]()
    wide = torch.zeros(SIDE + 8, SIDE + 8)
    wide[4:-4, 4:-4] = original
    shifts = {(a, b): wide[a : a + SIDE, b : b + SIDE] for a in range(9) for b in range(9)}
    by_middle = {float(image[6, 6]): shift for shift, image in shifts.items()}
    for image in applied(("crop",)):
        shift = by_middle[float(image[6, 6])]
        assert torch.equal(image, shifts[shift])
        counted[shift] += 1
    expected = 4000 / 81
    assert len(counted) == 81
    chi2 = sum((count - expected) ** 2 / expected for count in counted.values())
    assert chi2 < 80 + 5 * np.sqrt(160)


def test_half_of_the_images_are_mirrored_left_to_right() -> None:
    original = numbered(1)[0, 0, 0, 0]
    mirrored = [torch.equal(image, original.flip(1)) for image in applied(("flip",))]
    assert all(m or torch.equal(image, original) for m, image in zip(mirrored, applied(("flip",)), strict=True))
    assert abs(sum(mirrored) - 2000) < 5 * np.sqrt(1000)


def test_another_round_step_client_or_position_is_another_draw() -> None:
    def middles(round: int = 1, client: int = 3, first: int = 0, shift: int = 0) -> list[float]:
        positions = np.arange(shift, shift + 50)[None, None]
        out = Augment(("crop", "flip"), 7, round).apply(numbered(50), np.array([client]), first, positions)
        return [float(value) for value in out[0, 0, :, 0, 6, 6]]

    assert middles() == middles()
    assert middles()[10:] == middles(shift=10)[:40]
    others = [middles(round=2), middles(client=4), middles(first=1), middles(shift=50)]
    assert all(sum(a == b for a, b in zip(middles(), other, strict=True)) < 10 for other in others)


def test_what_is_black_follows_the_standardisation() -> None:
    x = np.zeros((6, 2, 5, 5), np.uint8)
    data = replace(ragged((2, 5, 5), np.array([6])), x=x)
    plain = train(Linear(), LocalWork(lane=1, augment=("crop",)), data, np.array([0]))
    assert np.array_equal(plain.deltas, train(Linear(), LocalWork(lane=1), data, np.array([0])).deltas)
    given = normalised(data, Statistics(mean=(0.5, 0.25), std=(0.5, 2.0)))
    cropped = train(Linear(), LocalWork(lane=1, augment=("crop",)), given, np.array([0]))
    assert np.array_equal(cropped.deltas, train(Linear(), LocalWork(lane=1), given, np.array([0])).deltas)


@pytest.mark.parametrize("normalise", [None, "channel"])
@pytest.mark.parametrize("amount", [{"local_epochs": 2}, {"local_steps": 4}])
def test_a_lane_equals_the_plain_loop_and_no_client_feels_its_company(amount: dict[str, int], normalise: Any) -> None:
    data: Partitioned = normalised(ragged((2, 6, 6)), normalise)
    work = LocalWork(batch_size=4, lr=0.05, lane=1, augment=("crop", "flip"), **amount)
    alone = train(Linear(), work, data, EVERYONE)
    lanes = train(Linear(), replace(work, lane=5), data, EVERYONE)
    norms = np.linalg.norm(alone.deltas, axis=1)
    assert (np.linalg.norm(lanes.deltas - alone.deltas, axis=1) <= 1e-5 * norms).all()
    one = train(Linear(), work, data, EVERYONE[5:6])
    assert np.array_equal(one.deltas[0], alone.deltas[5])
    assert not np.array_equal(train(Linear(), replace(work, augment=()), data, EVERYONE).deltas, alone.deltas)
    assert not np.array_equal(train(Linear(), replace(work, augment=("flip",)), data, EVERYONE).deltas, alone.deltas)


def test_a_step_gathered_in_another_chunk_is_augmented_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data, work = ragged((2, 6, 6)), LocalWork(batch_size=4, lane=5, augment=("crop", "flip"), local_epochs=2)
    for lane in (1, 5):
        monkeypatch.undo()
        whole = train(Linear(), replace(work, lane=lane), data, EVERYONE)
        monkeypatch.setattr("fedsim.clients.kernels.feed._GATHER_BYTES", 1)
        assert np.array_equal(whole.deltas, train(Linear(), replace(work, lane=lane), data, EVERYONE).deltas)


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(ScenarioError, match="needs images"):
        collect(Trainer(Linear(), LocalWork(augment=("flip",)), ragged((6,)), seed=1), EVERYONE)
