"""Watching jobs: the ledger says how a job is, and events say when to ask it again."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from api.grpc import messages
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.call import Call
from api.live.feed import Feed
from api.live.hub import Hub
from foundation.errors import Failure
from ledger import job_views
from ledger.tenants import Tenant

_ENDED = frozenset({pb.JOB_STATE_SUCCEEDED, pb.JOB_STATE_PARTIAL, pb.JOB_STATE_FAILED, pb.JOB_STATE_CANCELLED})
_SHORTEST, _LONGEST = 0.02, 0.5  # seconds between two looks at the ledger while no events come: few after news, more and more without
_LISTENING_SECONDS = 1.0  # and while they come: news may be lost, and keys revoked


class News:
    """Of jobs of one tenant, for one call: by the events of the hub, or by asking again and again where it hears none."""

    def __init__(self, hub: Hub, tenant: Tenant) -> None:
        self._hub, self._tenant = hub, tenant
        self._feed: Feed | None = None
        self._pause = _SHORTEST

    async def listen(self) -> bool:
        """Hear of everything from now on: call this before the first look. Answers whether events can be relied on."""
        if self._feed is not None and self._feed.ended is not None:
            self.close()
        if self._feed is None and not self._hub.stopping:
            try:
                self._feed = self._hub.open(self._tenant, "grpc")
            except Failure:  # LIVE_CROWDED: a call that was let in goes on without
                return False
            await self._hub.subscribe(self._feed, ["topic:jobs"])
        return self._feed is not None and not self._hub.degraded

    def close(self) -> None:
        if self._feed is not None:
            self._hub.close(self._feed)
            self._feed = None

    def renew(self) -> None:
        """Something has changed: where no events come, look again soon."""
        self._pause = _SHORTEST

    async def changed(self, job_ids: Collection[str]) -> None:
        """Return when something may have changed for one of these jobs, or a second has passed."""
        before = self._feed
        if not await self.listen() or self._feed is None:
            pause, self._pause = self._pause, min(2 * self._pause, _LONGEST)
            await asyncio.sleep(pause)
        elif self._feed is before:  # else: what came before it listened anew is only in the ledger
            await self._heard(self._feed, job_ids)

    async def _heard(self, feed: Feed, job_ids: Collection[str]) -> None:
        clock = self._hub.house.clock
        end = clock.tick() + _LISTENING_SECONDS
        while feed.ended is None and (left := end - clock.tick()) > 0:
            if any(told.type in ("gap", "degraded") or told.data.get("id") in job_ids for told in await feed.take(left)):
                return


async def watch(call: Call, request: pb.WatchRequest) -> None:
    """Send a job as it is, then each time it is different, until it has ended. Raises JOB_NOT_FOUND, and what `admit` raises."""

    def look() -> pb.Job:
        with call.house.ledger.read() as tx:
            return messages.job(job_views.get(tx, call.tenant.id, request.id))

    sent, news = None, News(call.hub, call.tenant)
    try:
        await news.listen()
        while True:
            job = await call.apart(look)
            if job != sent:
                await call.send(job)
                sent = job
                news.renew()
            if job.state in _ENDED:
                return
            await news.changed((request.id,))
            await call.readmit()
    finally:
        news.close()
