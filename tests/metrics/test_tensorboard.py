"""TensorBoard's files, read back from their records."""

import re
import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event as Record

from fedsim.core import ScenarioError
from fedsim.metrics import Evaluated, RolledBack
from fedsim.metrics.sinks import tensorboard
from fedsim.metrics.sinks.tensorboard import TensorBoard
from tests.metrics.conftest import done, started


def records(folder: Path) -> list[Record]:
    """Read TFRecord files: length (8 bytes), its checksum (4), the event, its checksum (4)."""
    found = []
    for path in sorted(folder.glob("events.*")):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            found.append(Record.FromString(content[12 : 12 + size]))
            content = content[16 + size :]
    return found


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    return [
        (v.tag, e.step, v.simple_value) for e in records(folder) for v in e.summary.value if not v.HasField("tensor")
    ]


def test_each_metric_is_a_scalar_of_its_name(tmp_path: Path) -> None:
    sink = TensorBoard().open(tmp_path)
    probe = {"probe_variance.fedvarp": 0.25}
    sink.write([started(), done(1, train_loss=0.5), Evaluated(run="a", round=1, values=probe)])
    sink.close()
    assert scalars(tmp_path / "tensorboard") == [("train_loss", 1, 0.5), ("probe_variance/fedvarp", 1, 0.25)]


def test_the_folder_can_be_chosen(tmp_path: Path) -> None:
    sink = TensorBoard(folder=str(tmp_path / "elsewhere")).open(tmp_path)
    sink.write([done(1, train_loss=0.5)])
    sink.close()
    assert scalars(tmp_path / "elsewhere") == [("train_loss", 1, 0.5)]


def test_a_rollback_purges_what_comes_after(tmp_path: Path) -> None:
    sink = TensorBoard().open(tmp_path)
    sink.write([done(1), done(2), RolledBack(run="a", round=1), done(2)])
    sink.close()
    starts = [e.step for e in records(tmp_path / "tensorboard") if e.session_log.status == 1]
    assert starts == [2]


def test_without_the_package_the_scenario_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(ScenarioError, match=r"pip install tensorboardX"):
        TensorBoard().open(tmp_path)


def test_the_reader_of_tensorboard_itself_reads_the_scalars_back(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    sink = TensorBoard().open(tmp_path)
    sink.write([started(), done(1, train_loss=0.5), done(2, train_loss=0.25)])
    sink.close()
    (file,) = (tmp_path / "tensorboard").glob("events.*")
    read = [
        (value.tag, event.step, value.simple_value or value.tensor.float_val[0])
        for event in EventFileLoader(str(file)).Load()
        for value in event.summary.value
        if value.tag == "train_loss"
    ]
    assert read == [("train_loss", 1, 0.5), ("train_loss", 2, 0.25)]


@pytest.mark.parametrize("tag", ['a"b', "a\nb", "\x1b[2J", "../../up", "/etc", "<b>x</b>", "\u202eab", "a.b"])
def test_any_name_of_a_metric_is_one_plain_tag(tmp_path: Path, tag: str) -> None:
    sink = TensorBoard().open(tmp_path)
    sink.write(
        [started(name=tag), Evaluated(run="a", round=1, values={f"probe_variance.{tag}": 0.25, "test_loss": 1.0})]
    )
    sink.close()
    (named, *_), (other, *_) = found = scalars(tmp_path / "tensorboard")
    assert [value for _, _, value in found] == [0.25, 1.0]
    assert other == "test_loss"
    assert re.fullmatch(r"probe_variance/[-/\w.]+", named)
    assert [path.name for path in tmp_path.iterdir()] == ["tensorboard"]


@pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated:DeprecationWarning")
def test_a_scenario_stays_a_text_whatever_it_holds(tmp_path: Path) -> None:
    from tensorboard.plugin_util import markdown_to_safe_html

    sink = TensorBoard().open(tmp_path)
    sink.write([started(scenario="name: |\n  ```\n\n![x](http://evil.example/x)\r<b>y</b>\x1b[2J\n```\n# z\n")])
    sink.close()
    ((text,),) = [v.tensor.string_val for e in records(tmp_path / "tensorboard") for v in e.summary.value]
    shown = markdown_to_safe_html(text)
    assert shown.startswith("<pre><code>")
    assert shown.count("<") == 4
    assert "\x1b" not in shown
