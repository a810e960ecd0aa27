"""Who asks, by HTTP: headers to `api.policy`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Request

from api.house import TheHouse
from api.policy import Credentials, Scope, admit, admit_operator
from ledger.tenants import Tenant

_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})


def tenant_of(
    request: Request, house: TheHouse, x_api_key: Annotated[str | None, Header(description="your key; it names your tenant")] = None
) -> Tenant:
    """Who asks. A GET needs a key that may read, anything else one that may submit."""
    return admit(house, Credentials(x_api_key), Scope.READ if request.method in _LOOKING else Scope.SUBMIT)


TheTenant = Annotated[Tenant, Depends(tenant_of)]


def admin_of(
    house: TheHouse,
    x_api_key: Annotated[str | None, Header(description="your key; it names your tenant")] = None,
    x_admin_token: Annotated[str | None, Header(description="the token of whoever runs this server")] = None,
) -> Tenant:
    """Who asks, when they also run this server."""
    token = x_admin_token and x_admin_token.encode("latin-1")  # headers come as bytes read as Latin-1
    return admit_operator(house, Credentials(x_api_key, token or None))


TheAdmin = Annotated[Tenant, Depends(admin_of)]


def owner_of(house: TheHouse, x_api_key: Annotated[str | None, Header(description="your key; it names your tenant")] = None) -> Tenant:
    """Who asks, when they may change what the tenant itself is."""
    return admit(house, Credentials(x_api_key), Scope.ADMIN)


TheOwner = Annotated[Tenant, Depends(owner_of)]
