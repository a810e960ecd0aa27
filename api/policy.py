"""Who may ask for what: the one function that every door (HTTP, WebSocket, gRPC) goes through."""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from api.house import House
from foundation import caller
from foundation.errors import Failure
from ledger import tenants
from ledger.tenants import Tenant


class Scope(StrEnum):
    """What a call does: look, change something of one's own, or change what the tenant or the server is."""

    READ = "read"
    SUBMIT = "submit"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller shows, by whatever door."""

    key: str | None
    admin_token: bytes | None = None


def admit(house: House, credentials: Credentials, scope: Scope) -> Tenant:
    """Whose call it is, if it is allowed. Raises API_KEY_MISSING, API_KEY_UNKNOWN."""
    if not credentials.key:
        raise Failure("API_KEY_MISSING")
    with house.ledger.read() as tx:
        tenant = tenants.of_key(tx, credentials.key)
    caller.current().actor = f"key:{tenant.key_id}"
    return tenant


def still_good(house: House, key_ids: Collection[str]) -> set[str]:
    """Which of the keys that were admitted may go on listening: one look for all connections of a process."""
    with house.ledger.read() as tx:
        return tenants.good_keys(tx, key_ids)


def admit_operator(house: House, credentials: Credentials) -> Tenant:
    """Whose call it is, when they also run this server. Raises ADMIN_TOKEN_UNSET, _MISSING, _UNKNOWN, and what `admit` raises."""
    tenant = admit(house, credentials, Scope.ADMIN)
    wanted = house.settings.api.admin_token.get_secret_value()
    if not wanted:
        raise Failure("ADMIN_TOKEN_UNSET")
    if not credentials.admin_token:
        raise Failure("ADMIN_TOKEN_MISSING")
    if not hmac.compare_digest(credentials.admin_token, wanted.encode()):
        raise Failure("ADMIN_TOKEN_UNKNOWN")
    return tenant
