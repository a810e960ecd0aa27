"""Numbers of changes to vectors: what an index learns from them, and that nobody waits for ever or misses one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from sqlalchemy import select, text

from foundation.clock import SYSTEM
from foundation.sealing import Sealing
from ledger import epochs, parts, retention, tenants, vectors
from ledger.epochs import Epoch, Shelf
from ledger.files import FileStore
from ledger.parts import NewPart
from ledger.session import Ledger, Tx
from ledger.vector_rows import vector_changes
from ledger.vectors import Vector
from tests.ledger.conftest import Desk

NAMES = [f"{n:064x}" for n in range(40)]


@pytest.fixture
def shelf(desk: Desk) -> Shelf:
    """A tenant's shelf whose files are there."""
    with desk.ledger.write() as tx:
        new = [NewPart(SYSTEM.new_id("part"), "x.stl", sha256, 1, "stl") for sha256 in NAMES]
        parts.add(tx, desk.tenant.id, new, {})
    return Shelf(desk.tenant.id, "v3", "1")


def written(names: Iterable[str], byte: int = 1, version: str = "v3") -> list[Vector]:
    return [Vector(name, version, "1", "3d", bytes([byte] * 4), {}) for name in names]


def put(ledger: Ledger, shelf: Shelf, names: Iterable[str], byte: int = 1) -> None:
    with ledger.write() as tx:
        vectors.put(tx, shelf.tenant_id, written(names, byte, shelf.feature_version))


def told(tx: Tx, shelf: Shelf, number: int) -> list[tuple[int, str, bytes | None]]:
    return [(change.number, change.sha256, change.vector) for rows in epochs.since(tx, shelf, number) for change in rows]


def test_each_commit_has_a_number_and_tells_the_last_of_each_vector(desk: Desk, shelf: Shelf) -> None:
    put(desk.ledger, shelf, NAMES[:2])
    put(desk.ledger, shelf, NAMES[1:3], 2)
    with desk.ledger.write() as tx:
        assert epochs.remove(tx, shelf, [NAMES[0], NAMES[9]]) == 1
    with desk.ledger.read() as tx:
        assert epochs.current(tx, shelf) == Epoch(3, 0)
        assert told(tx, shelf, 0) == [(2, NAMES[1], b"\2" * 4), (2, NAMES[2], b"\2" * 4), (3, NAMES[0], None)]
        assert told(tx, shelf, 2) == [(3, NAMES[0], None)]
        assert told(tx, shelf, 3) == []
        assert epochs.count(tx, shelf) == 2
    put(desk.ledger, shelf, NAMES[:1], 3)
    with desk.ledger.read() as tx:
        assert told(tx, shelf, 3) == [(4, NAMES[0], b"\3" * 4)]


def test_shelves_count_each_for_itself(desk: Desk, shelf: Shelf) -> None:
    with desk.ledger.write() as tx:
        vectors.put(tx, shelf.tenant_id, [*written(NAMES[:2]), *written(NAMES[:1], version="v4")])
        other = tenants.add(tx, "other")
    put(desk.ledger, shelf, NAMES[:1])
    with desk.ledger.read() as tx:
        assert epochs.current(tx, shelf) == Epoch(2, 0)
        assert epochs.current(tx, shelf._replace(feature_version="v4")) == Epoch(1, 0)
        assert epochs.current(tx, shelf._replace(tenant_id=other.id)) == Epoch(0, 0)
        assert told(tx, shelf._replace(feature_version="v4"), 0) == [(1, NAMES[0], b"\1" * 4)]


def test_a_file_that_retention_removes_is_told_as_removed(desk: Desk, shelf: Shelf, tmp_path: Path) -> None:
    store = FileStore(tmp_path)
    put(desk.ledger, shelf, NAMES[:2])
    with desk.ledger.write() as tx:
        part_id = tx.connection.scalar(select(parts.parts.c.id).where(parts.parts.c.sha256 == NAMES[0]))
        parts.delete(tx, desk.tenant.id, str(part_id))
    desk.hand.time += 1000
    retention.sweep_files(desk.ledger, store, desk.hand.time - 500, folder=0)
    with desk.ledger.read() as tx:
        assert told(tx, shelf, 1) == [(2, NAMES[0], None)]


def test_forgotten_removals_raise_the_floor_so_that_older_indexes_know(desk: Desk, shelf: Shelf) -> None:
    put(desk.ledger, shelf, NAMES[:3])
    with desk.ledger.write() as tx:
        epochs.remove(tx, shelf, NAMES[:1])
    put(desk.ledger, shelf, NAMES[3:4])
    with desk.ledger.write() as tx:
        epochs.remove(tx, shelf, NAMES[1:2])
    desk.hand.time += 100
    with desk.ledger.write() as tx:
        epochs.remove(tx, shelf, NAMES[2:3])
    gone = []
    while (bite := _forget(desk.ledger, desk.hand.time - 50)) is not None:
        gone.append(bite)
    with desk.ledger.read() as tx:
        assert gone == [2]
        assert epochs.current(tx, shelf) == Epoch(5, 4)
        assert told(tx, shelf, 4) == [(5, NAMES[2], None)]


def _forget(ledger: Ledger, before: float) -> int | None:
    with ledger.write() as tx:
        return epochs.forget_removals(tx, before)


def test_numbers_become_visible_in_their_order_and_nobody_waits_for_ever(
    desk: Desk, shelf: Shelf, new_ledger: Callable[..., Ledger]
) -> None:
    """Writers of common files on two shelves, a remover and a forgetter, while a reader follows: it never misses a change."""
    other = shelf._replace(feature_version="v4")
    faults: list[BaseException] = []
    done = threading.Event()

    def working(do: Callable[[Ledger, int], object]) -> threading.Thread:
        ledger = new_ledger()

        def work() -> None:
            try:
                for turn in range(15):
                    do(ledger, turn)
            except BaseException as fault:  # noqa: BLE001 - told by the test
                faults.append(fault)

        return threading.Thread(target=work)

    def write_both(ledger: Ledger, turn: int) -> None:
        names = NAMES[turn % 7 : 30]
        with ledger.write() as tx:
            vectors.put(tx, shelf.tenant_id, [*reversed(written(names, turn)), *written(names, turn, "v4")])

    def remove_some(ledger: Ledger, turn: int) -> None:
        with ledger.write() as tx:
            epochs.remove(tx, shelf, NAMES[turn : turn + 20])

    held: dict[str, bytes | None] = {}

    def follow() -> None:
        ledger, number = new_ledger(), 0
        try:
            while True:
                last = done.is_set()
                with ledger.read() as tx:
                    changes, before = told(tx, shelf, number), number
                    for change_number, sha256, vector in changes:
                        assert change_number >= number
                        held[sha256], number = vector, change_number
                    if epochs.current(tx, shelf).floor > before:  # a removal may have been forgotten before it was told
                        changes = told(tx, shelf, 0)
                        held.clear()
                        held.update({sha256: vector for _, sha256, vector in changes})
                        number = max((change_number for change_number, _, _ in changes), default=number)
                if last:
                    return
        except BaseException as fault:  # noqa: BLE001 - told by the test
            faults.append(fault)

    workers = [working(write_both), working(write_both), working(remove_some), working(lambda ledger, _: _forget(ledger, 1e12))]
    reader = threading.Thread(target=follow)
    for thread in (*workers, reader):
        thread.start()
    for thread in workers:
        thread.join(60)
    done.set()
    reader.join(60)
    assert not faults
    with desk.ledger.read() as tx:
        truth = {change.sha256: change.vector for rows in epochs.since(tx, shelf, 0) for change in rows}
        assert {key: vector for key, vector in held.items() if vector} == {key: vector for key, vector in truth.items() if vector}
        assert epochs.current(tx, other).number == 30
        assert epochs.count(tx, shelf) == sum(vector is not None for vector in truth.values())


def test_vectors_that_were_there_before_numbers_have_the_first(empty_ledger: Ledger) -> None:
    from alembic import command

    from ledger.migrate import configuration

    ledger, sealing = empty_ledger, Sealing(b"secret of tests")
    with ledger.write() as tx:
        command.upgrade(configuration(tx.connection, sealing), "0005")
        tx.execute(text("INSERT INTO tenants (id, name, webhook_secret, created_at) VALUES ('ten_1', 'acme', 'whsec_AAAA', 1.0)"))
        tx.execute(text("INSERT INTO files (sha256, bytes, format, created_at) VALUES (:sha256, 1, 'stl', 1.0)"), {"sha256": NAMES[0]})
        columns = "tenant_id, sha256, feature_version, engine_build, family, vector, result, created_at"
        row = text(f"INSERT INTO vectors ({columns}) VALUES (:tenant, :sha256, 'v3', '1', '3d', :vector, '{{}}', 1.0)")
        tx.execute(row, {"tenant": "ten_1", "sha256": NAMES[0], "vector": b"\1" * 4})
        command.upgrade(configuration(tx.connection, sealing), "head")
    with ledger.read() as tx:
        shelf = Shelf("ten_1", "v3", "1")
        assert epochs.current(tx, shelf) == Epoch(1, 0)
        assert told(tx, shelf, 0) == [(1, NAMES[0], b"\1" * 4)]
        assert tx.connection.scalar(select(vector_changes.c.removed_at)) is None
