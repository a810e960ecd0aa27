"""Numbers of changes to vectors, so that an index can ask what is new to it.

Every commit that writes or removes vectors of a (tenant, feature version, engine build) takes the next number of these three from one row,
and holds that row to its end. So numbers become visible in their order: whoever sees a number sees all below it. That row is
locked after everything else (but for rows that only its holder touches, and the heads of the audit trail, which come at the very end:
`trail/append.py`), in one order where there are several: nobody who holds one waits for anything that somebody who waits for it could hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, Executable, Table, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.parts import in_bites
from ledger.prepared import Prepared
from ledger.rows import native, vectors
from ledger.session import Tx
from ledger.vector_rows import epochs, vector_changes

_BITE = 500  # rows of one statement
_READ = 10_000  # rows that are fetched at once


class Shelf(NamedTuple):
    """Vectors that can be compared with each other, but for the family."""

    tenant_id: str
    feature_version: str
    engine_build: str


@dataclass(frozen=True, slots=True)
class Epoch:
    """How far a shelf has come, and up to where it is forgotten what was removed."""

    number: int
    floor: int


class Change(NamedTuple):
    """The last that happened to a file's vector. Without bytes: it was removed, or is not native and so not searched."""

    number: int
    sha256: str
    family: str | None
    vector: bytes | None  # float32, little endian


def _following(dialect: str) -> Executable:
    first = (postgresql if dialect == "postgresql" else sqlite).insert(epochs)
    following = first.on_conflict_do_update(index_elements=list(Shelf._fields), set_={"number": epochs.c.number + 1})
    numbered: Executable = following.returning(epochs.c.number)
    return numbered


def _changed(dialect: str) -> Executable:
    row = (postgresql if dialect == "postgresql" else sqlite).insert(vector_changes)
    set_ = {name: row.excluded[name] for name in ("number", "removed_at")}
    upsert: Executable = row.on_conflict_do_update(index_elements=[*Shelf._fields, "sha256"], set_=set_)
    return upsert


_FOLLOWING, _CHANGED = Prepared(_following), Prepared(_changed)


def note(tx: Tx, shelf: Shelf, sha256s: Sequence[str], removed: bool = False) -> None:
    """Number the change of these vectors. Last in a transaction; shelf after shelf in ascending order."""
    if not sha256s:
        return
    number = _FOLLOWING.first(tx.connection, {**shelf._asdict(), "number": 1}).number
    common = {**shelf._asdict(), "number": number, "removed_at": tx.now if removed else None}
    _CHANGED.each(tx.connection, [{**common, "sha256": sha256} for sha256 in sorted(sha256s)])


def current(tx: Tx, shelf: Shelf) -> Epoch:
    row = tx.first(select(epochs.c.number, epochs.c.floor).where(*_of(epochs, shelf)))
    return Epoch(0, 0) if row is None else Epoch(row.number, row.floor)


def since(tx: Tx, shelf: Shelf, number: int) -> Iterator[Sequence[Change]]:
    """What changed after a number, in its order and in portions. The last number told is how far one has come then.

    Ask `current` afterwards, in the same transaction: if its floor is higher than `number`, removals may be missing here.
    """
    query = (
        select(vector_changes.c.number, vector_changes.c.sha256, vectors.c.family, vectors.c.vector)
        .outerjoin(vectors, and_(vectors.c.sha256 == vector_changes.c.sha256, native(), *_of(vectors, shelf)))
        .where(*_of(vector_changes, shelf), vector_changes.c.number > number)
        .order_by(vector_changes.c.number)
        .execution_options(yield_per=_READ)
    )
    for rows in tx.execute(query).partitions():
        yield [Change(*row) for row in rows]


def count(tx: Tx, shelf: Shelf) -> int:
    """Native vectors of a shelf: what an index of it must hold."""
    return tx.number(select(func.count()).select_from(vectors).where(native(), *_of(vectors, shelf)))


def remove(tx: Tx, shelf: Shelf, sha256s: Sequence[str]) -> int:
    """Remove vectors; how many were there. Last in a transaction."""
    here = select(vectors.c.sha256).where(*_of(vectors, shelf)).order_by(vectors.c.sha256).with_for_update()  # in the order of `put`
    # and only what is held by now is removed: a row that came meanwhile may be held by somebody who waits for one of these
    held = [row.sha256 for row in in_bites(tx, sorted(sha256s), lambda bite: here.where(vectors.c.sha256.in_(bite)))]
    for start in range(0, len(held), _BITE):
        tx.execute(delete(vectors).where(*_of(vectors, shelf), vectors.c.sha256.in_(held[start : start + _BITE])))
    note(tx, shelf, held, removed=True)
    return len(held)


def remove_file(tx: Tx, sha256: str) -> None:
    """Remove every vector of a file, whoever has one. Last in a transaction, but for the file's own row, which must be held."""
    here = select(vectors.c.tenant_id, vectors.c.feature_version, vectors.c.engine_build).where(vectors.c.sha256 == sha256)
    shelves = [Shelf(*map(str, row)) for row in tx.execute(here.order_by(*here.selected_columns).with_for_update())]
    for shelf in shelves:
        tx.execute(delete(vectors).where(*_of(vectors, shelf), vectors.c.sha256 == sha256))
    for shelf in shelves:
        note(tx, shelf, [sha256], removed=True)


def forget_removals(tx: Tx, before: float) -> int | None:
    """Forget vectors that were removed before a time. An index that is older than that has to be made anew. None: nothing is left."""
    old = select(*(vector_changes.c[name] for name in Shelf._fields)).where(vector_changes.c.removed_at < before).limit(1)
    row = tx.first(old)
    if row is None:
        return None
    shelf = Shelf(*map(str, row))
    tx.execute(select(epochs.c.number).where(*_of(epochs, shelf)).with_for_update())
    chosen = select(vector_changes.c.sha256).where(*_of(vector_changes, shelf), vector_changes.c.removed_at < before).limit(_BITE)
    gone = (
        tx.execute(
            delete(vector_changes)
            .where(*_of(vector_changes, shelf), vector_changes.c.sha256.in_(chosen), vector_changes.c.removed_at < before)
            .returning(vector_changes.c.number)
        )
        .scalars()
        .all()
    )
    highest = max(gone, default=0)
    tx.execute(update(epochs).where(*_of(epochs, shelf), epochs.c.floor < highest).values(floor=highest))
    return len(gone)


def _of(table: Table, shelf: Shelf) -> tuple[ColumnElement[bool], ...]:
    return tuple(table.c[name] == value for name, value in shelf._asdict().items())
