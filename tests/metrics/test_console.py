"""The console on a terminal (one line that moves, never wraps) and in a file (plain lines, not too many)."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from fedsim.metrics import Evaluated, Event, Notice, RolledBack, RoundDone, RunEnded
from fedsim.metrics.sinks.console import CLIENT_NOTICES, ConsoleSink
from tests.metrics.conftest import started

START = started(name="toy-digits", rounds=100, folder="runs/toy-digits-1", store="runs/fedsim.db", wall_time=0.0)


def done(round: int, at: float) -> RoundDone:
    return RoundDone(run="a", round=round, values={"cohort_size": 7.0, "train_loss": 1 / round}, wall_time=at)


def evaluated(round: int, at: float) -> Evaluated:
    values = {"test_loss": 0.5, "test_accuracy": 0.875}
    return Evaluated(run="a", round=round, values=values, wall_time=at)


def ended(status: str = "completed") -> RunEnded:
    summary = {
        "rounds": 100,
        "final": {"round": 100, "test_accuracy": 0.875},
        "timing": {"round_s_median": 0.0123, "client_updates_per_s": 71000.0},
    }
    return RunEnded(run="a", status=status, summary=summary, wall_time=75.0)


def shown(events: list[Event], *, width: int = 100, terminal: bool = False, batch: int = 1, **options: object) -> str:
    file = io.StringIO()
    sink = ConsoleSink(Console(file=file, width=width, force_terminal=terminal, **options))  # type: ignore[arg-type]
    for k in range(0, len(events), batch):
        sink.write(events[k : k + batch])
    sink.close()
    return file.getvalue()


def states(text: str) -> list[str]:
    """Return every state of the moving line, without control codes."""
    return [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", part) for part in re.split(r"\r|\n", text)]


def rounds(text: str) -> list[int]:
    """Return the round of every plain line."""
    return [int(found[1]) for line in text.splitlines() if (found := re.match(r"round +(\d+)/100\b", line))]


def test_a_file_gets_the_first_round_and_at_most_one_line_a_second_after() -> None:
    assert rounds(shown([START, *(done(r, r / 128) for r in range(1, 101))])) == [1]
    assert rounds(shown([START, *(done(r, r / 16) for r in range(1, 101))])) == [1, 17, 33, 49, 65, 81, 97]


def test_a_file_gets_a_line_for_every_evaluated_round_with_its_own_values() -> None:
    told: list[Event] = [START, *(done(r, r / 128) for r in range(1, 101))]
    told[12:12] = [evaluated(10, 0.1)]  # while round 11 was trained
    text = shown([*told, evaluated(100, 0.9)])
    assert rounds(text) == [1, 10, 100]
    assert re.search(r"10/100 +cohort 7 +train loss 0\.1 +test loss 0\.5 +accuracy 0\.8750", text)


def test_a_file_holds_no_control_codes_and_lines_are_not_wrapped_at_its_width() -> None:
    text = shown([START, done(1, 0.1), evaluated(1, 0.2), done(2, 1.5), ended()], width=20)
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.splitlines()[0] == "toy-digits: fedavg, 3 clients, 100 rounds, seed 1"


def test_rate_and_remaining_time_are_told() -> None:
    text = shown([START, *(done(r, r / 2) for r in range(1, 11))])
    assert "2 rounds/s  ETA 45.5 s" in text


@pytest.mark.parametrize("width", [1, 10, 24, 40, 80, 200])
def test_the_moving_line_never_reaches_the_edge_of_the_terminal(width: int) -> None:
    events: list[Event] = [*(done(r, r / 2) for r in range(1, 20)), evaluated(19, 10.0)]
    text = shown(events, width=width, terminal=True)
    assert max(map(cell_len, states(text))) <= max(width - 1, 0)
    assert "\n" not in text


def test_a_narrow_terminal_shows_what_matters_most() -> None:
    text = shown([done(1, 0.5), done(2, 1.0), evaluated(2, 1.0)], width=30, terminal=True)
    assert states(text)[-2] == "round 2/2  accuracy 0.8750"


def test_the_moving_line_is_replaced_in_place_and_gone_at_the_end() -> None:
    text = shown([START, done(1, 0.1), done(2, 0.2)], terminal=True)
    assert text.count("\r\x1b[2K") == 2
    assert text.endswith("\r\x1b[2K")


def test_a_batch_moves_the_line_once() -> None:
    text = shown([done(r, r / 10) for r in range(1, 101)], terminal=True, batch=100)
    assert text.count("round ") == 1


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    notice = Notice(run="a", round=1, kind="host-lost", text="gone", host="host-1")
    text = shown([START, notice, ended()], terminal=True)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)
    assert "host-1 host-lost: gone" in text


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\r" not in shown([START, done(1, 0.1)], terminal=True)


def test_the_end_tells_the_result_and_where_things_are() -> None:
    lines = shown([START, ended()], width=40).splitlines()[1:]
    assert lines == [
        "completed after 100 rounds in 1:15",
        "  test accuracy              0.875",
        "  round time, median         12.3 ms",
        "  client updates per second  71,000",
        "  files                      runs/toy-digits-1",
        "  store                      runs/fedsim.db",
    ]


def test_a_run_that_failed_before_its_first_round_is_told_too() -> None:
    text = shown([started(), RunEnded(run="a", status="failed", summary={"final": {}})])
    assert "failed after ? rounds" in text


def test_names_are_text_not_markup() -> None:
    assert "[red]x[/red] [/]" in shown([started(name="[red]x[/red] [/]")])


def test_the_first_client_notices_are_printed_and_the_rest_left_to_the_store() -> None:
    crashes = [Notice(run="a", round=r, kind="crash", text="Traceback\nBoom", client=r) for r in range(20)]
    lines = shown([START, *crashes, ended()]).splitlines()
    assert lines[1] == "round 0: client 0 crash: Boom"
    assert sum("crash: Boom" in line for line in lines) == CLIENT_NOTICES
    assert sum("in the store only" in line for line in lines) == 1
    assert "  notices about clients      20" in lines


def test_after_a_rollback_the_rate_starts_anew() -> None:
    text = shown([START, done(1, 0.0), done(50, 10.0), RolledBack(run="a", round=10), done(11, 20.0), done(12, 21.0)])
    assert text.splitlines()[-1].endswith("1 rounds/s  ETA 1:28")


def test_an_interrupted_run_leaves_the_last_word_to_the_command() -> None:
    assert shown([START, ended("interrupted")]).splitlines()[1:] == []
