"""Whose run it is, in a store of each kind: new ones, old ones, and two senders at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from fedsim.store import schema
from fedsim.store.database import Store
from fedsim.store.senders import NOBODY, ForeignRunError, named
from tests.metrics.conftest import done, started

ALICE, BOB = named("alice"), named("bob")


def owners(store: Store) -> dict[str, str]:
    with store.reading() as connection:
        return {row["run"]: row["sender"] for row in connection.execute(select(schema.senders)).mappings()}


def without_senders(address: str) -> None:
    """Leave a store as it was made before senders were noted."""
    with Store(address) as store, store._engine.begin() as connection:
        schema.senders.drop(connection)


def test_the_first_sender_of_a_run_is_noted_and_stays(address: str) -> None:
    with Store(address) as store:
        store.write([started("a")], ALICE)
        store.write([done(1, "a")], ALICE)
        with pytest.raises(ForeignRunError, match="the run a was begun by another sender"):
            store.write([started("b"), done(2, "a")], BOB)
        assert owners(store) == {"a": ALICE}
        assert [(row.run, row.round) for row in store.runs()] == [("a", 1)]


def test_a_process_of_this_machine_writes_any_run_and_owns_none(address: str) -> None:
    with Store(address) as store:
        store.write([started("a")], ALICE)
        store.write([done(1, "a"), started("b")])
        assert owners(store) == {"a": ALICE}
        for sender in (ALICE, BOB):
            with pytest.raises(ForeignRunError):
                store.write([done(1, "b")], sender)
        store.write([done(1, "b")], NOBODY)
        assert [row.round for row in store.runs()] == [1, 1]


def test_an_old_store_gains_the_table_when_it_is_opened(address: str) -> None:
    with Store(address) as store:
        store.write([started("a"), done(1, "a")])
    without_senders(address)
    with Store(address) as store:
        store.write([started("b")], ALICE)
        assert owners(store) == {"b": ALICE}
        assert len(store.values()) == 1


def test_an_old_store_is_read_as_it_is(address: str) -> None:
    with Store(address) as store:
        store.write([started("a"), done(1, "a")])
    without_senders(address)
    with Store(address, create=False) as store:
        assert [row.run for row in store.runs()] == ["a"]


def test_of_two_who_begin_a_run_at_once_one_is_refused(address: str) -> None:
    with Store(address, busy_s=10.0) as one, Store(address, busy_s=10.0) as other, ThreadPoolExecutor(2) as pool:
        both = [pool.submit(store.write, [started("a")], sender) for store, sender in ((one, ALICE), (other, BOB))]
        refused = [begun.exception(60) for begun in both]
        assert [type(error) for error in refused if error is not None] == [ForeignRunError]
        assert owners(one) == {"a": BOB if refused[0] is not None else ALICE}
