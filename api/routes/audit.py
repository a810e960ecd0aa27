"""The audit trail: search, proof, report, export. A tenant sees its own chain; whoever runs the server sees all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Security
from fastapi.responses import StreamingResponse

from api import paging
from api.auth import ADMIN_TOKEN_HEADER, TheKey
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.policy import Credentials, Scope, admit, admit_operator
from api.shapes.answers import OPTIONAL, answers, streams
from api.shapes.audit import AuditPage, AuditReport, AuditVerdict
from api.tables import line
from foundation import canonical
from ledger import tenants
from ledger.trail import anchors, proving, reading
from ledger.trail.chain import HOUSE
from ledger.trail.reading import Wanted

router = APIRouter(prefix="/audit", tags=["audit"])

_DAY = 86_400.0
_ALL = "all"
_LINES = streams(
    "application/x-ndjson", "TENANT_NOT_FOUND", says="A line for each line of the chains, and one at the start and at the end of each"
)
_ROWS = streams("text/csv", "TENANT_NOT_FOUND", says="A row for each line")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose chain is asked for; None: all of them."""

    chain: str | None


def chain_of(
    house: TheHouse,
    key: TheKey,
    x_admin_token: Annotated[str | None, Header(description=ADMIN_TOKEN_HEADER, json_schema_extra={OPTIONAL: True})] = None,
    chain: Annotated[
        str | None,
        Query(max_length=64, description="empty: your own; with X-Admin-Token the id of any tenant, `store` for the house, or `all`"),
    ] = None,
) -> Asked:
    """The chain of a key with the scope admin; any chain with the admin token beside it.

    Raises TENANT_NOT_FOUND rather than prove that a chain nobody has is whole."""
    if chain is None:
        return Asked(admit(house, Credentials(key), Scope.ADMIN).id)
    token = x_admin_token and x_admin_token.encode("latin-1")
    admit_operator(house, Credentials(key, token or None))
    if chain not in (_ALL, HOUSE):
        with house.ledger.read() as tx:
            tenants.get(tx, chain)
    return Asked(None if chain == _ALL else chain)


TheChain = Annotated[Asked, Security(chain_of, scopes=[Scope.ADMIN.value])]


def wanted_of(
    asked: TheChain,
    actor: Annotated[str | None, Query(max_length=200, description="who: key:<id>, a chunk's id, upkeep, doctor, ...")] = None,
    action: Annotated[str | None, Query(max_length=100, description="what, such as job.accepted; job.* is all of its kind")] = None,
    subject: Annotated[str | None, Query(max_length=200, description="to what: the id of a job, part, key, ...")] = None,
    outcome: Annotated[Literal["done", "failed", "refused"] | None, Query(description="how it went")] = None,
    request_id: Annotated[str | None, Query(max_length=100, description="of the answer's X-Request-Id")] = None,
    since: Annotated[datetime | None, Query(description="from this time on")] = None,
    until: Annotated[datetime | None, Query(description="before this time")] = None,
) -> Wanted:
    times = [None if time is None else time.timestamp() for time in (since, until)]
    return Wanted(asked.chain, actor, action, subject, outcome, request_id, *times)


Wants = Annotated[Wanted, Depends(wanted_of)]


@router.get("", responses=answers(AuditPage, "TENANT_NOT_FOUND", "CURSOR_INVALID", "SECRET_MISMATCH"))
def search_audit(house: TheHouse, wanted: Wants, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Lines of the trail, the newest first: who did what to what, from where, how it went. Needs a key with the scope admin."""
    before = paging.decode_number(cursor, -1)
    with house.ledger.read() as tx:
        lines = reading.page(tx, wanted, limit + 1, None if before < 0 else before)
    return paging.page("lines", lines, limit, wanted.order)


@router.get("/verify", responses=answers(AuditVerdict, "TENANT_NOT_FOUND", "ANCHORS_UNREADABLE"))
def verify_audit(house: TheHouse, asked: TheChain) -> dict[str, Any]:
    """Walk the chain and say whether every line is there, unchanged and in its place; compare it with what was anchored outside.

    `whole` is the verdict, `breaks` names the lines. With chain=all every chain, and the anchor file itself."""
    known = anchors.of(house.settings.audit.anchor_file, house.sealing)
    return proving.prove(house.ledger, None if asked.chain is None else [asked.chain], known).told()


@router.get("/report", responses=answers(AuditReport, "TENANT_NOT_FOUND"))
def report_audit(
    house: TheHouse, asked: TheChain, days: Annotated[float, Query(gt=0, le=3660, description="how far back")] = 7
) -> dict[str, Any]:
    """Who did how much of what on each day, what was refused or failed, and which subjects were told of most."""
    with house.ledger.read() as tx:
        return reading.report(tx, asked.chain, tx.now - days * _DAY)


@router.get("/export.jsonl", response_class=StreamingResponse, responses=_LINES)
def export_audit(house: TheHouse, asked: TheChain) -> StreamingResponse:
    """Whole chains as they are stored, so that anybody can prove them without this server: `cadmill audit verify --file`."""
    with house.ledger.read() as tx:
        chains = reading.chains(tx) if asked.chain is None else [asked.chain]
    return StreamingResponse(reading.exported(house.ledger, chains), media_type="application/x-ndjson")


@router.get("/export.csv", response_class=StreamingResponse, responses=_ROWS)
def export_audit_table(house: TheHouse, wanted: Wants) -> StreamingResponse:
    """The lines that a search finds, as a table, the newest first."""
    rows = (line([_cell(told[name]) for name in _COLUMNS]) for told in reading.found(house.ledger, wanted))
    return StreamingResponse((text for part in ([line(_COLUMNS)], rows) for text in part), media_type="text/csv")


_COLUMNS = ("chain", "number", "at", "actor", "action", "subject", "outcome", "origin", "request_id", "detail", "hash")


def _cell(value: Any) -> Any:
    return canonical.text(value) if isinstance(value, dict) else value
