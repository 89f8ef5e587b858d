"""Fields of configs that name input files: all are marked, their content is hashed, and paths mean the same in each."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

import fedsim
from fedsim.cli import main
from fedsim.core import World
from fedsim.core.config import inputs as reading
from fedsim.core.config.inputs import input_fields, reads
from fedsim.participation.processes.full import Full
from fedsim.participation.schedules.file import write_schedule
from fedsim.scenario import Scenario, expand, from_dict, load, read_inputs, scenario_hash
from fedsim.scenario.types import keys_of, shape

NO_INPUTS = {
    ("Scenario", "name"),
    ("Scenario", "folder"),  # where inputs are looked for
    ("Hub", "subset"),
    ("Inner", "flower"),
    ("Inner", "options"),
    ("Hub", "features"),
    ("Hub", "labels"),
    ("Hub", "train"),
    ("Hub", "test"),
    ("Idx", "train"),
    ("Idx", "test"),
    ("Natural", "column"),
    ("Table", "client"),
    ("Table", "features"),
    ("Table", "label"),
    ("Text", "client"),  # what separates clients
    ("Stop", "metric"),
    ("LocalWork", "optimizer"),  # a word of a catalogue
    ("Ray", "address"),
    ("Auto", "address"),
    ("Stock", "flower"),
    ("MetricsConfig", "service"),
    ("MetricsConfig", "token_env"),
    ("MetricsConfig", "store"),  # written
    ("TensorBoard", "folder"),  # written
    ("Checkpoint", "path"),  # written
    *(("Card", name) for name in ("title", "ours", "files", "baseline")),  # words
    *(("Source", name) for name in ("paper", "code", "commit")),
    *(("Goal", "metric"), ("Published", "metric"), ("Published", "of"), ("Published", "where")),
    *(("Claim", name) for name in ("says", "metric", "of", "above", "below", "within")),
}
"""Fields of free text that name nothing that a run reads; a new one is a path (then it is marked) or stands here."""


def configs(annotation: Any, seen: dict[str, type]) -> Iterator[type]:
    """Yield every config class that a place of a scenario allows, those inside it too."""
    allowed = shape(annotation)
    for cls in [*(allowed.members or {}).values()]:
        if f"{cls.__module__}.{cls.__qualname__}" not in seen:
            seen[f"{cls.__module__}.{cls.__qualname__}"] = cls
            yield cls
            for key in keys_of(cls).values():
                yield from configs(key.annotation, seen)
    if allowed.item is not None:
        yield from configs(allowed.item, seen)


ALL = [Scenario, *(cls for key in keys_of(Scenario).values() for cls in configs(key.annotation, {}))]


def free_text(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return free_text(get_args(annotation)[0])
    return annotation is str or any(map(free_text, get_args(annotation)))


APP = {("LocalWork", "run_config"), ("LocalWork", "train_config")}


def test_every_field_of_free_text_is_marked_as_an_input_or_known_to_be_none() -> None:
    free = {(cls.__name__, name) for cls in ALL for name, key in keys_of(cls).items() if free_text(key.annotation)}
    marked = {(cls.__name__, name) for cls in ALL for name, key in keys_of(cls).items() if reads(key.annotation)}
    mappings = {
        ("Ray", "resources"),
        ("HostClass", "resources"),
        ("Scenario", "sweep"),
        ("Card", "quick"),
        ("Stock", "options"),
    }
    assert free - marked - mappings - APP == NO_INPUTS
    assert marked == {(name, field) for name, field, *_ in EXAMPLES}


BASE: dict[str, Any] = {
    "name": "x",
    "seed": 1,
    "rounds": 2,
    "data": {"dataset": "digits", "clients": 3},
    "model": {"name": "linear"},
    "client": {"local_steps": 1},
}


def npz(folder: Path, version: int) -> None:
    draw = np.random.default_rng(version)
    np.savez(folder / "in.npz", x=draw.normal(size=(30, 2)), y=np.arange(30) % 2)


def idx(folder: Path, version: int) -> None:
    (folder / "in").mkdir(exist_ok=True)
    for stem in ("train", "t10k"):
        for part, shape_ in (("images-idx3", (6, 2, 2)), ("labels-idx1", (6,))):
            sizes = np.array([0x800 | len(shape_), *shape_], dtype=">u4").tobytes()
            values = np.random.default_rng(version).integers(0, 2, shape_, np.uint8).tobytes()
            (folder / "in" / f"{stem}-{part}-ubyte.gz").write_bytes(gzip.compress(sizes + values, mtime=0))


def cifar(folder: Path, version: int) -> None:
    (folder / "in").mkdir(exist_ok=True)
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (folder / "in" / name).write_bytes(bytes([version] * 3073))


def femnist(folder: Path, version: int) -> None:
    (folder / "in").mkdir(exist_ok=True)
    users = {name: {"x": [[float(version % 2)] * 784] * 2, "y": [0, 1]} for name in ("f1", "f2", "f3")}
    content = {"users": list(users), "num_samples": [2] * 3, "user_data": users}
    (folder / "in" / "all_data_0.json").write_text(json.dumps(content))


def hub(folder: Path, version: int) -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "train.csv").write_text(f"a,label\n{version},0\n")


def trace(folder: Path, version: int) -> None:
    (folder / "in.csv").write_text(f"client,start_s,end_s\n0,{version},6\n1,0,6\n")


def devices(folder: Path, version: int) -> None:
    lines = [f"{client},{10 + version},1e6,1e6" for client in range(3)]
    (folder / "in.csv").write_text("client,steps_per_s,up_bytes_per_s,down_bytes_per_s\n" + "\n".join(lines))


def schedule(folder: Path, version: int) -> None:
    write_schedule(folder / "in.npz", Full().process(World(0, 3)), 4 + version)


def edges(folder: Path, version: int) -> None:
    (folder / "in.txt").write_text("0 1\n1 2\n" + "2 0\n" * version)


def table(folder: Path, version: int) -> None:
    (folder / "in.csv").write_text("a,b,label\n" + "".join(f"{k},{version},{k % 2}\n" for k in range(12)))


def text(folder: Path, version: int) -> None:
    (folder / "in.txt").write_text(f"to be or not to be {version} " * 20)


def weights(folder: Path, version: int) -> None:
    layer = {"0.weight": np.full((10, 64), version, np.float32), "0.bias": np.zeros(10, np.float32)}
    save_file(layer, folder / "in.safetensors")


def flower_app(folder: Path, version: int) -> None:
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in" / "pyproject.toml").write_text('[tool.flwr.app.components]\nclientapp = "one:app"\n')
    (folder / "in" / "one.py").write_text(f"app = {version}\n")


Write = Callable[[Path, int], None]
Example = tuple[str, str, Write, str, str, dict[str, Any]]
EXAMPLES: list[Example] = [
    ("Npz", "path", npz, "in.npz", "data.path", {"data": {"dataset": "npz", "clients": 3}}),
    ("Idx", "path", idx, "in", "data.path", {"data": {"dataset": "idx", "clients": 3}}),
    ("Cifar", "path", cifar, "in", "data.path", {"data": {"dataset": "cifar", "clients": 3}}),
    ("Hub", "path", hub, "in", "data.path", {"data": {"dataset": "hub", "clients": 3, "features": "a"}}),
    ("Trace", "file", trace, "in.csv", "participation.file", {"participation": {"kind": "trace", "round_s": 1}}),
    ("Devices", "file", devices, "in.csv", "devices.file", {"devices": {}}),
    ("Schedule", "file", schedule, "in.npz", "participation.file", {"participation": {"kind": "schedule"}}),
    (
        "Edges",
        "path",
        edges,
        "in.txt",
        "strategy.topology.path",
        {"strategy": {"name": "gossip", "topology": {"kind": "edges"}}},
    ),
    ("Table", "path", table, "in.csv", "data.path", {"data": {"dataset": "table", "clients": 3, "label": "label"}}),
    ("Text", "path", text, "in.txt", "data.path", {"data": {"dataset": "text", "clients": 3, "window": 4}}),
    ("Weights", "file", weights, "in.safetensors", "model.init.file", {"model": {"name": "linear", "init": {}}}),
    ("LocalWork", "app", flower_app, "in", "client.app", {"client": {}}),
    ("Femnist", "path", femnist, "in", "data.path", {"data": {"dataset": "femnist"}}),
]
each = pytest.mark.parametrize("example", EXAMPLES, ids=[f"{name}.{field}" for name, field, *_ in EXAMPLES])


@pytest.fixture(autouse=True)
def hub_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedsim.data.hub.find_spec", lambda name: True)


def scenario(example: Example, path: str | Path, folder: Path) -> Scenario:
    *_, key, sections = example
    return from_dict({**BASE, **sections}, [f"{key}={path}"], folder=str(folder))


@each
def test_another_content_is_another_run(example: Example, tmp_path: Path) -> None:
    write, name = example[2], example[3]
    write(tmp_path, 0)
    before = scenario_hash(scenario(example, name, tmp_path))
    write(tmp_path, 1)
    after = scenario_hash(scenario(example, name, tmp_path))
    write(tmp_path, 0)
    assert after != before == scenario_hash(scenario(example, name, tmp_path))


@each
def test_the_same_content_is_the_same_run_wherever_it_lies(
    example: Example, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, name = example[2], example[3]
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path, 0)
    hashes = {scenario_hash(scenario(example, path, tmp_path)) for path in (name, f"~/{name}", tmp_path / name)}
    os.rename(tmp_path / name, tmp_path / "elsewhere" / f"other-{name}")
    hashes.add(scenario_hash(scenario(example, f"elsewhere/other-{name}", tmp_path)))
    assert len(hashes) == 1


@each
def test_paths_of_a_base_start_at_the_base(example: Example, tmp_path: Path) -> None:
    *_, write, name, key, sections = example
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", 0)
    text = yaml.safe_load(yaml.safe_dump({**BASE, **sections}))
    section, *inner = key.split(".")
    place = text[section]
    for word in inner[:-1]:
        place = place[word]
    place[inner[-1]] = name
    (tmp_path / "base" / "b.yaml").write_text(yaml.safe_dump(text))
    (tmp_path / "s.yaml").write_text("extends: base/b.yaml\nseed: 1\n")
    assert scenario_hash(load(tmp_path / "s.yaml")) == scenario_hash(load(tmp_path / "base" / "b.yaml"))


def test_paths_of_a_sweep_in_a_base_start_at_the_base(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    npz(tmp_path / "base", 0)
    base = {**BASE, "data": {"dataset": "npz", "clients": 3, "path": "in.npz"}, "sweep": {"data.path": ["in.npz"]}}
    (tmp_path / "base" / "b.yaml").write_text(yaml.safe_dump(base))
    (tmp_path / "s.yaml").write_text("extends: base/b.yaml\nseed: 1\n")
    (run,) = expand(tmp_path / "s.yaml")
    assert [one.path for one in read_inputs(run)] == [str(tmp_path / "base" / "in.npz")]


def test_a_folder_is_the_files_that_are_read_in_it(tmp_path: Path) -> None:
    example = EXAMPLES[1]
    idx(tmp_path, 0)
    before = scenario_hash(scenario(example, "in", tmp_path))
    (tmp_path / "in" / "readme.txt").write_text("nobody reads this")
    found = scenario(example, "in", tmp_path)
    assert scenario_hash(found) == before
    assert [one.role for one in read_inputs(found)] == [
        "training images",
        "training labels",
        "test images",
        "test labels",
    ]


def test_a_name_on_the_hub_is_no_file(tmp_path: Path) -> None:
    assert read_inputs(scenario(EXAMPLES[3], "ylecun/mnist", tmp_path)) == ()


def test_without_files_the_hash_is_the_one_of_the_first_version() -> None:
    config = {
        "name": "x",
        "seed": 1,
        "rounds": 3,
        "data": {"dataset": "digits", "clients": 10, "partition": {"kind": "dirichlet", "alpha": 0.5}},
        "model": {"name": "mlp", "hidden": [8]},
        "participation": {"kind": "bernoulli", "probabilities": 0.5},
        "strategy": {"name": "fedstale"},
    }
    expected = "e9e653833ed4a0c967b3db7eb352a69791e097a98c7903d8e1777c262ebc5655"  # of fedsim 0.1.0
    assert scenario_hash(from_dict(config)) == expected


def test_content_that_changed_under_the_same_size_and_time_is_seen(tmp_path: Path) -> None:
    trace(tmp_path, 0)
    os.utime(tmp_path / "in.csv", (1e9, 1e9))
    before = scenario_hash(scenario(EXAMPLES[4], "in.csv", tmp_path))
    trace(tmp_path, 1)
    os.utime(tmp_path / "in.csv", (1e9, 1e9))
    assert scenario_hash(scenario(EXAMPLES[4], "in.csv", tmp_path)) != before


def test_a_file_that_is_as_it_was_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace(tmp_path, 0)
    found = scenario(EXAMPLES[4], "in.csv", tmp_path)
    monkeypatch.setattr(reading, "SETTLED_NS", 0)
    known = read_inputs(found)
    monkeypatch.setattr(reading, "_kept_sha256", None)
    assert read_inputs(found, known) == known


def test_a_file_that_is_gone_is_named_with_its_key(tmp_path: Path) -> None:
    trace(tmp_path, 0)
    found = scenario(EXAMPLES[4], "in.csv", tmp_path)
    (tmp_path / "in.csv").unlink()
    with pytest.raises(reading.ScenarioError, match=r"participation\.file: .*in\.csv cannot be read: No such file"):
        read_inputs(found)


def test_marks_are_found_through_optional_types() -> None:
    assert {name for cls in ALL for name in input_fields(cls)} == {"path", "file", "app"}


def test_validate_names_a_missing_file_also_where_only_the_data_know_the_number_of_clients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "in.npz", x=np.ones((30, 2)), y=np.arange(30) % 2, client=np.arange(30) % 3)
    data = {"dataset": "npz", "path": "in.npz", "partition": {"kind": "natural", "column": "client"}}
    gone = {"kind": "trace", "round_s": 1, "file": "gone.csv"}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({**BASE, "data": data, "participation": gone}))
    assert main(["validate", str(tmp_path / "s.yaml")]) == 2
    place, message = f"{tmp_path}/s.yaml:", f"participation.file: {tmp_path}/gone.csv cannot be read: No such file"
    error = capsys.readouterr().err
    assert error.startswith(place)
    assert message in error


@pytest.mark.parametrize("path", ["~/out", "out"])
def test_paths_that_are_written_know_the_home_folder_too(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    written = {"checkpoint": {"every": 1, "path": path}, "metrics": {"store": f"sqlite:///{path}/x.db"}}
    (tmp_path / "out").mkdir()
    run = fedsim.run({**BASE, **written}, out=f"{path}/run")
    found = {item.relative_to(tmp_path).as_posix() for item in (tmp_path / "out").iterdir()}
    assert found == {"out/run", "out/x.db", f"out/{run.id}"}
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
