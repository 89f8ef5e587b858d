"""Processes fitted to traces give back the numbers that made them; the command prints their block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from fedsim.cli.scenario.participation import participation
from fedsim.core import ScenarioError, World
from fedsim.participation.config import Participation
from fedsim.participation.fit import Presence, cyclic, fitted, markov, presence, recorded, sine
from fedsim.participation.modulations.sine import Sine
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.markov import Markov

app = Typer()
app.command()(participation)


def made(config: Participation, clients: int = 60, rounds: int = 400) -> Presence:
    return presence(config.process(World(3, clients)), rounds)


def write(path: Path, there: Presence, round_s: int) -> str:
    """Write presence as a trace: one window a client and round."""
    rows = [f"{c},{r * round_s},{(r + 1) * round_s}" for r, c in np.argwhere(there).tolist()]
    path.write_text("\n".join(["client,start_s,end_s", *rows]))
    return str(path)


def test_a_chain_of_four_rounds_is_fitted_by_hand() -> None:
    found = markov(np.array([[0, 1], [1, 1], [1, 0], [0, 1]], bool))
    # away before 2 steps, both come; present before 4 steps, 2 leave
    assert isinstance(found.config, Markov)
    assert (found.config.activation, found.config.probabilities) == (1.0, pytest.approx(2 / 3))


def test_fits_give_back_what_made_the_trace() -> None:
    chain = markov(made(Markov(probabilities=0.3, activation=0.1)))
    assert isinstance(chain.config, Markov)
    assert abs(chain.config.probabilities - 0.3) < 4 * chain.errors["p"] < 0.1  # type: ignore[operator]
    assert abs(chain.config.activation - 0.1) < 4 * chain.errors["activation"] < 0.02
    turns = cyclic(made(Cyclic(probabilities=0.25, period=24)))
    assert turns.config == Cyclic(probabilities=0.25, period=24)
    assert turns.errors == {"share of client-rounds that differ": 0.0}
    swing = sine(made(Bernoulli(probabilities=0.8, modulate=Sine(period=20, amplitude=0.3)), clients=400))
    assert isinstance(swing.config, Bernoulli)
    assert isinstance(swing.config.modulate, Sine)
    assert swing.config.modulate.period == 20
    assert abs(swing.config.modulate.amplitude - 0.3) < 4 * swing.errors["amplitude"] < 0.03
    assert abs(swing.config.probabilities - 0.8) < 4 * swing.errors["p"] < 0.03  # type: ignore[operator]


def test_a_trace_is_read_by_the_seconds_that_divide_its_times(tmp_path: Path) -> None:
    there = made(Markov(probabilities=0.5, activation=0.3), 8, 30)
    there[-1] = True
    found, how = recorded(Path(write(tmp_path / "t.csv", there, 60)))
    np.testing.assert_array_equal(found, there)
    assert how == "30 rounds of 60 s"


def test_the_command_prints_a_block_and_draws(tmp_path: Path) -> None:
    trace = write(tmp_path / "t.csv", made(Markov(probabilities=0.5, activation=0.3), 8, 60), 10)
    words = ["fit", trace, "--kind", "markov", "--out", str(tmp_path / "fit.png")]
    said = CliRunner().invoke(app, words, catch_exceptions=False).output
    assert "participation: {kind: markov, probabilities: 0." in said
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["fit"], "give a trace"),
        (["fit", "t.csv"], "--kind: say what to fit"),
        (["fit", "t.csv", "--kind", "chain"], "cannot be read"),
        (["s.yaml", "t.csv"], "TRACE: is for fit"),
        (["s.yaml", "--kind", "sine"], "--kind: is for fit"),
        (["fit", "t.csv", "--kind", "sine", "--out", "a.pdf"], "give a name that ends in .png"),
        (["fit", "t.csv", "--kind", "sine", "--round-s", "0"], "--round-s: must be positive"),
    ],
)
def test_wrong_words_are_told(words: list[str], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        CliRunner().invoke(app, words, catch_exceptions=False)


def test_what_cannot_be_fitted_is_told() -> None:
    always = np.ones((20, 3), bool)
    with pytest.raises(ScenarioError, match="nobody ever came back"):
        markov(always)
    with pytest.raises(ScenarioError, match="must be one of markov, cyclic, sine, got 'chain'"):
        fitted("chain", always)
    with pytest.raises(ScenarioError, match="too few to see a period twice"):
        cyclic(always[:3])
