"""The worker processes as one: a row that each reads every two seconds, orders that each carries out once, what each reports.

An order is for the processes that live when it is given. One that dies before it answers is waited for until it is silent for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Table, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit
from ledger.fleet_rows import fleet, order_answers, orders, worker_reports
from ledger.queues import ALIVE_SECONDS
from ledger.session import Tx

RECOVERY, PREWARM = "recovery", "prewarm"
_ORDERS_KEPT = 100


@dataclass(frozen=True, slots=True)
class Steer:
    """The row that every process reads."""

    cache_epoch: int
    order_number: int


@dataclass(frozen=True, slots=True)
class Order:
    number: int
    kind: str
    tenant_id: str
    input: dict[str, Any]
    until: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a process says of itself. `index` and `cache` are its own words, as JSON."""

    process: str
    cache_epoch: int
    order_number: int
    index: dict[str, Any]
    cache: dict[str, Any]
    at: float = 0.0


_NAME = "fleet"


def steer(tx: Tx) -> Steer:
    """Which setting and which order are the newest."""
    row = tx.execute(select(fleet.c.cache_epoch, fleet.c.order_number).where(fleet.c.name == _NAME)).one()
    return Steer(*row)


def take(tx: Tx, cache_epochs: int = 0, order_numbers: int = 0) -> Steer:
    """Take the next numbers. Until the commit nobody else takes any: what is decided on the newest setting or order stays true."""
    row = tx.execute(
        update(fleet)
        .where(fleet.c.name == _NAME)
        .values(cache_epoch=fleet.c.cache_epoch + cache_epochs, order_number=fleet.c.order_number + order_numbers)
        .returning(fleet.c.cache_epoch, fleet.c.order_number)
    ).one()
    return Steer(*row)


# -- orders ------------------------------------------------------------------------------------------------------------


def give(tx: Tx, kind: str, tenant_id: str, by: str, input: dict[str, Any], seconds: float) -> Order:
    """Order every process alive to do something. Raises FAISS_RECOVERY_CONFLICT for a recovery while another one runs."""
    number = take(tx, order_numbers=1).order_number
    if kind == RECOVERY and (running := _running(tx, kind)) is not None:
        raise Failure("FAISS_RECOVERY_CONFLICT", {"since": iso(running.asked_at), "asked_by": running.asked_by})
    order = Order(number, kind, tenant_id, input, tx.now + seconds)
    tx.execute(
        insert(orders).values(number=number, kind=kind, tenant_id=tenant_id, asked_by=by, asked_at=tx.now, until=order.until, input=input)
    )
    tx.execute(delete(orders).where(orders.c.number <= number - _ORDERS_KEPT))
    audit.record(tx, tenant_id, by, f"fleet.{kind}", str(number))
    return order


def _running(tx: Tx, kind: str) -> Row[Any] | None:
    """The newest order of a kind, if some process alive has yet to carry it out."""
    newest = _newest(tx, kind)
    if newest is None or newest.until <= tx.now:
        return None
    return newest if any(report.order_number < newest.number for report in alive(tx)) else None


def _newest(tx: Tx, kind: str) -> Row[Any] | None:
    return tx.first(select(orders).where(orders.c.kind == kind).order_by(orders.c.number.desc()).limit(1))


def open_orders(tx: Tx, after: int) -> list[Order]:
    """Orders behind a number that may still be begun, oldest first."""
    rows = tx.execute(select(orders).where(orders.c.number > after, orders.c.until > tx.now).order_by(orders.c.number))
    return [Order(row.number, row.kind, row.tenant_id, row.input, row.until) for row in rows]


def answer(tx: Tx, number: int, process: str, told: dict[str, Any]) -> None:
    """What came of an order in a process."""
    if tx.first(select(orders.c.number).where(orders.c.number == number)) is None:
        return  # so old that it is forgotten
    _replace(tx, order_answers, {"number": number, "process": process}, {"at": tx.now, "answer": told})


def answers(tx: Tx, number: int) -> dict[str, dict[str, Any]]:
    """By process."""
    rows = tx.execute(select(order_answers.c.process, order_answers.c.answer).where(order_answers.c.number == number))
    return {row.process: row.answer for row in rows}


def recovery(tx: Tx) -> dict[str, Any] | None:
    """The last recovery asked for by hand, as clients see it."""
    newest = _newest(tx, RECOVERY)
    if newest is None:
        return None
    return {
        "number": newest.number,
        "asked_by": newest.asked_by,
        "asked_at": iso(newest.asked_at),
        "running": _running(tx, RECOVERY) is not None,
        "answers": [{"worker": process} | told for process, told in sorted(answers(tx, newest.number).items())],
    }


# -- reports -----------------------------------------------------------------------------------------------------------


def report(tx: Tx, told: Report) -> None:
    """A process lives, and says how it is."""
    values = {"at": tx.now, "cache_epoch": told.cache_epoch, "order_number": told.order_number, "index": told.index, "cache": told.cache}
    _replace(tx, worker_reports, {"process": told.process}, values)


def _replace(tx: Tx, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    tx.execute(dialect.insert(table).values(**key, **values).on_conflict_do_update(index_elements=list(key), set_=values))


def leave(tx: Tx, process: str) -> None:
    """A process ends."""
    tx.execute(delete(worker_reports).where(worker_reports.c.process == process))


def forget(tx: Tx) -> int:
    """Forget processes that went silent."""
    return int(tx.execute(delete(worker_reports).where(worker_reports.c.at < tx.now - 10 * ALIVE_SECONDS)).rowcount)


def alive(tx: Tx) -> Sequence[Report]:
    """Reports of the processes that have been heard of lately, by name."""
    rows = tx.execute(select(worker_reports).where(worker_reports.c.at >= tx.now - ALIVE_SECONDS).order_by(worker_reports.c.process))
    return [Report(row.process, row.cache_epoch, row.order_number, row.index, row.cache, row.at) for row in rows]
