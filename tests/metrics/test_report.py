"""The report: grouped, paired, self-contained, and safe against what runs are called."""

import re
from pathlib import Path

import numpy as np
import pytest

from fedsim.analysis.figures import Forest
from fedsim.analysis.paired import paired_difference
from fedsim.analysis.report import Report, report
from fedsim.core import ScenarioError
from fedsim.metrics import Evaluated, Event, RoundDone, RunEnded
from fedsim.store.database import Store
from tests.metrics.conftest import started

SCRIPT = "<script>alert(1)</script>"
TEXT = "name: {name}\nseed: {seed}\nclient: {{lr: 0.1}}\nstrategy: {{name: {strategy}, beta: {beta}}}\n"


def run(strategy: str, seed: int, level: float, name: str = "toy", beta: float = 0.5) -> list[Event]:
    """Return a run of 30 rounds that ends at accuracy `level`."""
    word = f"{strategy}-{beta}-{seed}"
    text = TEXT.format(name=name, seed=seed, strategy=strategy, beta=beta)
    about = {"versions": {"fedsim": "0.1", "torch": "2"}, "scenario_hash": f"hash-{word}", "num_clients": 6}
    events: list[Event] = [
        started(word, name=name, strategy=strategy, seed=seed, rounds=30, scenario=text, wall_time=float(seed), **about)
    ]
    events.append(Evaluated(run=word, round=0, values={"test_accuracy": 0.1, "test_loss": 2.0}))
    for r in range(1, 31):
        values = {"update_variance": level / r, "cohort_size": 2.0}
        vectors = {"participants": np.array([r % 6, 5], np.int64)}
        events.append(RoundDone(run=word, round=r, values=values, vectors=vectors))
        if r % 10 == 0:
            events.append(Evaluated(run=word, round=r, values={"test_accuracy": level * r / 30, "test_loss": 1 / r}))
    summary = {"schedule_hash": f"schedule-{seed}", "params_sha256": f"bits-{word}"}
    return [*events, RunEnded(run=word, status="completed", summary=summary)]


@pytest.fixture
def made(tmp_path: Path) -> Report:
    store = Store(tmp_path / "fedsim.db")
    for seed in (1, 2, 3):
        store.write([*run("fedavg", seed, 0.6 + 0.01 * seed), *run("fedstale", seed, 0.7 + 0.02 * seed)])
    return report(store, store.runs())


def test_runs_are_grouped_by_all_but_the_seed_and_the_first_is_the_baseline(made: Report) -> None:
    assert [(group.label, sorted(group.by_seed)) for group in made.grouped] == [
        ("fedavg", [1, 2, 3]),
        ("fedstale", [1, 2, 3]),
    ]


def test_the_final_table_is_the_paired_test(made: Report) -> None:
    expected = paired_difference([0.72, 0.74, 0.76], [0.61, 0.62, 0.63])
    found = made.differences("test_accuracy")["fedstale"]
    assert (found.mean, found.low, found.p_value) == pytest.approx((expected.mean, expected.low, expected.p_value))
    table = made.tables[0]
    assert table.title == "test accuracy (last evaluation; higher is better)"
    assert table.rows[0][:4] == ("fedavg", "0.62 ± 0.025", "3", "baseline")
    assert table.rows[1][:5] == ("fedstale", "0.74 ± 0.05", "3", "0.12 ± 0.025", "3")


def test_a_variance_is_a_mean_over_rounds(made: Report) -> None:
    harmonic = sum(1 / r for r in range(1, 31)) / 30
    assert made.values("update_variance")[0][1] == pytest.approx(0.61 * harmonic)


def test_set_up_shows_what_differs_first(made: Report) -> None:
    rows = {row[0]: row[1:] for row in made.setup.rows}
    assert list(rows)[:2] == ["seeds", "strategy.name"]
    assert rows["strategy.name"] == ("fedavg", "fedstale")
    assert rows["client.lr"] == ("0.1", "0.1")
    assert "name" not in rows


def test_curves_have_bands_and_differences_follow_the_first(made: Report) -> None:
    assert [panel.title for panel in made.panels] == [
        "test accuracy", "test loss", "test accuracy: paired difference to fedavg", "update variance over the cohort",
    ]  # fmt: skip
    forest = made.panels[2]
    assert isinstance(forest, Forest)
    assert list(forest.rows) == ["fedstale"]


def test_the_page_is_self_contained(made: Report) -> None:
    page = made.html()
    body = re.sub(r"<script[^>]*>.*?</script>", "", page, flags=re.DOTALL)
    assert "Plotly" in page.replace(body, "")
    assert not re.search(r"(src|href)=[\"'](?!data:)", body)
    for word in ("hash-fedavg-0.5-1", "schedule-1", "bits-fedstale-0", "Set-up", "Versions", "data:image/png;base64,"):
        assert word[:16] in body


def test_what_runs_are_called_is_escaped(tmp_path: Path) -> None:
    with Store(tmp_path / "fedsim.db") as store:
        store.write([*run("fedavg", 1, 0.5, name=SCRIPT), *run("fedavg", 2, 0.5, name=SCRIPT)])
        page = report(store, store.runs(), title=f"{SCRIPT} again").html()
    assert SCRIPT not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; again" in page


def test_the_picture_is_a_png_of_everything(made: Report) -> None:
    picture = made.png()
    assert picture.startswith(b"\x89PNG")
    width, height = (int.from_bytes(picture[k : k + 4], "big") for k in (16, 20))
    assert width > 1000
    assert height > 1000


def test_one_run_alone_has_a_report(tmp_path: Path) -> None:
    with Store(tmp_path / "fedsim.db") as store:
        store.write(run("fedavg", 1, 0.5))
        found = report(store, store.runs())
        assert found.title == "toy"
        assert [panel.title for panel in found.panels] == [
            "test accuracy", "test loss", "update variance over the cohort",
        ]  # fmt: skip
        assert found.tables[0].rows[0][:3] == ("fedavg", "0.5", "1")
        assert found.png().startswith(b"\x89PNG")


def test_a_run_that_measured_nothing_has_a_report(tmp_path: Path) -> None:
    with Store(tmp_path / "fedsim.db") as store:
        store.write([started("a")])
        found = report(store, store.runs())
        assert found.participation() is None
        assert "toy" in found.html()
        assert found.png().startswith(b"\x89PNG")


def test_participation_is_drawn_once_where_all_saw_the_same(made: Report) -> None:
    same = made.participation()
    made.store.write([RoundDone(run="fedstale-0.5-1", round=1, values={}, vectors={"participants": np.array([3])})])
    other = Report(made.store, made.rows, made.title).participation()
    assert same is not None
    assert other is not None
    heights = [int.from_bytes(picture[20:24], "big") for picture in (same, other)]
    assert heights[1] == 2 * heights[0]


def test_a_figure_of_runs_that_measured_nothing_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "fedsim.db") as store:
        store.write([started("a")])
        with pytest.raises(ScenarioError, match="measured nothing that a figure could show"):
            report(store, store.runs()).figure("pdf")
