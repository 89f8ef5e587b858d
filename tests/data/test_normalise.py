"""`data.normalise`: what is subtracted and divided by, from where, in training and in the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedsim
from fedsim.clients.kernels.source import Gathered, Pooled
from fedsim.core import ScenarioError
from fedsim.data import Partitioned
from fedsim.data.digits import Digits
from fedsim.data.npz import Npz
from fedsim.data.partitions.iid import Iid
from fedsim.data.reading.normalise import Statistics, normalised
from fedsim.scenario import from_dict, scenario_hash


def examples(data: Partitioned) -> np.ndarray:
    """Return the features of all training examples, client by client."""
    parts = [data.rows(np.array([c]), np.arange(n)[None]).x[0] for c, n in enumerate(data.num_examples) if n]
    return np.concatenate(parts).astype(np.float64)


def npz(folder: Path, x: np.ndarray, **given: Any) -> Partitioned:
    np.savez(folder / "d.npz", x=x, y=np.arange(len(x)) % 3)
    return Npz(path="d.npz", clients=4, partition=Iid(), **given).load(1, str(folder))


def test_channel_gives_the_training_examples_mean_zero_and_deviation_one(tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(0, 256, (5000, 3, 4, 4)).astype(np.uint8)
    x[:, 1] //= 4
    plain, channel = npz(tmp_path, x, divide_by=255), npz(tmp_path, x, divide_by=255, normalise="channel")
    standard = examples(channel)
    np.testing.assert_allclose(standard.mean(axis=(0, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(standard.std(axis=(0, 2, 3)), 1, rtol=1e-6)
    raw = examples(plain)
    mean, std = raw.mean(axis=(0, 2, 3), keepdims=True), raw.std(axis=(0, 2, 3), keepdims=True)
    assert plain.test is not None
    assert channel.test is not None
    np.testing.assert_allclose(channel.test.x, (plain.test.x - mean[0]) / std[0], rtol=1e-5, atol=1e-5)


def test_features_of_a_vector_are_channels_and_a_constant_one_is_divided_by_one(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(1e5, [1.0, 100.0, 0.0], (300, 3))
    standard = examples(npz(tmp_path, x, normalise="channel"))
    np.testing.assert_allclose(standard.std(axis=0), [1, 1, 0], rtol=1e-2, atol=1e-2)


def test_given_statistics_are_taken_as_they_are() -> None:
    plain = Digits(clients=5, partition=Iid()).load(1)
    given = Digits(clients=5, partition=Iid(), normalise=Statistics(mean=(0.25,), std=(0.5,))).load(1)
    np.testing.assert_array_equal(examples(given), (examples(plain) - 0.25) / 0.5)
    np.testing.assert_array_equal(given.order, plain.order)


def test_the_pool_on_the_device_and_the_host_give_the_same_bits() -> None:
    data = Digits(clients=5, partition=Iid(), normalise="channel").load(1)
    clients, positions = np.array([0, 3]), np.array([[0, 4, 9], [3, 2, 0]])
    device = torch.device("cpu")
    ours, theirs = Pooled(data, device).rows(clients, positions), Gathered(data, device).rows(clients, positions)
    assert torch.equal(ours[0], theirs[0])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (Statistics(mean=(0.1, 0.2), std=(1.0, 1.0)), "data.normalise.mean: give one number a channel: there are 1"),
    ],
)
def test_other_channels_are_refused(how: Statistics, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        normalised(Digits(clients=5).load(1), how)


def test_tokens_have_no_mean() -> None:
    data = Digits(clients=5).load(1)
    tokens = Partitioned(data.x.astype(np.int64), data.y, data.order, data.offsets, 10, None)
    with pytest.raises(ScenarioError, match="features are tokens"):
        normalised(tokens, "channel")


def test_a_run_is_another_with_other_features(tmp_path: Path) -> None:
    base = {"name": "n", "rounds": 2, "data": {"dataset": "digits", "clients": 5}, "model": {"name": "linear"}}
    channel = {**base, "data": {**base["data"], "normalise": "channel"}}  # type: ignore[dict-item]
    none = {**base, "data": {**base["data"], "normalise": None}}  # type: ignore[dict-item]
    hashes = [scenario_hash(from_dict(one)) for one in (base, none, channel)]
    assert hashes[0] == hashes[1] != hashes[2]
    runs = [fedsim.run(one, out=tmp_path / str(k)) for k, one in enumerate((base, channel))]
    assert runs[0].summary["params_sha256"] != runs[1].summary["params_sha256"]
