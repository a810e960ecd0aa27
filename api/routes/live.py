"""Live events: a WebSocket, the same as server-sent events, and what whoever runs the server has to say to all."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, WebSocket
from fastapi.requests import HTTPConnection
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api.auth import TheAdmin, TheTenant
from api.house import TheHouse
from api.live import websocket
from api.live.hub import Hub
from api.live.stream import LiveStream
from api.problems import answer
from api.shapes.answers import answers, streams
from api.shapes.operating import Announced
from foundation.errors import Failure
from foundation.progress import EVERYONE, Event
from ledger import audit, tenants

router = APIRouter(tags=["live"])


def hub_of(connection: HTTPConnection) -> Hub:
    return connection.app.state.live  # type: ignore[no-any-return]


def _check_origin(connection: HTTPConnection, hub: Hub) -> None:
    """Browsers say which page asks; one of another site is refused. Raises LIVE_ORIGIN_FORBIDDEN."""
    origin = connection.headers.get("origin")
    if origin is None:
        return
    own = {f"{scheme}://{connection.headers.get('host', '')}".lower() for scheme in ("http", "https")}
    if origin.lower() not in own | hub.limits.foreign_origins:
        raise Failure("LIVE_ORIGIN_FORBIDDEN", {"origin": origin[:100]})


@router.websocket("/live")
async def listen(socket: WebSocket) -> None:
    """Events as they happen (docs/live.md)."""
    hub = hub_of(socket)
    try:
        _check_origin(socket, hub)
        await websocket.serve(socket, hub)
    except Failure as failure:  # before the handshake: the answer is one of HTTP
        await socket.send_denial_response(answer(failure))


@router.get(
    "/live",
    response_class=StreamingResponse,
    responses=streams(
        "text/event-stream",
        "LIVE_ORIGIN_FORBIDDEN", "LIVE_CHANNEL_UNKNOWN", "LIVE_CROWDED", "JOB_NOT_FOUND",
        says="Server-sent events, until you go",
    ),
)  # fmt: skip
async def stream_events(
    request: Request,
    tenant: TheTenant,
    hub: Annotated[Hub, Depends(hub_of)],
    channels: Annotated[str, Query(max_length=4000, description="tenant, user, topic:NAME, job:ID; many with commas")] = "tenant",
    last_event_id: Annotated[str | None, Query(max_length=64, description="where to go on; the header says it too")] = None,
    last_event_id_header: Annotated[str | None, Header(alias="Last-Event-ID", max_length=64)] = None,
) -> LiveStream:
    """Events as they happen, as server-sent events: `curl -N`. A channel `job:ID` begins with the job as it is now."""
    _check_origin(request, hub)
    feed = hub.open(tenant, "sse")
    try:
        names = [name.strip() for name in channels.split(",") if name.strip()]
        await hub.subscribe(feed, names, last_event_id_header or last_event_id)
    except BaseException:
        hub.close(feed)
        raise
    return LiveStream(hub, feed)


class Announcement(BaseModel):
    """Something to say to everybody who listens, to a tenant, or to one key of a tenant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field(min_length=1, max_length=2000)
    tenant: str | None = Field(None, max_length=255, description="name of a tenant; none: all of them")
    key: str | None = Field(None, max_length=64, description="id of one key of that tenant, which alone hears it on its user channel")


@router.post("/announcements", status_code=202, responses=answers(Announced, status=202, says="It is told"))
def announce(asked: Announcement, house: TheHouse, admin: TheAdmin) -> dict[str, Any]:
    """Tell everybody who listens, on `tenant` and `topic:announcements`. It is not kept for later. Needs X-Admin-Token."""
    with house.ledger.write() as tx:
        tenant = tenants.find(tx, asked.tenant) if asked.tenant else None
        if (asked.tenant and tenant is None) or (asked.key and tenant is None):
            raise Failure("REQUEST_INVALID", {"fields": {"tenant": "must be the name of a tenant"}})
        whose = tenant.id if tenant else EVERYONE
        audit.record(tx, admin.id, "admin", "announcement.made", whose or "all", text=asked.text, key=asked.key)
        tx.tell(Event("announcement", {"text": asked.text}, whose, user=asked.key or "", directed=bool(asked.key)))
    return {"text": asked.text, "tenant": asked.tenant, "key": asked.key}
