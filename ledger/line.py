"""The order of waiting chunks: start-time fair queueing (Goyal, Vin, Cheng 1996) with a bounded credit, kept in the rows.

Each queue and step is a line. A chunk that joins one takes a turn: the later of how far the line has come and where the last
chunk of its flow (a tenant and a priority) ended. The lowest turn is served first, so flows share a line evenly however much
each has waiting. A flow that asked for little is let in up to `CREDIT` full chunks early: who floods waits, who was quiet does not.
A chunk that comes back from a worker keeps its turn; one that comes back from waiting takes a new one.

A ring starts the chunk whose turn it is, which need not be the one it names. Rings are only sent for chunks behind all that are rung
already: so the broker, first in, first out, holds them in the order of turns, and what comes later with a better turn is not rung
but started by the next of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, case, delete, func, literal_column, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.prepared import Prepared
from ledger.rows import chunks, in_state, jobs, queues, turns
from ledger.session import Tx

CREDIT = 16.0
"""Full chunks a quiet flow may start before the line is shared evenly again."""
_SHARES: Mapping[str, int] = {"urgent": 8, "high": 4, "normal": 2, "low": 1}
"""What flows of different priority get of one line; they meet only where lower ones have moved up by age."""
_LINE = ""  # the row of `turns` that says how far the line itself has come
_COARSE = 1.0  # it is moved in steps of so many full chunks, so that claims seldom wait for each other at that one row
_STEP = 3  # between a step and the next better one


def flow(tenant_id: str, priority: str) -> str:
    return f"{tenant_id}/{priority}"


def queued(*where: Any) -> Any:
    return and_(in_state(chunks, "queued"), *where)


def unrung(*where: Any) -> Any:
    return queued(chunks.c.rung_at.is_(None), *where)


def rung(*where: Any) -> Any:
    return queued(chunks.c.rung_at.is_not(None), *where)


# -- joining -----------------------------------------------------------------------------------------------------------


def take(tx: Tx, queue: str, step: int, tenant_id: str, priority: str, costs: Sequence[float], credit: float = CREDIT) -> list[float]:
    """Turns for chunks of one flow, in this order. Costs are shares of a full chunk."""
    share = _SHARES.get(priority, 1)
    total = sum(costs) / share
    come = _COME.first(tx.connection, {"of_queue": queue, "of_step": step})
    start = (0.0 if come is None else float(come.turn)) - credit / share
    own = {"queue": queue, "step": step, "flow": flow(tenant_id, priority), "turn": start + total}
    end = _TAKEN.first(tx.connection, own | {"start": start, "total": total}).turn
    taken, turn = [], float(end) - total
    for cost in costs:
        taken.append(turn)
        turn += cost / share
    return taken


_COME = Prepared(
    select(turns.c.turn).where(turns.c.queue == bindparam("of_queue"), turns.c.step == bindparam("of_step"), turns.c.flow == _LINE)
)


def _taken(dialect: str) -> Any:
    """The flow goes on from where its last chunk ends, or from `start` if that is later, by `total`."""
    new = (postgresql if dialect == "postgresql" else sqlite).insert(turns)
    start, total = bindparam("start", type_=turns.c.turn.type), bindparam("total", type_=turns.c.turn.type)
    later = case((turns.c.turn > start, turns.c.turn), else_=start) + total
    return new.on_conflict_do_update(index_elements=["queue", "step", "flow"], set_={"turn": later}).returning(turns.c.turn)


_TAKEN = Prepared(_taken)


def tagged(tx: Tx, job: Any, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """New chunks of a job with the turns of those that are queued at once. The others take theirs when they are."""
    joining = [row for row in rows if row["state"] == "queued"]
    if joining:
        for row, turn in zip(joining, _take_for(tx, job, [row["cost"] for row in joining]), strict=True):
            row["turn"] = turn
    return rows


def _take_for(tx: Tx, job: Any, costs: Sequence[float]) -> list[float]:
    return take(tx, job.queue, job.step, job.tenant_id, job.priority, costs)


def join(tx: Tx, waiting: Iterable[Row[Any]]) -> int:
    """Queue waiting chunks, given as (id, cost, queue, step, tenant_id, priority) in their order; how many."""
    flows: dict[tuple[str, int, str, str], list[Row[Any]]] = {}
    for row in waiting:
        flows.setdefault((row.queue, row.step, row.tenant_id, row.priority), []).append(row)
    for key in sorted(flows):  # one order everywhere, so that two processes never wait for each other's flow
        for row, turn in zip(flows[key], take(tx, *key, [row.cost for row in flows[key]]), strict=True):
            tx.execute(
                update(chunks)
                .where(chunks.c.id == row.id, chunks.c.state == "waiting")
                .values(state="queued", run_after=None, rung_at=None, turn=turn, queued_at=tx.now, stepped_at=tx.now)
            )
    return sum(len(rows) for rows in flows.values())


def waiting(*where: Any) -> Any:
    """A query for `join`: waiting chunks under a condition."""
    return (
        select(chunks.c.id, chunks.c.cost, chunks.c.queue, chunks.c.step, jobs.c.tenant_id, jobs.c.priority)
        .join(jobs, jobs.c.id == chunks.c.job_id)
        .where(in_state(chunks, "waiting"), *where)
        .with_for_update(skip_locked=True, of=chunks)
    )


def taken(tx: Tx, job_id: str) -> Sequence[Row[Any]]:
    """What the queued chunks of a job have taken: (queue, step, cost)."""
    costs = select(chunks.c.queue, chunks.c.step, func.sum(chunks.c.cost).label("cost")).where(queued(chunks.c.job_id == job_id))
    return list(tx.execute(costs.group_by(chunks.c.queue, chunks.c.step)))


def refund(tx: Tx, job: Row[Any], costs: Sequence[Row[Any]]) -> None:
    """Give a flow back what cancelled chunks had taken: a mistaken flood shall not count. Last in its transaction, as `take` is."""
    for row in costs:
        _give_back(tx, row.queue, row.step, job.tenant_id, job.priority, row.cost)


def _give_back(tx: Tx, queue: str, step: int, tenant_id: str, priority: str, cost: float) -> None:
    tx.execute(
        update(turns)
        .where(turns.c.queue == queue, turns.c.step == step, turns.c.flow == flow(tenant_id, priority))
        .values(turn=turns.c.turn - cost / _SHARES.get(priority, 1))
    )


# -- being served ------------------------------------------------------------------------------------------------------


def room(tx: Tx, queue: str, step: int, window: int) -> tuple[int, float | None]:
    """How many more chunks may be rung (none while the queue is paused), and from which turn on: that of the last one rung, if any."""
    row = _OUTSTANDING.first(tx.connection, {"of_queue": queue, "of_step": step})
    return 0 if row.paused else max(0, window - int(row.out)), row.last


_PAUSED = select(queues.c.name).where(queues.c.name == bindparam("of_queue"), queues.c.paused_at.is_not(None))
_OUTSTANDING = Prepared(
    select(func.count().label("out"), func.max(chunks.c.turn).label("last"), _PAUSED.exists().label("paused"))
    .select_from(chunks)
    .where(rung(chunks.c.queue == bindparam("of_queue"), chunks.c.step == bindparam("of_step")))
)


def unring(tx: Tx, chunk_id: str) -> tuple[str, int] | None:
    """The ring of a chunk was used, but not for it: (queue, step), or None if the chunk is no longer queued."""
    row = _UNRING.first(tx.connection, {"of": chunk_id})
    return None if row is None else (row.queue, row.step)


_UNRING = Prepared(
    update(chunks)
    .where(chunks.c.id == bindparam("of"), chunks.c.state == "queued")
    .values(rung_at=None)
    .returning(chunks.c.queue, chunks.c.step)
)


def serve(tx: Tx, queue: str, step: int, turn: float) -> None:
    """The line has come as far as this turn. It never goes back."""
    come = _COME.first(tx.connection, {"of_queue": queue, "of_step": step})
    if come is None:
        dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
        tx.execute(dialect.insert(turns).values(queue=queue, step=step, flow=_LINE, turn=turn).on_conflict_do_nothing())
    elif turn >= come.turn + _COARSE:
        here = (turns.c.queue == queue, turns.c.step == step, turns.c.flow == _LINE)
        tx.execute(update(turns).where(*here, turns.c.turn < turn).values(turn=turn))


def choose(tx: Tx, chunk_id: str) -> str | None:
    """Which chunk the ring of this one shall start: itself, or one of a better step or turn that came after it was rung.

    None: it does not wait for a ring, or its queue is paused; then it stays queued and is rung again by `jobs.ring`."""
    row = _CHOICE.first(tx.connection, {"asked": chunk_id})
    if row is None:
        return None
    if row.paused_at is not None:
        unring(tx, chunk_id)
        return None
    return row.better or chunk_id


def _choice() -> Select[Any]:
    """Of the queued chunk `asked`: since when its queue is paused, and the best chunk that goes before it."""
    return (
        select(queues.c.paused_at, _better().label("better"))
        .select_from(chunks)
        .outerjoin(queues, queues.c.name == chunks.c.queue)
        .where(chunks.c.id == bindparam("asked"), chunks.c.state == "queued")
    )


def _better() -> Any:
    """The best chunk that goes before the one asked about: of a better step even if its own ring is on its way (it will then be
    dropped), of the same step only if it was not rung (the rings of others are on their way in order). The best of one query an index."""
    other = chunks.alias("other")
    unrung, step = other.c.rung_at.is_(None), other.c.step < chunks.c.step
    order = other.c.step, other.c.turn, other.c.created_at, other.c.ordinal
    bests = [
        select(other.c.id, *order)
        .where(other.c.queue == chunks.c.queue, in_state(other, "queued"), *condition)
        .order_by(*order)
        .limit(1)
        .correlate(chunks)
        .subquery()
        for condition in ((~unrung, step), (unrung, step), (unrung, other.c.step == chunks.c.step, other.c.turn < chunks.c.turn))
    ]
    best = union_all(*(select(one) for one in bests)).subquery()
    return select(best.c.id).order_by(best.c.step, best.c.turn, best.c.created_at, best.c.ordinal).limit(1).scalar_subquery()


_CHOICE = Prepared(_choice())


# -- growing old -------------------------------------------------------------------------------------------------------


def age(tx: Tx, seconds: float, steps: Sequence[int], limit: int = 500) -> int:
    """Move chunks that have waited so long in a step up to the next one, so that nothing waits for ever; how many."""
    moved = 0
    for step in sorted(steps)[1:]:
        old = tx.execute(
            select(chunks.c.id, chunks.c.cost, chunks.c.queue, jobs.c.tenant_id, jobs.c.priority)
            .join(jobs, jobs.c.id == chunks.c.job_id)
            .where(queued(chunks.c.step == step, chunks.c.step > literal_column("0"), chunks.c.stepped_at <= tx.now - seconds))
            .order_by(chunks.c.stepped_at, chunks.c.turn)
            .limit(limit)
            .with_for_update(skip_locked=True, of=chunks)
        ).all()
        flows: dict[tuple[str, str, str], list[Row[Any]]] = {}
        for row in old:
            flows.setdefault((row.queue, row.tenant_id, row.priority), []).append(row)
        for queue, tenant_id, priority in sorted(flows):
            rows = flows[queue, tenant_id, priority]
            costs = [row.cost for row in rows]
            # No credit for age: who asked for the better step is let in before. What was taken in the line they leave is not used.
            turns_taken = take(tx, queue, step - _STEP, tenant_id, priority, costs, credit=0.0)
            _give_back(tx, queue, step, tenant_id, priority, sum(costs))
            for row, turn in zip(rows, turns_taken, strict=True):
                tx.execute(
                    update(chunks)
                    .where(queued(chunks.c.id == row.id))
                    .values(step=step - _STEP, turn=turn, stepped_at=tx.now, rung_at=None)  # its ring may wait for ever where it was
                )
        moved += len(old)
    return moved


def forget(tx: Tx) -> int:
    """Forget flows that could start as early without having been here."""
    come = turns.alias("come")
    reached = select(come.c.turn).where(come.c.queue == turns.c.queue, come.c.step == turns.c.step, come.c.flow == _LINE)
    old = delete(turns).where(turns.c.flow != _LINE, turns.c.turn < reached.scalar_subquery() - CREDIT)
    return int(tx.execute(old).rowcount)
