"""What a similarity job has found: pairs and clusters of parts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api import paging
from api.auth import TheTenant
from api.house import House, TheHouse
from api.paging import Cursor, Limit
from api.shapes.answers import answers, streams
from api.shapes.duplicates import ClusterPage, PairPage
from api.tables import line
from foundation.errors import Failure
from ledger import hits
from tasks import clusters, pairs
from tasks.pairs import Asked
from tasks.similarity import Sought

router = APIRouter(prefix="/jobs", tags=["duplicates"])

Reviewed = Annotated[
    Literal["exclude", "include"], Query(description="include: those that were rejected or are ignored, too; each says so")
]


def asked_for(
    label: Annotated[list[Sought] | None, Query(description="only these; may be given many times. Default: all")] = None,
    threshold: Annotated[float, Query(ge=0, le=1, description="least score")] = 0.0,
    reviewed: Reviewed = "exclude",
) -> Asked:
    return Asked(frozenset(label or Sought), threshold, reviewed == "include")


ThePairs = Annotated[Asked, Depends(asked_for)]


_CODES = ("JOB_NOT_FOUND", "JOB_WITHOUT_HITS", "RESULTS_PRUNED")


@router.get("/{job_id}/pairs", responses=answers(PairPage, *_CODES, "CURSOR_INVALID"))
def list_pairs(
    job_id: str, house: TheHouse, tenant: TheTenant, asked: ThePairs, limit: Limit = 100, cursor: Cursor = None
) -> dict[str, Any]:
    """The pairs of parts a similarity job has found, each unordered pair once, in the order of its queries; while it runs: so far.

    Each has its evidence: label, score, how large the second part is beside the first, and the slots that contribute most to the
    distance. `left_out` counts those of this page that were rejected or are ignored, and those whose part was deleted."""
    state = _searched(house, tenant.id, job_id)["state"]
    found = pairs.page(house.ledger, tenant.id, job_id, asked, limit, _place(cursor))
    last = found.pop("last")
    return paging.cut(found | {"job_state": state}, f"{last[0]}.{last[1]}" if last else None)


_LINES = streams("application/jsonl", *_CODES, says="A line for each pair")
_ROWS = streams("text/csv", *_CODES, says="A row for each pair")


@router.get("/{job_id}/pairs.jsonl", response_class=StreamingResponse, responses=_LINES)
def get_pair_lines(job_id: str, house: TheHouse, tenant: TheTenant, asked: ThePairs) -> StreamingResponse:
    """Every pair as one line of JSON."""
    _searched(house, tenant.id, job_id)
    told = pairs.stream(house.ledger, tenant.id, job_id, asked)
    return StreamingResponse((json.dumps(pair) + "\n" for pair in told), media_type="application/jsonl")


@router.get("/{job_id}/pairs.csv", response_class=StreamingResponse, responses=_ROWS)
def get_pair_table(job_id: str, house: TheHouse, tenant: TheTenant, asked: ThePairs) -> StreamingResponse:
    """Every pair as one line of a table."""
    _searched(house, tenant.id, job_id)

    def lines() -> Iterator[str]:
        yield line(pairs.COLUMNS)
        for pair in pairs.stream(house.ledger, tenant.id, job_id, asked):
            yield line(pairs.row(pair))

    return StreamingResponse(lines(), media_type="text/csv")


@router.get("/{job_id}/clusters", responses=answers(ClusterPage, *_CODES, "CURSOR_INVALID"))
def list_clusters(
    job_id: str,
    house: TheHouse,
    tenant: TheTenant,
    label: Annotated[list[Sought] | None, Query(description="hits that join parts; default: exact, same and scaled")] = None,
    threshold: Annotated[float, Query(ge=0, le=1, description="least score of a hit that joins two parts")] = 0.0,
    reviewed: Reviewed = "exclude",
    limit: Limit = 100,
    cursor: Cursor = None,
) -> dict[str, Any]:
    """Parts that hang together by the hits of a similarity job, the largest cluster first.

    `evidence` has the hits that join the parts of a cluster: as many as it takes to reach each of them. Two parts of a cluster may
    be joined by others only. Pairs that were rejected or are ignored join nothing."""
    _searched(house, tenant.id, job_id)
    asked = Asked(frozenset(label or (Sought.EXACT, Sought.SAME, Sought.SCALED)), threshold, reviewed == "include")
    found = clusters.page(house.ledger, tenant.id, job_id, asked, limit, paging.decode_number(cursor, 0))
    after = found.pop("next")
    return paging.cut(found, after)


def _searched(house: House, tenant_id: str, job_id: str) -> dict[str, Any]:
    with house.ledger.read() as tx:
        return hits.searched(tx, tenant_id, job_id)


def _place(cursor: str | None) -> tuple[int, int]:
    text = paging.decode(cursor)
    if text is None:
        return pairs.START
    index, _, place = text.partition(".")
    if not (index.isdigit() and place.isdigit() and len(text) <= 20):
        raise Failure("CURSOR_INVALID")
    return int(index), int(place)
