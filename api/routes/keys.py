"""A tenant's keys, in the hands of its own keepers: never a key that can do more than the one it is made with."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import paging
from api.auth import TheKeeper, TheTenant
from api.house import House, TheHouse
from api.paging import Cursor, Limit
from api.policy import Scope, must_have
from api.shapes.answers import LOCATION, answers, nothing
from api.shapes.tenants import KeyPage, MadeKey, OwnKey
from api.versions import link
from ledger import keys
from ledger.keys import NewKey
from ledger.session import Tx

router = APIRouter(prefix="/keys", tags=["keys"])

_DAY = 86_400.0
MADE = answers(MadeKey, status=201, says="Its text is told this once", headers=LOCATION)
ROTATED = answers(MadeKey, "KEY_NOT_FOUND", "KEY_ENDED", status=201, says="Its text is told this once", headers=LOCATION)

Overlap = Annotated[
    float | None,
    Query(ge=0, le=365, description="how long the old key goes on beside its successor; 0: it ends now. Default: CADMILL_KEY_OVERLAP_DAYS"),
]


class KeyRequest(BaseModel):
    """What a new key is called, what it may do, and until when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", max_length=255, description="to tell it from others: who or what uses it")
    scopes: list[Scope] = Field([Scope.READ, Scope.SUBMIT], min_length=1, max_length=3, description="what it may do")
    expires_in_days: float | None = Field(None, gt=0, le=3650, description="none: no end of its own")


@router.get("/self", responses=answers(OwnKey))
def get_own_key(house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """The key you ask with, its tenant, and a hint when it should be rotated."""
    with house.ledger.read() as tx:
        key = keys.get(tx, tenant.id, tenant.key_id, house.settings.key.hint_days)
    return key | {"tenant": {"id": tenant.id, "name": tenant.name}}


@router.get("", responses=answers(KeyPage, "CURSOR_INVALID"))
def list_keys(house: TheHouse, keeper: TheKeeper, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """The keys of your tenant, newest first; also those that have ended. Their secrets are known to nobody but their holders."""
    return listed(house, keeper.id, limit, cursor)


@router.post("", status_code=201, responses=MADE)
def make_key(request: KeyRequest, house: TheHouse, keeper: TheKeeper) -> JSONResponse:
    """Make a key. `key` in the answer is shown this once. It can do no more, and lives no longer, than the one you make it with."""
    must_have(keeper, set(request.scopes))
    with house.ledger.write() as tx:
        return made(house, tx, keeper.id, new(house, tx, keeper.id, request, keeper.key_expires_at))


@router.post("/{key_id}/rotate", status_code=201, responses=ROTATED)
def rotate_key(key_id: str, house: TheHouse, keeper: TheKeeper, overlap_days: Overlap = None) -> JSONResponse:
    """Make the successor of a key: same name, scopes and end. `key` in the answer is shown this once. The old key goes on for the
    overlap, so that whoever uses it can change over, and then is refused."""
    with house.ledger.write() as tx:
        must_have(keeper, set(keys.get(tx, keeper.id, key_id, house.settings.key.hint_days)["scopes"]))
        return made(house, tx, keeper.id, rotated(house, tx, keeper.id, key_id, overlap_days))


@router.delete("/{key_id}", status_code=204, responses=nothing("KEY_NOT_FOUND", says="It opens nothing any more"))
def revoke_key(key_id: str, house: TheHouse, keeper: TheKeeper) -> None:
    """Let a key open nothing from now on, in every process. Also the one you ask with."""
    with house.ledger.write() as tx:
        keys.revoke(tx, keeper.id, key_id)


# what the operator's routes of `tenants.py` do, too


def listed(house: House, tenant_id: str, limit: int, cursor: str | None) -> dict[str, Any]:
    with house.ledger.read() as tx:
        found = keys.page(tx, tenant_id, limit + 1, paging.decode(cursor), house.settings.key.hint_days)
    return paging.page("keys", found, limit)


def new(house: House, tx: Tx, tenant_id: str, request: KeyRequest, most: float | None = None) -> NewKey:
    """A key as asked for, which ends at `most` if not before."""
    asked = None if request.expires_in_days is None else tx.now + request.expires_in_days * _DAY
    ends = min((end for end in (asked, most) if end is not None), default=None)
    return keys.add(tx, house.sealing.pepper(keys.PEPPER), tenant_id, request.name, request.scopes, ends)


def rotated(house: House, tx: Tx, tenant_id: str, key_id: str, overlap_days: float | None) -> NewKey:
    days = house.settings.key.overlap_days if overlap_days is None else overlap_days
    return keys.rotate(tx, house.sealing.pepper(keys.PEPPER), tenant_id, key_id, days * _DAY)


def made(house: House, tx: Tx, tenant_id: str, key: NewKey) -> JSONResponse:
    told = keys.get(tx, tenant_id, key.id, house.settings.key.hint_days) | {"key": key.text}
    return JSONResponse(told, 201, {"Location": link(f"{router.prefix}/{key.id}"), "Cache-Control": "no-store"})
