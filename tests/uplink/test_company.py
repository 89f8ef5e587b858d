"""What is read of a client does not depend on who else is in its lane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedsim.clients.memory import Memory
from fedsim.clients.uplink import Uplink, UplinkPlan
from fedsim.core import rng
from fedsim.core.uplink import Codec
from fedsim.core.uplink.qsgd import Qsgd
from fedsim.core.uplink.randk import RandK
from fedsim.core.uplink.sign import Sign
from fedsim.core.uplink.topk import TopK

CLIENTS, SIZE = np.array([2, 3, 5, 11, 40]), 61


@pytest.mark.parametrize("feedback", ["none", "ef14", "ef21"])
@pytest.mark.parametrize("codec", [TopK, RandK, Qsgd, Sign])
def test_a_lane_of_all_and_lanes_of_one_have_the_same_bits(codec: type[Codec], feedback: Any) -> None:
    options: dict[str, Any] = {"k": 0.2} if codec in (TopK, RandK) else {}
    plan = UplinkPlan(
        codec(feedback=feedback, **options), 3, tuple(np.linspace(0.5, 2.0, 50)) if feedback == "ef21" else None
    )
    read = []
    for lanes in ([CLIENTS], [CLIENTS[:3], CLIENTS[3:]], [*CLIENTS[:, None]]):
        memories = {"delta": Memory(SIZE), "uplink.delta": Memory(SIZE)}
        rows = []
        for round in (1, 2, 3):
            for memory in memories.values():
                memory.open(round)
            uplink = Uplink(plan, memories, lambda _: 0.1, round)
            for lane in lanes:
                fresh = np.stack([rng.stream(round, "t", c).standard_normal(SIZE) for c in lane]).astype(np.float32)
                rows.append(uplink.send("delta", lane, fresh))
                memories["delta"].write(lane, rows[-1])
                for name, kept in uplink.notes.items():
                    memories[name].write(lane, kept)
        read.append((np.concatenate(rows).tobytes(), uplink.payload))
    assert read[0] == read[1] == read[2]
