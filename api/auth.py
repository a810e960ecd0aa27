"""Who asks."""

from __future__ import annotations

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
