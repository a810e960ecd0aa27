"""Tenants and their keys, in the hands of whoever runs the server."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from api import paging
from api.auth import TheAdmin
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.routes.keys import MADE, ROTATED, KeyRequest, Overlap, listed, made, new, rotated
from api.shapes.answers import LOCATION, answers, nothing, refusals
from api.shapes.tenants import KeyPage, Tenant, TenantPage
from api.versions import link
from foundation.errors import Failure
from ledger import keys, tenants

router = APIRouter(prefix="/tenants", tags=["tenants"])

Most = Annotated[int | None, Field(ge=0, le=2**62)]


class Quota(BaseModel):
    """What a tenant may have at most. Null: what CADMILL_QUOTA_* says for all; 0: no limit. What is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bytes: Most = Field(None, description="bytes of the parts it keeps, each part counted")
    parts: Most = Field(None, description="parts it keeps")
    jobs: Most = Field(None, description="jobs in flight")


class TenantRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]+$")
    quota: Quota = Quota()


class TenantChange(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    disabled: bool | None = Field(None, description="true: its keys open nothing and nothing of it is accepted; what runs goes on")
    quota: Quota | None = None


@router.get("", responses=answers(TenantPage, "CURSOR_INVALID"))
def list_tenants(house: TheHouse, _admin: TheAdmin, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Every tenant, newest first. Needs X-Admin-Token."""
    with house.ledger.read() as tx:
        found = tenants.page(tx, limit + 1, paging.decode(cursor))
    return paging.page("tenants", found, limit)


@router.post("", status_code=201, responses=answers(Tenant, "TENANT_NAME_TAKEN", status=201, says="It is there", headers=LOCATION))
def add_tenant(request: TenantRequest, house: TheHouse, _admin: TheAdmin) -> JSONResponse:
    """Add a tenant. It can be asked for with a key: POST /api/v1/tenants/{id}/keys makes its first. Needs X-Admin-Token."""
    with house.ledger.write() as tx:
        tenant = tenants.add(tx, request.name, request.quota.model_dump(exclude_unset=True))
        return JSONResponse(tenants.get(tx, tenant.id), 201, {"Location": link(f"{router.prefix}/{tenant.id}")})


@router.get("/{tenant_id}", responses=answers(Tenant, "TENANT_NOT_FOUND"))
def get_tenant(tenant_id: str, house: TheHouse, _admin: TheAdmin) -> dict[str, Any]:
    """A tenant with its quotas and what it uses. Needs X-Admin-Token."""
    with house.ledger.read() as tx:
        return tenants.get(tx, tenant_id)


@router.patch("/{tenant_id}", responses=answers(Tenant, "TENANT_NOT_FOUND"))
def change_tenant(tenant_id: str, request: TenantChange, house: TheHouse, admin: TheAdmin) -> dict[str, Any]:
    """Disable or enable a tenant, or set its quotas. Needs X-Admin-Token."""
    if request.disabled and tenant_id == admin.id:
        raise Failure("REQUEST_INVALID", {"fields": {"disabled": "you ask with a key of this tenant, and could not enable it again"}})
    quota = request.quota.model_dump(exclude_unset=True) if request.quota else None
    with house.ledger.write() as tx:
        tenants.change(tx, tenant_id, request.disabled, quota)
        return tenants.get(tx, tenant_id)


@router.get("/{tenant_id}/keys", responses=answers(KeyPage, "TENANT_NOT_FOUND", "CURSOR_INVALID"))
def list_tenant_keys(tenant_id: str, house: TheHouse, _admin: TheAdmin, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Keys of any tenant. Needs X-Admin-Token."""
    with house.ledger.read() as tx:
        tenants.get(tx, tenant_id)
    return listed(house, tenant_id, limit, cursor)


@router.post("/{tenant_id}/keys", status_code=201, responses=MADE | refusals("TENANT_NOT_FOUND"))
def make_tenant_key(tenant_id: str, request: KeyRequest, house: TheHouse, _admin: TheAdmin) -> JSONResponse:
    """Make a key of any tenant. `key` in the answer is shown this once. Needs X-Admin-Token."""
    with house.ledger.write() as tx:
        tenants.get(tx, tenant_id)
        return made(house, tx, tenant_id, new(house, tx, tenant_id, request))


@router.post("/{tenant_id}/keys/{key_id}/rotate", status_code=201, responses=ROTATED | refusals("TENANT_NOT_FOUND", "KEY_NOT_FOUND"))
def rotate_tenant_key(tenant_id: str, key_id: str, house: TheHouse, _admin: TheAdmin, overlap_days: Overlap = None) -> JSONResponse:
    """Make the successor of a key of any tenant. `key` in the answer is shown this once. Needs X-Admin-Token."""
    with house.ledger.write() as tx:
        tenants.get(tx, tenant_id)
        return made(house, tx, tenant_id, rotated(house, tx, tenant_id, key_id, overlap_days))


@router.delete(
    "/{tenant_id}/keys/{key_id}", status_code=204, responses=nothing("TENANT_NOT_FOUND", "KEY_NOT_FOUND", says="It opens nothing any more")
)
def revoke_tenant_key(tenant_id: str, key_id: str, house: TheHouse, _admin: TheAdmin) -> None:
    """Let a key of any tenant open nothing from now on. Needs X-Admin-Token."""
    with house.ledger.write() as tx:
        tenants.get(tx, tenant_id)
        keys.revoke(tx, tenant_id, key_id)
