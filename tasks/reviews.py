"""Review marks: what a person says of a pair of parts, so that the next report is shorter."""

from __future__ import annotations

import re
from enum import StrEnum

from pydantic import Field

from foundation.errors import Failure
from ledger import parts, reviews
from ledger.reviews import Review
from ledger.session import Tx
from tasks.contract import Request

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Mark(StrEnum):
    CONFIRMED = "confirmed"  # they are one part
    REJECTED = "rejected"  # they are not
    IGNORED = "ignored"  # whatever they are, it is not to be told again


HIDING = (Mark.REJECTED.value, Mark.IGNORED.value)


class ReviewRequest(Request):
    first: str = Field(max_length=100, description="a part of the pair: its id, or the SHA-256 of its content")
    second: str = Field(max_length=100, description="the other one; the same content again: about copies of it")
    mark: Mark = Field(description="confirmed: one part; rejected: two parts; ignored: not to be told again. For good, until it is deleted")
    note: str = Field("", max_length=1000, description="why, in your own words")
    by: str = Field("", max_length=255, description="who decided; empty: the name of your tenant")


class ReviewsRequest(Request):
    reviews: tuple[ReviewRequest, ...] = Field(min_length=1, max_length=1000)


def put(tx: Tx, tenant_id: str, tenant_name: str, request: ReviewsRequest) -> list[Review]:
    """Set the marks, all or none. Raises PART_NOT_FOUND."""
    contents = _contents(tx, tenant_id, [side for one in request.reviews for side in (one.first, one.second)])
    new = [
        Review(reviews.ordered(contents[one.first], contents[one.second]), one.mark.value, one.by or tenant_name, one.note)
        for one in request.reviews
    ]
    reviews.put(tx, tenant_id, new)
    return new


def pair(tx: Tx, tenant_id: str, first: str, second: str) -> reviews.Contents:
    """The contents that two parts, or their hashes, name. Raises PART_NOT_FOUND."""
    contents = _contents(tx, tenant_id, [first, second])
    return reviews.ordered(contents[first], contents[second])


def _contents(tx: Tx, tenant_id: str, named: list[str]) -> dict[str, str]:
    """SHA-256 by what it was named by. A hash is taken as it is: its parts may be gone and come back."""
    ids = sorted({name for name in named if not _SHA256.fullmatch(name)})
    known = parts.contents(tx, tenant_id, ids)
    for part_id in ids:
        if part_id not in known:
            raise Failure("PART_NOT_FOUND", {"id": part_id[:64]})
    return {name: known.get(name, name) for name in named}
