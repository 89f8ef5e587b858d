"""The example of FedIns: what it is at its start and with one pool, what an image picks, and what travels."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fedsim
from fedsim.engine.run.run import resume

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "examples" / "fedins"
NET: dict[str, Any] = runpy.run_path(str(FOLDER / "net.py"))
X = torch.rand((5, 1, 8, 8), generator=torch.Generator().manual_seed(1))


def net(**options: Any) -> Any:
    torch.manual_seed(0)
    return NET["FedIns"]((1, 8, 8), 10, **options)


@torch.no_grad()
def test_scale_one_and_shift_zero_is_the_backbone() -> None:
    one, many = net(pools=1, chosen=1), net()
    assert torch.equal(one.features(X), one.backbone(X))
    torch.testing.assert_close(many.features(X), many.backbone(X), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_one_pool_is_plain_scaling_and_shifting() -> None:
    one = net(pools=1, chosen=1)
    one.scales.uniform_(0.5, 1.5)
    one.shifts.uniform_(-1, 1)
    scale, shift = (pool.expand(5, -1, -1) for pool in (one.scales, one.shifts))
    assert torch.equal(one.features(X), one.backbone(X, scale, shift))
    assert not torch.allclose(one.features(X), one.backbone(X))


def test_an_image_picks_the_nearest_keys_whatever_their_length() -> None:
    angles = torch.tensor([90.0, 180.0, 10.0, 60.0, -80.0, -20.0, 120.0, 30.0]).deg2rad()
    keys = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([9.0, 1, 0.1, 50, 1, 2, 1, 1])[:, None]
    places, weights = NET["chosen"](torch.tensor([[3.0, 0.0]]), keys, 3)
    assert set(places[0].tolist()) == {2, 5, 7}
    wanted = angles[[2, 5, 7]].cos().exp()
    torch.testing.assert_close(weights[0, [2, 5, 7]], wanted / wanted.sum())
    assert weights[0, [0, 1, 3, 4, 6]].tolist() == [0.0] * 5


def test_only_pools_keys_and_head_travel_and_hosts_and_a_break_leave_the_bits(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "fedins")
    file, serial = folder / "scenario.yaml", {"kind": "serial"}
    whole = fedsim.run(file, out=tmp_path / "whole", rounds=4, engine=serial)
    fedsim.run(file, out=tmp_path / "part", rounds=2, engine=serial)
    resumed = resume(tmp_path / "part", rounds=4)
    hosts = fedsim.run(file, out=tmp_path / "hosts", rounds=4, engine={"kind": "processes", "hosts": 2})
    told = "params_sha256"
    assert resumed.summary[told] == hosts.summary[told] == whole.summary[told]
    with np.load(whole.folder / "params.npz") as params:
        sizes = {name: params[name].size for name in params.files}
    assert sizes == {"scales": 384, "shifts": 384, "keys": 512, "head.weight": 640, "head.bias": 10}
    rows = whole.rounds
    up = rows.query("metric == 'bytes_up'")["value"] / rows.query("metric == 'cohort_size'")["value"].to_numpy()
    assert up.eq(4 * 1930).all()


def test_the_example_learns(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER, tmp_path / "fedins")
    assert fedsim.run(folder / "scenario.yaml", out=tmp_path / "run").final["test_accuracy"] > 0.5
