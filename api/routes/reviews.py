"""Reviews: what people decided about pairs of parts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api import paging
from api.auth import TheTenant
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.shapes.answers import answers, nothing
from api.shapes.duplicates import KeptReviews, ReviewPage
from foundation.errors import Failure
from ledger import reviews as rows
from tasks import reviews
from tasks.reviews import Mark, ReviewsRequest

router = APIRouter(prefix="/reviews", tags=["duplicates"])

Side = Annotated[str, Query(max_length=100, description="a part of the pair: its id, or the SHA-256 of its content")]


@router.put("", responses=answers(KeptReviews, "PART_NOT_FOUND"))
def put_reviews(request: ReviewsRequest, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Mark pairs of parts as confirmed, rejected or ignored: all of the request, or none of it.

    A mark belongs to the two contents, so it holds for every part with these bytes. Pairs, clusters and the duplicates report leave
    rejected and ignored pairs out from now on."""
    with house.ledger.write() as tx:
        kept = reviews.put(tx, tenant.id, tenant.name, request)
    return {"reviews": [{"first": one.contents[0], "second": one.contents[1], "mark": one.mark} for one in kept]}


@router.get("", responses=answers(ReviewPage, "CURSOR_INVALID"))
def list_reviews(house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None, mark: Mark | None = None) -> dict[str, Any]:
    """Your reviews: who decided what of which contents, when, and why."""
    with house.ledger.read() as tx:
        found = rows.page(tx, tenant.id, limit + 1, _after(cursor), mark)
    last = f"{found[limit - 1]['first']}.{found[limit - 1]['second']}" if len(found) > limit else None
    return paging.cut({"reviews": found[:limit]}, last)


@router.delete("", status_code=204, responses=nothing("REVIEW_NOT_FOUND", "PART_NOT_FOUND", says="It is forgotten"))
def delete_review(first: Side, second: Side, house: TheHouse, tenant: TheTenant) -> None:
    """Forget what was decided about a pair: reports tell of it again."""
    with house.ledger.write() as tx:
        rows.remove(tx, tenant.id, reviews.pair(tx, tenant.id, first, second))


def _after(cursor: str | None) -> rows.Contents | None:
    text = paging.decode(cursor)
    if text is None:
        return None
    first, mark, second = text.partition(".")
    if not mark:
        raise Failure("CURSOR_INVALID")
    return first, second
