"""Lines as they are read: in bites along a chain, searched, and added up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Integer, Row, and_, case, cast, func, literal_column, or_, select

from foundation import canonical
from foundation.clock import iso
from ledger.rows import audit, audit_heads
from ledger.session import Ledger, Tx
from ledger.trail.chain import FIELDS, Body, Place

_BITE = 2_000
_DAY = 86_400.0
_TOP = 10
_ASKEW = 1_000  # so many lines may stand out of the order of time: those of transactions that took long
_ROWS = 2_000  # of the report, a day's doings of one kind each


def body_of(row: Row[Any]) -> Body:
    """What of a row the hash covers."""
    return {name: row.tenant_id if name == "chain" else getattr(row, name) for name in FIELDS}


def chains(tx: Tx) -> list[str]:
    """Every chain there is: those with a head, and those whose head somebody removed."""
    heads = set(tx.execute(select(audit_heads.c.chain)).scalars())
    return sorted(heads | set(tx.execute(select(audit.c.tenant_id).distinct()).scalars()))


def ends(tx: Tx) -> dict[str, tuple[Place, Place]]:
    """Head and floor of every chain."""
    return {row.chain: (Place(row.number, row.hash), Place(row.floor, row.floor_hash)) for row in tx.execute(select(audit_heads))}


def head(tx: Tx, chain: str) -> tuple[Place, Place] | None:
    """The last line of a chain and its floor."""
    row = tx.first(select(audit_heads).where(audit_heads.c.chain == chain))
    return None if row is None else (Place(row.number, row.hash), Place(row.floor, row.floor_hash))


def behind(ledger: Ledger, chain: str, number: int, up_to: int | None = None) -> Iterator[list[Row[Any]]]:
    """The lines of a chain behind a number, in bites of a transaction each: no snapshot is held for long."""
    last: Row[Any] | None = None
    while True:
        query = select(audit).where(audit.c.tenant_id == chain, audit.c.number > number)
        if last is not None:  # numbers are unique, unless somebody dropped that, too
            query = select(audit).where(
                audit.c.tenant_id == chain, audit.c.number >= last.number, or_(audit.c.number > last.number, audit.c.seq > last.seq)
            )
        if up_to is not None:
            query = query.where(audit.c.number <= up_to)
        with ledger.read() as tx:
            rows = list(tx.execute(query.order_by(audit.c.number, audit.c.seq).limit(_BITE)))
        if not rows:
            return
        yield rows
        last = rows[-1]


def unplaced(tx: Tx, chain: str) -> list[Row[Any]]:
    """Lines of a chain that nobody wrote through the ledger."""
    return list(tx.execute(select(audit).where(audit.c.tenant_id == chain, audit.c.number.is_(None)).order_by(audit.c.seq).limit(_BITE)))


# -- export ------------------------------------------------------------------------------------------------------------


def exported(ledger: Ledger, named: list[str]) -> Iterator[str]:
    """Whole chains as lines of JSON, which `cadmill audit verify --file` proves: of each its floor, its lines and its head."""
    for chain in named:
        with ledger.read() as tx:
            ends = head(tx, chain)
        floor = ends[1] if ends else Place()
        yield floor_line(chain, floor)
        last = ends[0] if ends else Place()
        for rows in behind(ledger, chain, floor.number, last.number):
            for row in rows:
                yield line_of(row)
        yield canonical.text({"chain": chain, "head": {"number": last.number, "hash": last.hash}}) + "\n"


def floor_line(chain: str, floor: Place) -> str:
    """The heading of a chain: what comes next follows from this line, which was let go (or from nothing: number 0)."""
    return canonical.text({"chain": chain, "floor": {"number": floor.number, "hash": floor.hash}}) + "\n"


def line_of(row: Row[Any]) -> str:
    """A line of the trail as a line of JSON."""
    return canonical.text({**body_of(row), "number": row.number, "hash": row.hash}) + "\n"


# -- search ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines. Empty: all. `chain` None: of every chain. Times are seconds since the epoch; `action` may end in `*`."""

    chain: str | None
    actor: str | None = None
    action: str | None = None
    subject: str | None = None
    outcome: str | None = None
    request_id: str | None = None
    since: float | None = None
    until: float | None = None

    @property
    def order(self) -> str:
        """The column that lines are ordered by: of both kinds of numbers the one that the index has beside what is asked for."""
        chosen = self.chain is None or self.actor or self.subject or self.request_id or self.outcome not in (None, "done")
        return "seq" if chosen else "number"


def page(tx: Tx, wanted: Wanted, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """Lines, the newest first, behind the last of the page before (by `wanted.order`)."""
    order = audit.c[wanted.order]
    query = select(audit).where(*_conditions(tx, wanted)).limit(limit)
    if before is not None:
        query = query.where(order < before)
    return [view(tx, row) for row in tx.execute(query.order_by(order.desc()))]


def found(ledger: Ledger, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """All lines that a search finds, the newest first, in bites."""
    last: int | None = None
    while True:
        with ledger.read() as tx:
            lines = page(tx, wanted, _BITE, last)
        yield from lines
        if len(lines) < _BITE:
            return
        last = int(lines[-1][wanted.order])


def view(tx: Tx, row: Row[Any]) -> dict[str, Any]:
    """A line as people and clients see it, its details opened."""
    plain = ("number", "actor", "action", "subject", "outcome", "origin", "request_id", "hash")
    told = {"chain": row.tenant_id, "at": iso(row.at)} | {name: getattr(row, name) for name in plain}
    return {**told, "detail": tx.details.told(row.detail, row.tenant_id, row.number), "seq": row.seq}


def _conditions(tx: Tx, wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.chain is not None:
        # what went wrong is little, and its index better than any that begins with the chain: so the chain is hidden from the planner
        little = wanted.order == "seq" and wanted.outcome not in (None, "done")
        found.append((audit.c.tenant_id.concat("") if little else audit.c.tenant_id) == wanted.chain)
    if wanted.order == "number":
        found.append(audit.c.number.is_not(None))
    if wanted.action and wanted.action.endswith("*"):
        found.append(audit.c.action.startswith(wanted.action[:-1], autoescape=True))
    elif wanted.action:
        found.append(audit.c.action == wanted.action)
    for column, value in ((audit.c.actor, wanted.actor), (audit.c.subject, wanted.subject)):
        found += [column == value] if value else []
    # written out beside the value where a partial index may answer
    found += [audit.c.request_id == wanted.request_id, audit.c.request_id != literal_column("''")] if wanted.request_id else []
    if wanted.outcome:
        found += [audit.c.outcome == wanted.outcome, *([] if wanted.outcome == "done" else [audit.c.outcome != literal_column("'done'")])]
    # times have no index: the places that go with them are found by halving, give or take the lines of a few commits
    if wanted.since is not None:
        found += [audit.c.at >= wanted.since, audit.c[wanted.order] > max(0, before(tx, wanted, wanted.since) - _ASKEW)]
    if wanted.until is not None:
        found += [audit.c.at < wanted.until, audit.c[wanted.order] <= before(tx, wanted, wanted.until) + _ASKEW]
    return found


def before(tx: Tx, wanted: Wanted, time: float) -> int:
    """The last place before a time, in the order of what is wanted; lines come in the order of time, give or take a commit."""
    place = audit.c[wanted.order]
    own = [] if wanted.order == "seq" else [audit.c.tenant_id == wanted.chain]
    low, high = 0, tx.number(select(func.coalesce(func.max(place), 0)).where(*own))
    while low < high:
        middle = (low + high + 1) // 2
        at = tx.connection.scalar(select(audit.c.at).where(*own, place >= middle).order_by(place).limit(1))
        low, high = (middle, high) if at is not None and at < time else (low, middle - 1)
    return low


# -- report ------------------------------------------------------------------------------------------------------------


def report(tx: Tx, chain: str | None, since: float) -> dict[str, Any]:
    """Who did how much of what a day, what did not succeed, and which subjects were told of most, since a time."""
    chosen = _conditions(tx, Wanted(chain, since=since))
    lines = func.count().label("lines")
    postgresql = tx.connection.dialect.name == "postgresql"
    day = (func.floor(audit.c.at / _DAY) if postgresql else cast(audit.c.at / _DAY, Integer)).label("day")
    chunk = and_(audit.c.actor.startswith("job_", autoescape=True), audit.c.actor.contains("."))  # what a worker did for a chunk
    who = case((chunk, "workers"), else_=audit.c.actor).label("who")

    def most(*columns: Any, where: tuple[Any, ...] = (), limit: int = _TOP) -> list[dict[str, Any]]:
        query = select(*columns, lines).where(*chosen, *where).group_by(*columns).order_by(lines.desc(), *columns).limit(limit)
        return [dict(row) for row in tx.execute(query).mappings()]

    days = sorted(most(day, who, audit.c.action, audit.c.outcome, limit=_ROWS), key=lambda row: (-row["day"], -row["lines"]))
    return {
        "since": iso(since),
        "days": [{**row, "day": str(iso(row["day"] * _DAY))[:10]} for row in days],
        "not_done": most(audit.c.action, audit.c.outcome, who, audit.c.origin, where=(audit.c.outcome != "done",)),
        "subjects": most(audit.c.subject),
    }
