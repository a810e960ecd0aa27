"""Who may ask for what: the one function that every door (HTTP, WebSocket, gRPC) goes through.

Each asking looks its key up: one indexed statement. So a key that was revoked is refused at the very next one, in every process.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass

from api.house import House
from foundation import caller
from foundation.errors import Failure
from ledger import keys
from ledger.keys import Scope as Scope
from ledger.tenants import Tenant

_COST = {Scope.READ: 1, Scope.SUBMIT: 5, Scope.ADMIN: 2}
"""Rate limit units of a call whose door did not name its cost; HTTP does (`api/limits.py`)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a caller shows, by whatever door."""

    key: str | None
    admin_token: bytes | None = None


def admit(house: House, credentials: Credentials, scope: Scope) -> Tenant:
    """Whose call it is, if it is allowed. From here on the caller is known, and so is the tenant behind whose wall the ledger works.

    Raises API_KEY_MISSING, API_KEY_UNKNOWN, API_KEY_EXPIRED, TENANT_DISABLED, SCOPE_MISSING, RATE_LIMITED."""
    if not credentials.key:
        raise Failure("API_KEY_MISSING")
    with house.limits.judging(credentials.key, _COST[scope]), house.ledger.read(as_house=True) as tx:
        tenant = keys.of_key(tx, house.sealing.pepper(keys.PEPPER), credentials.key)
    now, asking = house.clock.now(), caller.current()
    asking.actor, asking.tenant_id = f"key:{tenant.key_id}", tenant.id
    asking.rotation_hint = keys.rotation_hint(tenant.key_id, tenant.key_made_at, now, house.settings.key.hint_days)
    house.limits.charge(credentials.key, tenant.key_id, tenant.id, _COST[scope])
    house.uses.note(tenant.key_id, now)
    must_have(tenant, {scope})
    return tenant


def must_have(tenant: Tenant, scopes: frozenset[str] | set[str] | set[Scope]) -> None:
    """Raises SCOPE_MISSING unless the key by which a tenant asks has all of these."""
    missing = [str(scope) for scope in Scope if scope in scopes and scope not in tenant.scopes]
    if missing:
        raise Failure("SCOPE_MISSING", {"needed": missing, "key": tenant.key_id, "scopes": [s for s in Scope if s in tenant.scopes]})


def still_good(house: House, key_ids: Collection[str]) -> set[str]:
    """Which of the keys that were admitted may go on listening: one look for all connections of a process."""
    with house.ledger.read(as_house=True) as tx:
        return keys.good(tx, key_ids)


def admit_operator(house: House, credentials: Credentials) -> Tenant:
    """Whose call it is, when they also run this server: no wall is between them and any tenant.

    Raises ADMIN_TOKEN_UNSET, _MISSING, _UNKNOWN, and what `admit` raises."""
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
    caller.current().tenant_id = ""
    return tenant
