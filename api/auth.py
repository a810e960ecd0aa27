"""Who asks."""

from __future__ import annotations

import hmac
from typing import Annotated

from fastapi import Depends, Header

from api.house import TheHouse
from foundation.errors import Failure
from ledger import tenants
from ledger.tenants import Tenant


def tenant_of(house: TheHouse, x_api_key: Annotated[str | None, Header(description="your key; it names your tenant")] = None) -> Tenant:
    """Who asks. Raises API_KEY_MISSING, API_KEY_UNKNOWN."""
    if not x_api_key:
        raise Failure("API_KEY_MISSING")
    with house.ledger.read() as tx:
        return tenants.of_key(tx, x_api_key)


TheTenant = Annotated[Tenant, Depends(tenant_of)]


def admin_of(
    house: TheHouse,
    tenant: TheTenant,
    x_admin_token: Annotated[str | None, Header(description="the token of whoever runs this server")] = None,
) -> Tenant:
    """Who asks, when they also run this server. Raises ADMIN_TOKEN_UNSET, _MISSING, _UNKNOWN, and what `tenant_of` raises."""
    wanted = house.settings.api.admin_token.get_secret_value()
    if not wanted:
        raise Failure("ADMIN_TOKEN_UNSET")
    if not x_admin_token:
        raise Failure("ADMIN_TOKEN_MISSING")
    if not hmac.compare_digest(x_admin_token.encode("latin-1"), wanted.encode()):  # headers come as bytes read as Latin-1
        raise Failure("ADMIN_TOKEN_UNKNOWN")
    return tenant


TheAdmin = Annotated[Tenant, Depends(admin_of)]
