"""The order of waiting chunks, by an injected clock, on SQLite and PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import func, select, text

from foundation.errors import Failure
from ledger import changes, jobs, line, prepared, queues, repair, starting, tenants
from ledger.chunking import ChunkSize
from ledger.rows import audit, chunks, turns
from tests.ledger.conftest import Desk

AGE, STEPS = 600.0, (0, 3, 6, 9)


# what is counted in Python and by the same statements on both databases is shown on one
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def single(desk: Desk) -> Desk:
    """Jobs whose items are chunks of their own, each a full one."""
    desk.size = ChunkSize(1, 10**9, 1)
    return desk


def neighbour(desk: Desk, name: str) -> Desk:
    """Another tenant at the same ledger."""
    with desk.ledger.write() as tx:
        return replace(desk, tenant=tenants.add(tx, name))


def start(desk: Desk, chunk_id: str, window: int = 8) -> tuple[str, list[str]]:
    """What a worker does with a ring: claim the chunk whose turn it is and ring for the next. What was started and rung."""
    with desk.ledger.write() as tx:
        chosen = line.choose(tx, chunk_id)
        assert chosen is not None
        claimed, ready = starting.start(tx, chosen, chunk_id, "worker", 60, window)
        assert claimed is not None
    desk.finish(claimed)
    return chosen, [one for one, _, _ in ready]


def drain(desk: Desk, count: int, window: int = 8, step: int = 6, rung: list[str] | None = None) -> list[str]:
    """Start so many chunks with a broker that is first in, first out; ids of the chunks in the order they were started.

    `rung` is what the broker holds, before and after."""
    fifo, started = [] if rung is None else rung, []
    fifo += desk.ring(window, step)
    while fifo and len(started) < count:
        chosen, ready = start(desk, fifo.pop(0), window)
        started.append(chosen)
        fifo += ready
    return started


def owner(chunk_id: str, *job_ids: str) -> int:
    return job_ids.index(chunk_id.rpartition(".")[0])


def test_a_quiet_tenant_is_served_before_a_flood_that_came_first(single: Desk) -> None:
    flood = single.add(60)
    rung: list[str] = []
    drain(single, 24, rung=rung)
    small = neighbour(single, "quiet").add(10)
    started = [owner(chunk, flood, small) for chunk in drain(single, 12, rung=rung)]
    assert started == [1] * 10 + [0] * 2, "not even those that were rung already go first"


def test_every_ring_starts_the_chunk_whose_turn_it_is_whenever_others_came(single: Desk) -> None:
    """A flood, and tenants that come and go with one or a few chunks. Rings are sent by who submits and by who claims."""
    single.add(50)
    askers, rung, dice = [neighbour(single, f"asker {n}") for n in range(3)], list[str](), Random(4)
    drain(single, 10, rung=rung)
    for _ in range(30):
        if dice.random() < 0.3:
            dice.choice(askers).add(dice.choice((1, 1, 4)))
            rung += single.ring(8)
        lowest = _lowest_turn(single)
        (started,) = drain(single, 1, rung=rung)
        assert _turn(single, started) == lowest
        assert len(rung) <= 8, "each claim sends one ring for the one it used"


def test_a_job_of_one_chunk_starts_at_the_next_ring_however_often_one_came_before(single: Desk) -> None:
    """The same few rings are passed over each time: they shall not end up last, and the next job behind them."""
    flood = single.add(50)
    quiet, rung = neighbour(single, "quiet"), list[str]()
    drain(single, 10, rung=rung)
    for _ in range(6):
        asked = quiet.add(1)
        rung += quiet.ring(8)
        assert owner(*drain(single, 1, rung=rung), flood, asked) == 1
        assert [owner(chunk, flood, asked) for chunk in drain(single, 3, rung=rung)] == [0] * 3


def test_what_comes_between_a_choice_and_its_claim_is_started_by_the_next_ring_not_rung_behind_all_others(single: Desk) -> None:
    """On PostgreSQL each statement of a claim sees what was committed meanwhile."""
    single.add(100)
    first, second, *_ = single.ring(8)
    with single.ledger.read() as tx:
        assert line.choose(tx, first) == first
    asked = neighbour(single, "quiet").add(1)
    with single.ledger.write() as tx:
        _, ready = starting.start(tx, first, first, "worker", 60, 8)
    assert len(ready) == 1
    assert owner(ready[0][0], asked, first.rpartition(".")[0]) == 1
    assert start(single, second)[0] == f"{asked}.0"


def _lowest_turn(desk: Desk) -> float:
    with desk.ledger.read() as tx:
        return float(tx.execute(select(func.min(chunks.c.turn)).where(chunks.c.state == "queued")).scalar_one())


@ONE_DATABASE
def test_two_floods_share_the_line_evenly_and_each_keeps_its_own_order(single: Desk) -> None:
    rung: list[str] = []
    one = single.add(80)
    drain(single, 30, rung=rung)
    other = neighbour(single, "other").add(60)
    started = drain(single, 56, rung=rung)
    credit = int(line.CREDIT)
    shares = [owner(chunk, one, other) for chunk in started]
    assert abs(sum(shares[:credit]) - credit) <= 1, "who was quiet so far may start its credit first"
    assert abs(sum(shares[credit:]) - (56 - credit) / 2) <= 2
    for job_id in (one, other):
        ordinals = [int(chunk.rpartition(".")[2]) for chunk in started if chunk.startswith(job_id)]
        assert ordinals == sorted(ordinals)


@ONE_DATABASE
def test_turns_weigh_what_chunks_cost(single: Desk) -> None:
    """A tenant of single items is not held back by one whose chunks are full."""
    rung: list[str] = []
    single.size = ChunkSize(10, 10**9, 1)
    full = single.add(1000)
    light = neighbour(single, "light")
    light.size = ChunkSize(10, 10**9, 1)
    small = [light.add(1) for _ in range(200)]
    drain(single, 160, rung=rung)
    started = drain(single, 33, rung=rung)
    heavy = sum(chunk.startswith(full) for chunk in started)
    assert 2 <= heavy <= 5, f"{heavy} full chunks beside {33 - heavy} of a tenth of them, of {len(small)} jobs"


def test_an_urgent_job_is_rung_at_once_however_much_waits(single: Desk) -> None:
    single.add(20, step=9)
    (low, *_) = single.ring(8, 9)
    urgent = single.add(1, step=0)
    assert single.ring(8, 0) == [f"{urgent}.0"]
    assert start(single, low)[0] == f"{urgent}.0", "a ring of low work that was fetched before starts it too"


def test_a_ring_of_low_work_starts_the_best_of_all_better_work_and_is_sent_again(single: Desk) -> None:
    low = f"{single.add(1, step=9)}.0"
    assert single.ring(8, 9) == [low]
    high = f"{single.add(1, step=3)}.0"
    assert single.ring(8, 3) == [high]
    urgent = f"{single.add(1, step=0)}.0"
    assert start(single, low) == (urgent, [low]), "its own ring is not sent yet: those of others start it all the same"
    assert start(single, low) == (high, [low])
    assert start(single, low) == (low, [])


@ONE_DATABASE
def test_what_waits_long_moves_up_and_starts_within_a_bound_beside_a_flood_of_urgent_work(single: Desk) -> None:
    low = single.add(5, step=9)
    single.ring(8, 9)  # rung already: the broker would never come to it
    waited, started, rung = 0, [], list[str]()
    while not all(f"{low}.{n}" in started for n in range(5)):
        single.add(10, step=0)
        started += drain(single, 5, step=0, rung=rung)  # more comes than is done, for ever
        single.hand.time += AGE / 3
        waited += 1
        with single.ledger.write() as tx:
            line.age(tx, AGE, STEPS)
        assert waited < 40, "starved"
    assert waited >= 9, "it took three steps of age: urgent work was preferred until then"
    with single.ledger.read() as tx:
        assert tx.execute(select(chunks.c.step).where(chunks.c.job_id == low).distinct()).scalars().all() == [0]


@ONE_DATABASE
def test_without_ageing_low_work_starves(single: Desk) -> None:
    low = single.add(1, step=9)
    single.ring(8, 9)
    rung: list[str] = []
    for _ in range(8):
        single.add(10, step=0)
        single.hand.time += AGE
        assert f"{low}.0" not in drain(single, 5, step=0, rung=rung)


def test_a_heap_of_old_low_work_does_not_stand_before_new_urgent_work_of_the_same_tenant(single: Desk) -> None:
    single.add(60, step=9)
    for _ in range(3):
        single.hand.time += AGE
        with single.ledger.write() as tx:
            line.age(tx, AGE, STEPS)
    rung = single.ring(8, 0)
    urgent = single.add(1, step=0)
    place = next(at for at, chunk in enumerate(drain(single, 20, step=0, rung=rung)) if chunk.startswith(urgent))
    assert place <= 2


def test_work_that_moved_up_by_age_does_not_count_in_the_line_it_left(single: Desk) -> None:
    single.add(100, step=9)
    single.hand.time += AGE
    with single.ledger.write() as tx:
        assert line.age(tx, AGE, STEPS) == 100
    other, new = neighbour(single, "other").add(1, step=9), single.add(1, step=9)
    assert _turn(single, f"{new}.0") == _turn(single, f"{other}.0"), "as early as who was never here"


def test_a_cancelled_flood_does_not_count_against_its_tenant(single: Desk) -> None:
    mistaken = single.add(100)
    drain(single, 20)
    with single.ledger.write() as tx:
        changes.cancel(tx, single.tenant.id, mistaken)
    neighbour(single, "other").add(40)
    right = single.add(5)
    assert sum(chunk.startswith(right) for chunk in drain(single, 30)) == 5


def test_a_chunk_that_waited_for_another_try_joins_the_line_where_it_has_come(single: Desk) -> None:
    job_id = single.add(1)
    (chunk,) = single.ring()
    claimed = single.must_claim(chunk)
    with single.ledger.write() as tx:
        jobs.fail(tx, claimed, [], Failure("PROBE_UNSTEADY").public(), tx.now + 5)
    neighbour(single, "other").add(30)
    drain(single, 20)
    before = _turn(single, f"{job_id}.0")
    single.hand.time += 6
    with single.ledger.write() as tx:
        assert repair.due(tx) == 1
    assert _turn(single, f"{job_id}.0") > before


def _turn(desk: Desk, chunk_id: str) -> float:
    with desk.ledger.read() as tx:
        return float(tx.execute(select(chunks.c.turn).where(chunks.c.id == chunk_id)).scalar_one())


def test_a_paused_queue_rings_nothing_and_refuses_rings_without_losing_a_chunk(single: Desk) -> None:
    job_id = single.add(3)
    first, second, _ = single.ring()
    running = single.must_claim(first)
    with single.ledger.write() as tx:
        queues.pause(tx, single.tenant.id, "probe", "ops", "new engine")
        with pytest.raises(Failure, match="QUEUE_PAUSED"):
            queues.pause(tx, single.tenant.id, "probe", "ops", "")
    with single.ledger.write() as tx:
        assert line.choose(tx, second) is None
    assert single.ring() == []
    assert single.finish(running) is not None, "what runs finishes"
    with single.ledger.read() as tx:
        left = tx.execute(select(chunks.c.state, chunks.c.rung_at).where(chunks.c.job_id == job_id, chunks.c.id != first)).all()
        assert left == [("queued", None)] * 2
        assert queues.paused(tx, ["probe"])["probe"]["reason"] == "new engine"
    with single.ledger.write() as tx:
        queues.resume(tx, single.tenant.id, "probe", "ops")
    assert len(single.ring()) == 2
    with single.ledger.read() as tx:
        assert tx.execute(select(audit.c.action).where(audit.c.subject == "probe").order_by(audit.c.seq)).scalars().all() == [
            "queue.paused", "queue.resumed",
        ]  # fmt: skip


def test_a_double_ring_starts_nothing_even_if_there_is_something_better(single: Desk) -> None:
    single.add(20)
    (first, *_) = single.ring(2)
    start(single, first, 2)
    neighbour(single, "quiet").add(1)
    with single.ledger.write() as tx:
        assert line.choose(tx, first) is None


def test_flows_nobody_needs_to_remember_are_forgotten(single: Desk) -> None:
    single.add(45)
    neighbour(single, "once").add(1)
    drain(single, 46)
    with single.ledger.write() as tx:
        assert line.forget(tx) == 1
        assert len(tx.execute(select(turns.c.flow)).all()) == 2


def test_ring_and_choice_are_answered_by_their_indexes(single: Desk) -> None:
    """Whatever has ended or waits behind is not touched."""
    single.add(50)
    (first, *_) = single.ring(2)
    for index, ask in {
        "ix_chunks_rung": lambda tx: line.room(tx, "probe", 6, 8),
        "ix_chunks_line": lambda tx: line.choose(tx, first),
        "ix_chunks_age": lambda tx: line.age(tx, AGE, STEPS),
    }.items():
        assert index in _plans(single, ask), index
    assert "ix_chunks_line" in _plans(single, lambda tx: jobs.ring(tx, "probe", 6, 8))


def _plans(desk: Desk, ask: object) -> str:
    """How the database would answer each statement of a verb."""
    from sqlalchemy import event

    seen: list[tuple[str, object]] = []
    told = []
    with desk.ledger.write() as tx:
        dialect = tx.connection.dialect.name
        note = lambda _c, _cursor, statement, values, _context, _many: seen.append((statement, values))  # noqa: E731
        event.listen(tx.connection, "before_cursor_execute", note)
        prepared.watchers.append(hear := lambda statement, values: seen.append((statement, values)))
        ask(tx)  # type: ignore[operator]
        prepared.watchers.remove(hear)
        event.remove(tx.connection, "before_cursor_execute", note)
        if dialect == "postgresql":
            tx.execute(text("SET LOCAL enable_seqscan = off"))  # with so few rows it would be the cheapest
        for statement, values in seen:
            words = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
            told += [str(row) for row in tx.connection.exec_driver_sql(words + statement, values)]
    return "\n".join(told)
