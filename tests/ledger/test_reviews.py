"""Marks on pairs, on both databases."""

from __future__ import annotations

import pytest

from foundation.errors import Failure
from ledger import reviews, tenants
from ledger.reviews import Review, ordered
from tests.ledger.conftest import Desk

A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def put(desk: Desk, *new: Review, tenant: str = "") -> None:
    with desk.ledger.write() as tx:
        reviews.put(tx, tenant or desk.tenant.id, new)


def test_a_pair_has_one_mark_whichever_side_comes_first_and_the_last_one_counts(desk: Desk) -> None:
    assert ordered(B, A) == ordered(A, B) == (A, B)
    put(
        desk,
        Review((A, B), "rejected", "Ada", "left and right"),
        Review((A, B), "ignored", "Ada", ""),
        Review((C, C), "ignored", "Bob", ""),
    )
    put(desk, Review((A, B), "confirmed", "Bob", "measured"))
    with desk.ledger.read() as tx:
        found = reviews.of_pairs(tx, desk.tenant.id, [(A, B), (A, C), (C, C)])
        assert {pair: (one["mark"], one["by"], one["note"]) for pair, one in found.items()} == {
            (A, B): ("confirmed", "Bob", "measured"), (C, C): ("ignored", "Bob", "")
        }  # fmt: skip
        assert reviews.marked(tx, desk.tenant.id, ["ignored", "rejected"]) == {(C, C): "ignored"}


def test_marks_are_paged_in_order_and_chosen_by_mark(desk: Desk) -> None:
    put(desk, *(Review(pair, mark, "Ada", "") for pair, mark in (((A, B), "rejected"), ((A, C), "ignored"), ((B, C), "rejected"))))
    with desk.ledger.read() as tx:

        def page(limit: int, after: reviews.Contents | None, mark: str | None = None) -> list[tuple[str, str]]:
            return [(one["first"], one["second"]) for one in reviews.page(tx, desk.tenant.id, limit, after, mark)]

        assert page(2, None) == [(A, B), (A, C)]
        assert page(2, (A, C)) == [(B, C)]
        assert page(9, (A, B), "rejected") == [(B, C)]


def test_a_mark_is_removed_once_and_belongs_to_one_tenant(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        other = tenants.add(tx, "other")
    put(desk, Review((A, B), "rejected", "Ada", ""))
    with desk.ledger.read() as tx:
        assert reviews.of_pairs(tx, other.id, [(A, B)]) == {}
    with pytest.raises(Failure, match="REVIEW_NOT_FOUND"), desk.ledger.write() as tx:
        reviews.remove(tx, other.id, (A, B))
    with desk.ledger.write() as tx:
        reviews.remove(tx, desk.tenant.id, (A, B))
    with pytest.raises(Failure, match="REVIEW_NOT_FOUND"), desk.ledger.write() as tx:
        reviews.remove(tx, desk.tenant.id, (A, B))


def test_every_mark_is_told_in_the_audit_trail(desk: Desk) -> None:
    from sqlalchemy import select

    from ledger.rows import audit

    put(desk, Review((A, B), "rejected", "Ada", "why"))
    with desk.ledger.write() as tx:
        reviews.remove(tx, desk.tenant.id, (A, B))
    with desk.ledger.read() as tx:
        told = [
            (row.action, row.detail) for row in tx.execute(select(audit).where(audit.c.action.startswith("review.")).order_by(audit.c.seq))
        ]
    assert told == [("review.rejected", {"by": "Ada", "note": "why"}), ("review.removed", {})]
