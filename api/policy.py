"""Who may ask for what: the one function that every door (HTTP, WebSocket, gRPC) goes through."""

from __future__ import annotations

import hmac
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


_COST = {Scope.READ: 1, Scope.SUBMIT: 5, Scope.ADMIN: 2}
"""Rate limit units of a call whose door did not name its cost; HTTP does (`api/limits.py`)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller shows, by whatever door."""

    key: str | None
    admin_token: bytes | None = None


def admit(house: House, credentials: Credentials, scope: Scope) -> Tenant:
    """Whose call it is, if it is allowed. Raises API_KEY_MISSING, API_KEY_UNKNOWN, RATE_LIMITED."""
    if not credentials.key:
        raise Failure("API_KEY_MISSING")
    with house.limits.judging(credentials.key, _COST[scope]), house.ledger.read() as tx:
        tenant = tenants.of_key(tx, credentials.key)
    caller.current().actor = f"key:{tenant.key_id}"
    house.limits.charge(credentials.key, tenant.key_id, tenant.id, _COST[scope])
    return tenant


def admit_operator(house: House, credentials: Credentials) -> Tenant:
    """Whose call it is, when they also run this server. Raises ADMIN_TOKEN_UNSET, _MISSING, _UNKNOWN, and what `admit` raises."""
    tenant = admit(house, credentials, Scope.ADMIN)
    wanted = house.settings.api.admin_token.get_secret_value()
    if not wanted:
        raise Failure("ADMIN_TOKEN_UNSET")
    if not credentials.admin_token:
        raise Failure("ADMIN_TOKEN_MISSING")
    house.limits.refuse_guessers(credentials.key or "")
    with house.limits.judging(credentials.key or "", _COST[Scope.ADMIN]):
        if not hmac.compare_digest(credentials.admin_token, wanted.encode()):
            raise Failure("ADMIN_TOKEN_UNKNOWN")
    return tenant
