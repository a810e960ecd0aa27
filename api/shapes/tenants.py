"""Tenants, their keys, quotas and use, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.shapes.jobs import Cursor
from ledger.keys import Scope
from tasks.contract import Answer


class TenantName(Answer):
    id: str
    name: str


class Key(Answer):
    """A key without its secret, which only its holder knows."""

    id: str
    name: str
    state: Literal["active", "rotated", "expired", "revoked"] = Field(description="rotated: it goes on beside its successor for a while")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(description="to the minute")
    successor_id: str | None
    next_rotation_hint: str | None = Field(description="null until it is due")


class KeyPage(Answer):
    keys: list[Key]
    next_cursor: Cursor


class OwnKey(Key):
    tenant: TenantName


class MadeKey(Key):
    key: str = Field(description="shown this once", examples=["cadmill_..."])


class Use(Answer):
    used: int = Field(ge=0)
    limit: int | None = Field(description="null: none")


class UseByQuota(Answer):
    bytes: Use
    parts: Use
    jobs: Use


class Usage(Answer):
    tenant: TenantName
    usage: UseByQuota


class OwnQuota(Answer):
    """What was set for this tenant. Null: as for all; 0: no limit."""

    bytes: int | None
    parts: int | None
    jobs: int | None


class ListedTenant(TenantName):
    created_at: datetime
    disabled_at: datetime | None
    quota: OwnQuota


class Tenant(ListedTenant):
    usage: UseByQuota


class TenantPage(Answer):
    tenants: list[ListedTenant]
    next_cursor: Cursor
