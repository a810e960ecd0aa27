"""Galleries follow the ledger, leave when there is no room, and come back from their snapshots or, in doubt, from the ledger."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from foundation import telemetry
from foundation.telemetry import Event, GalleryMade
from ledger import epochs
from tests.workers.index.conftest import Sample, Shop
from workers.features.packing import packed, unpacked
from workers.index import snapshot
from workers.index.contract import Floats32, Hit, IndexFailure
from workers.index.exact import ExactIndex
from workers.index.galleries import Galleries, filled


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Where each gallery came from."""
    sources: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, GalleryMade):
            sources.append(event.source)

    monkeypatch.setattr(telemetry, "_sinks", [hear])
    return sources


@pytest.fixture
def solids(samples: list[Sample]) -> list[Sample]:
    return [one for one in samples if one.family == "3d"]


@pytest.fixture
def shop(new_shop: Callable[..., Shop], solids: list[Sample]) -> Shop:
    shop = new_shop(flat_max=5, snapshot_above=3)
    shop.add(solids)
    return shop


def files(shop: Shop, of: str) -> list[str]:
    return [hit["name"] for hit in shop.hits(of)[0]]


def nudged(vector: bytes, by: float) -> bytes:
    row = unpacked(vector).copy()
    row[1] += by
    return packed(row.tolist())


def test_what_is_written_replaced_or_removed_is_so_for_the_next_search(shop: Shop, solids: list[Sample], made: list[str]) -> None:
    query = solids[0].name
    other = files(shop, query)[-1]
    shop.put({other: ("3d", nudged(solids[0].vector, 1e-4))})
    assert files(shop, query)[0] == other
    with shop.ledger.write() as tx:
        epochs.remove(tx, shop.shelf, [other])
    assert other not in files(shop, query)
    shop.put({other: ("3d", nudged(solids[0].vector, 1e-4))})
    assert files(shop, query)[0] == other
    assert len(shop.hits(query, scale_invariant=True)[0]) == len(solids) - 1
    assert made == ["ledger"]
    with shop.galleries.held(shop.shelf) as held, shop.ledger.read() as tx:
        assert (held.gallery.number, len(held.gallery)) == (4, epochs.count(tx, shop.shelf))


def test_a_file_whose_family_changes_is_found_in_its_new_one_only(shop: Shop, solids: list[Sample]) -> None:
    query, other = solids[0].name, solids[1].name
    assert other in files(shop, query)
    shop.put({other: ("2d", solids[1].vector)})
    assert other not in files(shop, query)
    assert files(shop, other) == []


def test_vectors_that_cannot_be_compared_are_left_out_and_disturb_no_other(shop: Shop, solids: list[Sample]) -> None:
    before = files(shop, solids[0].name)
    bad = [np.full(24, np.nan, dtype="<f4").tobytes(), b"\0" * 92]
    shop.put({solids[1].name: ("3d", bad[0]), solids[2].name: ("3d", bad[1])})
    assert files(shop, solids[0].name) == [name for name in before if name not in (solids[1].name, solids[2].name)]


def test_an_index_that_missed_forgotten_removals_is_made_anew(shop: Shop, solids: list[Sample], made: list[str]) -> None:
    gone = solids[1].name
    assert gone in files(shop, solids[0].name)
    with shop.ledger.write() as tx:
        epochs.remove(tx, shop.shelf, [gone])
    with shop.ledger.write() as tx:
        assert epochs.forget_removals(tx, tx.now + 1) == 1
    assert gone not in files(shop, solids[0].name)
    assert made == ["ledger", "ledger"]


def test_a_ledger_that_was_set_back_is_read_anew(shop: Shop, solids: list[Sample], made: list[str]) -> None:
    shop.put({solids[1].name: ("3d", solids[1].vector)})
    before = files(shop, solids[0].name)
    with shop.ledger.write() as tx:
        tx.connection.exec_driver_sql("UPDATE epochs SET number = 1")
        tx.connection.exec_driver_sql("UPDATE vector_changes SET number = 1")
    assert files(shop, solids[0].name) == before
    assert made == ["ledger", "ledger"]


def test_the_least_recently_used_gallery_leaves_first_when_there_is_no_room(
    new_shop: Callable[..., Shop], solids: list[Sample], made: list[str]
) -> None:
    shop = new_shop(memory_bytes=10_000, snapshot_above=1000)  # room for two
    others = [new_shop(name) for name in ("b", "c")]
    for each in (shop, *others):
        each.add(solids)
        each.galleries = shop.galleries
    first, second, third = shop, *others
    for each in (first, second, first, third, first, second):
        assert len(files(each, solids[0].name)) == len(solids) - 1
    assert len(made) == 4  # the second one had left


# -- snapshots


def test_a_new_process_starts_from_the_snapshot_and_asks_the_ledger_only_what_is_new(
    shop: Shop, solids: list[Sample], made: list[str]
) -> None:
    before = shop.hits(*(one.name for one in solids))
    shop.restart()
    assert shop.hits(*(one.name for one in solids)) == before
    with shop.ledger.write() as tx:
        epochs.remove(tx, shop.shelf, [solids[1].name])
    shop.put({solids[2].name: ("3d", nudged(solids[0].vector, 1e-4))})
    shop.restart()
    found = files(shop, solids[0].name)
    assert found[0] == solids[2].name
    assert solids[1].name not in found
    assert made == ["ledger", "snapshot", "snapshot"]
    names = {path.name.split(".", 1)[1].rsplit(".", 2)[0] for path in (shop.directory / "index").iterdir()}
    assert len(list((shop.directory / "index").iterdir())) == 5, names  # a header, keys and rows of two families: older ones are gone


def damages(shop: Shop) -> Iterator[tuple[str, Callable[[], object]]]:
    head = snapshot.header(shop.directory, shop.shelf)
    rows = next(head.parent.glob("*.3d.rows.*"))
    keys = next(head.parent.glob("*.3d.keys.*"))

    def edit(**changes: object) -> Callable[[], object]:
        return lambda: head.write_text(json.dumps(json.loads(head.read_text()) | changes))

    def turned(path: Path) -> Callable[[], object]:
        def turn() -> None:
            data = bytearray(path.read_bytes())
            data[-3] ^= 1
            path.write_bytes(bytes(data))

        return turn

    yield "a bit of the rows", turned(rows)
    yield "a bit of the keys", turned(keys)
    yield "rows cut off", lambda: rows.write_bytes(rows.read_bytes()[:-8])
    yield "rows missing", rows.unlink
    yield "no header but words", lambda: head.write_text("once upon a time")
    yield "half a header", lambda: head.write_text(head.read_text()[:50])
    yield "another format", edit(format=99)
    yield "another width", edit(width=22)
    yield "another tenant", edit(tenant_id="tnt_other")
    yield "a header that is a list", lambda: head.write_text("[1]")
    yield "a number from the future", edit(number=10**6)


@pytest.mark.parametrize("at", range(11))
def test_a_snapshot_that_is_not_as_it_was_written_is_told_and_read_anew_from_the_ledger(
    shop: Shop, solids: list[Sample], made: list[str], at: int
) -> None:
    before = shop.hits(*(one.name for one in solids))
    for number, (_, damage) in enumerate(damages(shop)):
        if number == at:
            damage()
    told: list[IndexFailure] = []
    shop.galleries = Galleries(shop.settings, shop.ledger, shop.directory, lambda *_: filled(ExactIndex(_[2]), _[3]), told.append)
    assert shop.hits(*(one.name for one in solids)) == before
    assert made == ["ledger", "ledger"]
    assert [failure.reason for failure in told] == ([] if at == 6 else ["corruption"])  # another format is another release of ours
    shop.restart()
    assert shop.hits(*(one.name for one in solids)) == before
    assert made[2:] == ["snapshot"]  # a good one has taken its place


def test_nothing_in_a_snapshot_is_unpickled(shop: Shop, solids: list[Sample], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(tmp_path / "sprung"),)  # type: ignore[return-value]

    shop.hits(solids[0].name)
    head = snapshot.header(shop.directory, shop.shelf)
    told = json.loads(head.read_text())
    rows = head.with_name(told["families"]["3d"]["rows"]["file"])
    with rows.open("wb") as stream:
        np.save(stream, np.array([Trap()], dtype=object), allow_pickle=True)
    told["families"]["3d"]["rows"]["sha256"] = snapshot._digest(rows)
    head.write_text(json.dumps(told))
    with pytest.raises(IndexFailure, match="corruption"):
        snapshot.load(shop.directory, shop.shelf, 24)
    assert not (tmp_path / "sprung").exists()


def test_a_snapshot_that_lost_vectors_does_not_agree_with_the_ledger(shop: Shop, solids: list[Sample], made: list[str]) -> None:
    before = shop.hits(solids[0].name)
    kept = snapshot.load(shop.directory, shop.shelf, 24)
    assert kept is not None
    content = {family: (keys[1:], rows[1:]) for family, (keys, rows) in kept.content.items()}
    snapshot.save(shop.directory, shop.shelf, 24, kept.number, content)
    shop.restart()
    assert shop.hits(solids[0].name) == before
    assert made == ["ledger", "ledger"]


def test_a_snapshot_that_nobody_has_used_for_a_month_makes_room(shop: Shop, solids: list[Sample]) -> None:
    shop.hits(solids[0].name)
    (kept,) = [snapshot.load(shop.directory, shop.shelf, 24)]
    assert kept is not None
    of_another = shop.shelf._replace(engine_build="0")
    for age, left in ((29, 2), (31, 1)):
        snapshot.save(shop.directory, of_another, 24, 1, kept.content)
        written = time.time() - age * 24 * 3600
        os.utime(snapshot.header(shop.directory, of_another), (written, written))
        snapshot.save(shop.directory, shop.shelf, 24, kept.number, kept.content)
        assert len(list((shop.directory / "index").glob("*.json"))) == left
        assert len(list((shop.directory / "index").iterdir())) == 5 * left
    snapshot.discard(shop.directory, shop.shelf)
    assert list((shop.directory / "index").iterdir()) == []


def test_a_disk_that_is_full_costs_the_snapshot_and_nothing_else(shop: Shop, solids: list[Sample], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_told: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(snapshot, "save", full)
    assert len(files(shop, solids[0].name)) == len(solids) - 1


def test_an_engine_that_fails_fails_the_search_and_leaves_the_gallery_whole(shop: Shop, solids: list[Sample]) -> None:
    class Broken(ExactIndex):
        broken = True

        def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
            if Broken.broken:
                raise IndexFailure("search", "as told")
            return super().search(queries, k)

    shop.galleries = Galleries(shop.settings, shop.ledger, shop.directory, lambda *_: filled(Broken(_[2]), _[3]))
    with pytest.raises(IndexFailure):
        shop.hits(solids[0].name)
    Broken.broken = False
    assert len(files(shop, solids[0].name)) == len(solids) - 1
