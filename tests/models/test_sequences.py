"""Models of tokens: no output depends on a later token, and lanes train as one client after the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fedsim.core import Examples, LocalWork, ScenarioError
from fedsim.data import Partitioned
from fedsim.models.embedding_gru import EmbeddingGru
from fedsim.models.modules.building import build, layout
from fedsim.models.sequences import Sequence
from fedsim.models.transformer_tiny import TransformerTiny
from tests.clients.fakes import ragged, train
from tests.clients.test_kernels import assert_close

MODELS = [EmbeddingGru(embedding=3, hidden=5), TransformerTiny(width=8, heads=2, layers=1)]


def filled(config: Sequence, length: int = 6, classes: int = 7) -> torch.nn.Module:
    module = build(config, (length,), classes)
    start = config.start(layout(module), 3)
    assert start is not None
    torch.nn.utils.vector_to_parameters(torch.from_numpy(start), module.parameters())
    return module


def rows_of_tokens() -> Partitioned:
    data = ragged((6,), np.array([5, 2, 3]))
    stream = np.random.default_rng(2)
    x, y = (stream.integers(0, 7, (10, 6)) for _ in range(2))
    return replace(data, x=x, y=y, num_classes=7, test=Examples(x[:2], y[:2]))


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.name)
def test_no_output_depends_on_a_later_token(config: Sequence) -> None:
    module, x = filled(config), torch.arange(12).reshape(2, 6) % 7
    other = x.clone()
    other[:, 4:] = (other[:, 4:] + 1) % 7
    with torch.no_grad():
        one, two, last = module(x), module(other), filled(replace(config, outputs="last"))(x)
    assert one.shape == (2, 6, 7)
    torch.testing.assert_close(one[:, :4], two[:, :4])
    assert not torch.allclose(one[:, 4], two[:, 4])
    torch.testing.assert_close(last, one[:, -1])


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.name)
def test_a_lane_equals_the_plain_loop(config: Sequence) -> None:
    data, work = rows_of_tokens(), LocalWork(batch_size=2, lr=0.1, lane=1, local_epochs=1)
    everyone = np.arange(3)
    assert_close(train(config, replace(work, lane=3), data, everyone), train(config, work, data, everyone))


def test_the_gates_are_those_of_pytorch() -> None:
    module = filled(EmbeddingGru(embedding=3, hidden=5))
    gru = torch.nn.GRU(3, 5, batch_first=True)
    gru.weight_ih_l0.data, gru.bias_ih_l0.data = module.inputs.weight.data, module.inputs.bias.data
    gru.weight_hh_l0.data, gru.bias_hh_l0.data = module.state.weight.data, module.state.bias.data
    x = torch.arange(12).reshape(2, 6) % 7
    with torch.no_grad():
        torch.testing.assert_close(module(x), module.output(gru(module.embedding(x))[0]))


@pytest.mark.parametrize("config", MODELS, ids=lambda config: config.name)
def test_what_is_no_row_of_tokens_is_refused(config: Sequence) -> None:
    with pytest.raises(ScenarioError, match="needs rows of token ids"):
        build(config, (1, 8, 8), 10)


def test_heads_divide_the_width() -> None:
    assert {key for key, _ in TransformerTiny(width=10, heads=4).problems()} == {"heads"}
