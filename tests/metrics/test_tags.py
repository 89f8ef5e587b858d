"""Tags, notes, searching and deleting, in a store of each kind and through the command line."""

from pathlib import Path

import pytest
from sqlalchemy import inspect

from fedsim.cli import main
from fedsim.core import LockedError
from fedsim.engine.run.folder import NOTE, SCENARIO, reopen
from fedsim.metrics import Notice
from fedsim.store import schema
from fedsim.store.database import Store
from fedsim.store.tags import add, forget, remove, tags_of
from tests.metrics.conftest import done, started

TEXT = "{{strategy: {{name: fedavg}}, seed: {seed}, client: {{lr: {lr}}}}}"


def test_a_tag_keeps_its_note_until_it_is_given_another(store: Store) -> None:
    store.write([started("a"), started("b")])
    add(store, ["a", "b"], "best", "as in the paper")
    add(store, ["a"], "best")
    assert tags_of(store) == {"a": {"best": "as in the paper"}, "b": {"best": "as in the paper"}}
    add(store, ["a"], "best", "")
    assert remove(store, ["b"], "best") == 1
    assert remove(store, ["b"], "best") == 0
    assert tags_of(store) == {"a": {"best": ""}}
    store.write([started("a")])
    assert tags_of(store) == {"a": {"best": ""}}


def test_nothing_is_left_of_a_deleted_run_and_all_of_the_others(store: Store) -> None:
    for run in ("a", "b"):
        store.write([started(run), done(1, run), Notice(run=run, round=1, kind="x", text="y")], "0" * 16)
        add(store, [run], "mine")
    forget(store, ["a"])
    with store.reading() as connection:
        for table in (schema.runs, schema.metrics, schema.notices, schema.senders, schema.tags):
            assert [row["run"] for row in connection.execute(table.select()).mappings()] == ["b"], table.name


def test_an_old_store_gains_the_table_and_keeps_its_own(address: str) -> None:
    with Store(address) as store, store.writing() as connection:
        before = {c["name"] for name in ("runs", "metrics") for c in inspect(connection).get_columns(name)}
        schema.tags.drop(connection)
    with Store(address) as store:
        store.write([started("a")])
        with store.writing() as connection:
            schema.tags.drop(connection)
    with Store(address, create=False) as store:
        assert tags_of(store) == {}
    with Store(address) as store:
        add(store, ["a"], "best")
        assert tags_of(store) == {"a": {"best": ""}}
        with store.reading() as connection:
            now = {c["name"] for name in ("runs", "metrics") for c in inspect(connection).get_columns(name)}
    assert now == before


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose store holds two runs of one name, in a folder of their own, and one beside it."""
    monkeypatch.chdir(tmp_path)
    with Store("runs/fedsim.db") as store:
        for k, (run, name, place) in enumerate(
            (("a1", "toy", "pair/one"), ("a2", "toy", "pair/two"), ("b1", "b", "b"))
        ):
            folder = tmp_path / "runs" / place
            folder.mkdir(parents=True)
            (folder / NOTE).write_text(f'{{"run": "{run}"}}')
            (folder / SCENARIO).touch()
            text = TEXT.format(seed=k, lr=0.1 * (k + 1))
            store.write([started(run, name=name, seed=k, folder=str(folder), scenario=text, wall_time=float(k))])
    return tmp_path


def listed(capsys: pytest.CaptureFixture[str], *options: str) -> list[str]:
    capsys.readouterr()
    assert main(["runs", *options]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_list_shows_group_difference_and_tags(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", "a1", "best", "--note", "[b]as in the paper"]) == 0
    assert main(["tag", "toy", "both"]) == 0
    head, b1, a2, a1 = listed(capsys)
    assert head.split()[6:10] == ["started", "group", "differs", "tags"]
    assert "pair" in a1
    assert "lr=0.1" in a1
    assert "best ([b]as in the paper), both" in a1
    assert "lr=0.2" in a2
    assert "lr=" not in b1
    assert [line.split()[0] for line in listed(capsys, "--tag", "best")] == ["run", "a1"]
    assert [line.split()[0] for line in listed(capsys, "--search", "PAPER toy")] == ["run", "a1"]
    assert [line.split()[0] for line in listed(capsys, "--search", "pair/tw")] == ["run", "a2"]
    assert "no run is so" in listed(capsys, "--search", "toy nowhere")[-1]
    assert main(["tag", "a1", "best", "--remove"]) == 0
    assert "best" not in "".join(listed(capsys))


def test_an_archived_run_is_hidden_until_it_is_asked_for(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tag", "b1", "archived"]) == 0
    assert [line.split()[0] for line in listed(capsys)] == ["run", "a2", "a1"]
    assert [line.split()[0] for line in listed(capsys, "--tag", "archived")] == ["run", "b1"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["tag", "zzz", "best"], "zzz: no run of this id"),
        (["tag", "a1", "two words"], "a tag is one word"),
        (["tag", "a1", "best", "--remove"], "a1: has no tag best"),
        (["tag", "a1", "x", "--store", "none.db"], "there is no store here"),
        (["delete", "zzz", "--yes"], "zzz: no run of this id"),
        (["delete", "", "--yes"], "an empty word names no run"),
        (["tag", "", "best"], "an empty word names no run"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    assert main(args) == 2
    assert words in capsys.readouterr().err
    assert not (home / "none.db").exists()
    with Store("runs/fedsim.db", create=False) as store:
        assert (len(store.runs()), tags_of(store)) == (3, {})


def test_delete_asks_first_and_takes_folders_only_when_told(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert main(["delete", "a1"]) == 2
    assert "nothing was deleted" in capsys.readouterr().err
    assert len(listed(capsys)) == 4
    assert main(["delete", "a1", "--yes"]) == 0
    assert (home / "runs/pair/one").is_dir()
    (home / "runs/b" / NOTE).write_text('{"run": "another"}')
    assert main(["delete", "a2", "b1", "--yes", "--folders"]) == 0
    assert not (home / "runs/pair/two").exists()
    assert (home / "runs/b").is_dir(), "it holds another run by now"
    assert "no runs yet" in listed(capsys)[-1]


def test_a_run_that_is_being_written_is_not_deleted(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = reopen(home / "runs/pair/one")
    try:
        assert main(["delete", "toy", "--yes", "--folders"]) == LockedError.exit_code
    finally:
        held.release()
    assert "locked by process" in capsys.readouterr().err
    assert (home / "runs/pair/two").is_dir()
    assert len(listed(capsys)) == 4
