"""One call that was let in: whose it is, and what its handler may do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from google.protobuf.message import Message

from api.house import House
from api.live.hub import Hub
from api.policy import Credentials, Scope, admit
from ledger.tenants import Tenant

P = ParamSpec("P")
T = TypeVar("T")

_ADMITTED_SECONDS = 4.0  # a key that was revoked must not be answered longer than five


async def apart(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """Do blocking work in a thread. A caller that is cancelled is so when the work has ended: nobody clears away what it still uses."""
    doing = asyncio.ensure_future(asyncio.to_thread(work, *args, **more))
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.wait([doing])
        if not doing.cancelled():
            doing.exception()  # looked at: there is nobody left to tell
        raise


@dataclass(slots=True)
class Call:
    """What a handler knows of its call. `send` answers one message of a stream, and waits while the client does not read."""

    house: House
    hub: Hub
    credentials: Credentials
    scope: Scope
    tenant: Tenant
    metadata: dict[str, str]
    request_id: str
    send: Callable[[Message], Awaitable[None]]
    _admitted: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._admitted = self.house.clock.tick()

    async def apart(self, work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        return await apart(work, *args, **more)

    async def readmit(self) -> None:
        """See to it now and then, while a stream is open, that its key is still good. Raises what `admit` raises."""
        if self.house.clock.tick() - self._admitted > _ADMITTED_SECONDS:
            await apart(admit, self.house, self.credentials, self.scope)
            self._admitted = self.house.clock.tick()
