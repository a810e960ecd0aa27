"""What people decided about pairs of parts, kept by the contents of the pair: it holds for every part with these bytes, for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit
from ledger.session import Tx
from ledger.vector_rows import reviews

Contents = tuple[str, str]  # SHA-256 of both, the lower one first


@dataclass(frozen=True, slots=True)
class Review:
    contents: Contents
    mark: str
    by: str
    note: str


def ordered(one: str, other: str) -> Contents:
    return (one, other) if one <= other else (other, one)


def put(tx: Tx, tenant_id: str, new: Sequence[Review]) -> None:
    """Set marks; a pair that has one gets the new one. Of several for one pair the last counts."""
    once = {review.contents: review for review in new}
    rows = [
        {"tenant_id": tenant_id, "first": first, "second": second, "mark": one.mark, "by": one.by, "note": one.note, "at": tx.now}
        # one order everywhere, so that two requests with common pairs never wait for each other
        for (first, second), one in sorted(once.items())
    ]
    if not rows:
        return
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(reviews)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "first", "second"], set_={name: statement.excluded[name] for name in ("mark", "by", "note", "at")}
        ),
        rows,
    )
    for review in once.values():
        audit.record(tx, tenant_id, "api", f"review.{review.mark}", ".".join(review.contents), by=review.by, note=review.note)


def of_pairs(tx: Tx, tenant_id: str, pairs: Iterable[Contents]) -> dict[Contents, dict[str, Any]]:
    """The reviews of these pairs, as far as they have one."""
    asked = sorted(set(pairs))
    bites = (asked[start : start + 400] for start in range(0, len(asked), 400))
    key = tuple_(reviews.c.first, reviews.c.second)
    rows = (row for bite in bites for row in tx.execute(select(reviews).where(reviews.c.tenant_id == tenant_id, key.in_(bite))))
    return {(row.first, row.second): _told(row) for row in rows}


def marked(tx: Tx, tenant_id: str, marks: Sequence[str]) -> dict[Contents, str]:
    """Every pair of a tenant with one of these marks."""
    query = select(reviews.c.first, reviews.c.second, reviews.c.mark).where(reviews.c.tenant_id == tenant_id, reviews.c.mark.in_(marks))
    return {(row.first, row.second): row.mark for row in tx.execute(query)}


def page(tx: Tx, tenant_id: str, limit: int, after: Contents | None, mark: str | None) -> list[dict[str, Any]]:
    """Reviews of a tenant in the order of their contents, starting behind a pair."""
    query = select(reviews).where(reviews.c.tenant_id == tenant_id).order_by(reviews.c.first, reviews.c.second).limit(limit)
    query = query.where(reviews.c.mark == mark) if mark else query
    query = query.where(tuple_(reviews.c.first, reviews.c.second) > after) if after else query
    return [{"first": row.first, "second": row.second, **_told(row)} for row in tx.execute(query)]


def remove(tx: Tx, tenant_id: str, contents: Contents) -> None:
    """Forget what was decided about a pair. Raises REVIEW_NOT_FOUND."""
    if tx.execute(delete(reviews).where(_this(tenant_id, contents))).rowcount != 1:
        raise Failure("REVIEW_NOT_FOUND", {"first": contents[0][:64], "second": contents[1][:64]})
    audit.record(tx, tenant_id, "api", "review.removed", ".".join(contents))


def _this(tenant_id: str, contents: Contents) -> ColumnElement[bool]:
    return and_(reviews.c.tenant_id == tenant_id, reviews.c.first == contents[0], reviews.c.second == contents[1])


def _told(row: Row[Any]) -> dict[str, Any]:
    return {"mark": row.mark, "by": row.by, "note": row.note, "at": iso(row.at)}
