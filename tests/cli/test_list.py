from __future__ import annotations

import pytest

from fedsim import data, models, optimizers, participation, strategies
from fedsim.cli import main
from fedsim.cli.scenario.listing import _table
from fedsim.core import server
from fedsim.data import partitions
from fedsim.strategies import corrections
from fedsim.task import losses, metrics


def listed(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["list", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("word", "members"),
    [
        ("strategies", strategies.catalogue()),
        ("corrections", corrections.catalogue()),
        ("datasets", data.catalogue()),
        ("models", models.catalogue()),
        ("losses", losses.catalogue()),
        ("metrics", metrics.catalogue()),
        ("optimizers", optimizers.catalogue()),
        ("server-optimizers", server.catalogue()),
        ("processes", participation.catalogue()),
        ("partitions", partitions.catalogue()),
        ("laws", participation.laws()),
    ],
)
def test_every_member_has_one_aligned_line_with_a_text(
    word: str, members: dict[str, type], capsys: pytest.CaptureFixture[str]
) -> None:
    title, *lines = listed(capsys, word)
    assert title.startswith(word)
    assert [line.split()[0] for line in lines] == list(members)
    column = max(map(len, members)) + 4
    assert all(line[column - 2 : column] == "  " and line[column] != " " for line in lines)


def test_everything_is_listed_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    lines = listed(capsys)
    titles = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert titles == [
        "strategies", "corrections", "datasets", "partitions", "models", "losses", "metrics", "optimizers",
        "server-optimizers", "codecs", "processes", "laws",
    ]  # fmt: skip


def test_on_a_terminal_of_80_columns_no_line_is_longer() -> None:
    for members in (strategies.catalogue(), data.catalogue(), models.catalogue(), participation.catalogue()):
        lines = _table(members, 80, {})
        assert max(map(len, lines)) <= 80
        assert " ".join(" ".join(lines).split()) == " ".join(" ".join(_table(members, None, {})).split())


def test_an_unknown_word_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "strategy"]) == 2
    err = capsys.readouterr().err
    assert "datasets" in err
    assert "did you mean 'strategies'?" in err
