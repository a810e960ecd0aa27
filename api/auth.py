"""Who asks, by HTTP: headers to `api.policy`. A route says who may ask it by which of these three it takes:

`TheTenant` (a GET needs a key that may read, anything else one that may submit), `TheKeeper` (what changes the tenant itself: the
scope admin), `TheAdmin` (whoever runs this server: the scope admin, and X-Admin-Token)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request, Security
from fastapi.security import APIKeyHeader

from api.house import TheHouse
from api.policy import Credentials, Scope, admit, admit_operator
from ledger.tenants import Tenant

ADMIN_TOKEN_HEADER = "the token of whoever runs this server"
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})

# in the header and nowhere else: addresses end up in logs
_header = APIKeyHeader(name="X-API-Key", scheme_name="key", description="your key; it names your tenant", auto_error=False)
TheKey = Annotated[str | None, Security(_header)]


def tenant_of(request: Request, house: TheHouse, key: TheKey) -> Tenant:
    """Who asks. A GET needs a key that may read, anything else one that may submit."""
    return admit(house, Credentials(key), Scope.READ if request.method in _LOOKING else Scope.SUBMIT)


TheTenant = Annotated[Tenant, Depends(tenant_of)]


def keeper_of(house: TheHouse, key: TheKey) -> Tenant:
    """Who asks, with a key that may change the tenant itself."""
    return admit(house, Credentials(key), Scope.ADMIN)


TheKeeper = Annotated[Tenant, Security(keeper_of, scopes=[Scope.ADMIN.value])]


def admin_of(house: TheHouse, key: TheKey, x_admin_token: Annotated[str | None, Header(description=ADMIN_TOKEN_HEADER)] = None) -> Tenant:
    """Who asks, when they also run this server."""
    token = x_admin_token and x_admin_token.encode("latin-1")  # headers come as bytes read as Latin-1
    return admit_operator(house, Credentials(key, token or None))


TheAdmin = Annotated[Tenant, Security(admin_of, scopes=[Scope.ADMIN.value])]
