"""Codecs: the laws of each, hand cases, and that wrong ones are found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pytest

from fedsim.core import ScenarioError, rng
from fedsim.core.uplink import Codec, catalogue
from fedsim.core.uplink.codec import Row
from fedsim.core.uplink.float16 import Float16
from fedsim.core.uplink.none import Nothing
from fedsim.core.uplink.qsgd import Qsgd
from fedsim.core.uplink.randk import RandK
from fedsim.core.uplink.sign import Sign
from fedsim.core.uplink.topk import TopK
from fedsim.laws.codecs import CODEC_LAWS, has_its_variance, is_keyed, is_unbiased_where_claimed
from fedsim.scenario import from_dict
from fedsim.study.checking import check

EACH: dict[str, Codec] = {
    "none": Nothing(),
    "topk": TopK(k=3),
    "randk": RandK(k=0.25),
    "qsgd": Qsgd(levels=2),
    "sign": Sign(),
    "float16": Float16(),
}
ANY = np.random.default_rng(0)


def test_there_is_a_case_for_every_codec() -> None:
    assert list(EACH) == sorted(catalogue(), key=list(EACH).index)


@pytest.mark.slow
@pytest.mark.parametrize("codec", EACH.values(), ids=EACH.keys())
def test_every_law_holds(codec: Codec) -> None:
    assert [verdict for verdict in (law(codec) for law in CODEC_LAWS) if not verdict.holds] == []


def test_randk_is_unbiased_over_all_choices() -> None:
    """k of d entries, each of the 3 choices of 2 from 3 equally likely: the mean of the three reads is the vector."""
    vector = np.array([1.0, -2.0, 4.0])
    reads = {tuple(RandK(k=2).code(vector, rng.stream(0, "t", n)).tolist()) for n in range(200)}
    assert reads == {(1.5, -3.0, 0.0), (1.5, 0.0, 6.0), (0.0, -3.0, 6.0)}
    np.testing.assert_allclose(np.mean(list(reads), axis=0), vector)


@pytest.mark.parametrize(
    ("codec", "size", "expected"),
    [
        (Nothing(), 1000, 4000),
        (TopK(k=10), 1000, 80),
        (TopK(k=0.01), 1000, 80),
        (TopK(k=1.0), 1000, 4000),
        (TopK(k=0.0004), 1000, 8),
        (TopK(k=0.25), 10, 24),  # floor(2.5 + .5) = 3
        (RandK(k=10), 1000, 80),
        (Qsgd(levels=7), 1000, 504),
        (Qsgd(levels=1), 1001, 255),
        (Sign(), 1001, 130),
        (Float16(), 1000, 2000),
    ],
)
def test_bytes_are_values_and_places_with_their_widths(codec: Codec, size: int, expected: int) -> None:
    assert codec.nbytes(size) == expected


def test_ties_go_to_those_that_stand_first() -> None:
    assert TopK(k=2).code(np.array([2.0, -1.0, 1.0, 1.0], np.float32), ANY).tolist() == [2.0, -1.0, 0.0, 0.0]
    assert TopK(k=1).code(np.zeros(3, np.float32), ANY).tolist() == [0.0, 0.0, 0.0]


def test_top_does_not_see_a_scale_and_a_threshold_does() -> None:
    """Why EF21-W under TopK is EF21: C(s x)/s = C(x), in float64 to 1e-16."""
    vector, scales = rng.stream(0, "t").standard_normal(50), (0.37, 1.7, 1e3)
    for scale in scales:
        same = TopK(k=7).code(scale * vector, ANY) / scale
        np.testing.assert_allclose(same, TopK(k=7).code(vector, ANY), rtol=2.3e-16, atol=0)
        assert not np.allclose(Threshold().code(scale * vector, ANY) / scale, Threshold().code(vector, ANY))


@dataclass(frozen=True, kw_only=True)
class Threshold(Codec):
    """Entries of at least 1."""

    codec: Literal["threshold"] = "threshold"

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        return np.where(np.abs(vector) >= 1.0, vector, 0.0)

    def nbytes(self, size: int) -> int:
        return 8 * size


@dataclass(frozen=True, kw_only=True)
class Forgetful(RandK):
    """Entries drawn and not multiplied."""

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        return super().code(vector, chance) * np.float32(0.9)


@dataclass(frozen=True, kw_only=True)
class Boastful(TopK):
    """More than there is."""

    def contraction(self, size: int) -> float:
        return 0.99


@dataclass(frozen=True, kw_only=True)
class Moody(Sign):
    """Another answer every time."""

    times: ClassVar[list[int]] = []

    def code(self, vector: Row, chance: np.random.Generator) -> Row:
        self.times.append(1)
        return vector + np.float32(len(self.times))


def test_wrong_codecs_are_found() -> None:
    assert not is_unbiased_where_claimed(Forgetful(k=3)).holds
    assert not has_its_variance(Boastful(k=3)).holds
    assert not is_keyed(Moody()).holds


def test_check_knows_codecs() -> None:
    found = check("randk:k=3")
    assert (found.kind, found.failed) == ("codec", ())


WORLD = {
    "name": "s",
    "rounds": 1,
    "data": {"dataset": "synthetic", "clients": 4},
    "model": {"name": "linear"},
}


@pytest.mark.parametrize(
    ("uplink", "more", "message"),
    [
        ({"codec": "topq", "k": 1}, {}, "topk"),
        ({"codec": "topk", "kk": 1}, {}, "uplink.kk: unknown key"),
        ({"codec": "topk", "k": 0}, {}, "uplink.k"),
        ({"codec": "topk", "k": 1.5}, {}, "uplink.k"),
        ({"codec": "topk"}, {}, "uplink.k: is missing"),
        ({"codec": "qsgd", "levels": 0}, {}, "uplink.levels"),
        ({"codec": "sign", "feedback": "ef22"}, {}, "uplink.feedback"),
        ({"codec": "sign", "weights": "smoothness"}, {}, "uplink.weights: are those of EF21-W"),
        ({"codec": "sign", "feedback": "ef21", "weights": [1, 2]}, {}, "uplink.weights: has 2 entries for 4 clients"),
        ({"codec": "sign", "feedback": "ef21", "weights": "smoothness"}, {"model": {"name": "mlp"}}, "not for mlp"),
        ({"codec": "sign"}, {"strategy": {"name": "gossip"}}, "under gossip there is none"),
        ({"codec": "sign"}, {"probe": {"every": 1}}, "no codec is linear"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(
    uplink: dict[str, object], more: dict[str, object], message: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        from_dict({**WORLD, **more, "uplink": uplink})
    assert message in str(error.value)
