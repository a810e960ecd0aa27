"""Who listens to what in this process. One reader of the stream serves all of them; the ledger is asked in threads of its own.

What keeps a listener right although news may be lost: a job's channel begins with a snapshot; a gap is told, and followed by
snapshots; and the jobs somebody listens to are looked at every few seconds, which is also how they are served while Redis is gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from redis import RedisError

from api.house import House
from api.live.channels import jobs_of, parse
from api.live.feed import LEFT, REVOKED, STOPPING, UNVERIFIED, Ending, Feed, Message, message, of_event
from api.live.memory import Kept, Standings, Window, standing
from api.policy import still_good
from foundation import keyspace, progress
from foundation.errors import Failure
from foundation.progress import EVERYONE, Told, order
from foundation.telemetry import LiveClosed, LiveOpened, LiveRead, emit, logger
from ledger import job_views
from ledger.tenants import Tenant

Answer = TypeVar("Answer")
_THREADS = 4
_WAIT_SECONDS = 1.0  # before Redis is tried again
_NOBODY_SECONDS = 0.25
_CATCH_UP_SECONDS = 1.0
_BREATH, _BREATH_SECONDS = 10, 0.001
_BITE = 500  # jobs or keys asked for at once
_UNVERIFIED_SECONDS = 30.0  # without a look at the keys, because the database is away
_LOOK_DEGRADED_SECONDS = 2.0


class Hub:
    """Belongs to one event loop: `start` it there, and `stop` it before the loop ends."""

    def __init__(self, house: House) -> None:
        self.house, self.limits = house, house.settings.live
        self.degraded = False
        self.strangers = 0
        self._feeds: set[Feed] = set()
        self._listening: dict[tuple[str, str], set[Feed]] = {}  # by tenant and channel
        self._window = Window(self.limits.keep)
        self._standings = Standings()
        self._paused: dict[str, str | None] = {}  # of jobs somebody listens to: since when, as last told
        self._threads: CapacityLimiter | None = None
        self._work: list[asyncio.Task[None]] = []
        self._resnap = asyncio.Event()
        self._somebody = asyncio.Event()  # listens
        self.stopping = False

    async def start(self) -> None:
        self._threads = CapacityLimiter(_THREADS)
        self._work = [asyncio.create_task(each) for each in (self._read(), self._look_at_jobs(), self._look_at_keys(), self._after_gaps())]

    def announce_stop(self) -> None:
        """Let everybody know that this server stops."""
        self.stopping = True
        for feed in list(self._feeds):
            feed.end(STOPPING)

    async def stop(self) -> None:
        self.announce_stop()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask the ledger: in a thread, few at a time, so that no burst of listeners takes those of the requests."""
        return await run_sync(question, limiter=self._threads)

    # -- listeners -----------------------------------------------------------------------------------------------------

    def open(self, tenant: Tenant, door: str) -> Feed:
        """A new listener. Raises LIVE_CROWDED. Whoever opens closes."""
        self._crowded("connections", len(self._feeds), self.limits.max_connections)
        self._crowded("connections of a tenant", self._count("tenant_id")[tenant.id], self.limits.max_per_tenant)
        self._crowded("connections of a key", self._count("key_id")[tenant.key_id], self.limits.max_per_key)
        feed = Feed(self.house.clock.new_id("con"), tenant.id, tenant.key_id, door, self.limits.backlog, 2 * self.limits.keep)
        if self.stopping:
            feed.end(STOPPING)
        self._feeds.add(feed)
        self._somebody.set()
        emit(LiveOpened(door))
        return feed

    def close(self, feed: Feed) -> None:
        if feed not in self._feeds:
            return
        feed.end(LEFT)
        self._feeds.discard(feed)
        if not self._feeds:
            self._somebody.clear()
        self._leave(feed, feed.channels)
        emit(LiveClosed(feed.door, (feed.ended or LEFT).reason))

    def _count(self, name: str) -> Counter[str]:
        return Counter(getattr(feed, name) for feed in self._feeds)

    def _crowded(self, what: str, there: int, most: int) -> None:
        if there >= most:
            raise Failure("LIVE_CROWDED", {"limit": what, "allowed": most})

    async def subscribe(self, feed: Feed, names: Iterable[object], after: str | None = None) -> None:
        """Listen to more channels; with `after`, the id of the last event seen, from there on.

        Tells what is listened to now, then what came after that id, or a gap; then snapshots of jobs that cannot be taken up in between.
        Raises LIVE_CHANNEL_UNKNOWN, LIVE_CROWDED, JOB_NOT_FOUND (also for a foreign job), REQUEST_INVALID (for `after`)."""
        new = parse(names, feed.key_id)
        self._crowded("channels of a connection", len(feed.channels | new) - 1, self.limits.max_channels)
        place = _place(after) if after else None
        if place is not None:
            await self._caught_up(place)
        start = self._window.position
        ids = jobs_of(new)
        views = await self.ask(lambda: self._own_jobs(feed.tenant_id, ids)) if ids else {}
        # From here on nothing is awaited: what the reader hands out comes wholly before or wholly after.
        if feed.ended is not None:
            return
        complete = place is None or self._window.covers(place)
        old = set() if after else set(feed.channels)  # what is heard on these was told already
        feed.channels |= new
        for channel in new:
            self._listening.setdefault((feed.tenant_id, channel), set()).add(feed)
        begin = after if after and complete else start  # who breaks off now comes back to what follows
        feed.offer(self._say("subscribed", {"channels": sorted(feed.channels), "degraded": self.degraded}, begin))
        missed = list(self._window.since(order(begin)))
        if not complete:
            feed.offer(self._say("gap", {}, begin))
        if place is None or not complete or any(kept.message.type == "gap" for kept in missed):
            for job_id, view in views.items():
                self._snapshot(job_id, view, [feed], begin)
        else:
            views = {}
        behind = {job_id: standing(view) for job_id, view in views.items()}
        for kept in missed:
            told_already = kept.job_id in behind and kept.standing is not None and kept.standing < behind[kept.job_id]
            told_already = told_already or (bool(old) and kept.is_for(feed.tenant_id, old))
            if kept.is_for(feed.tenant_id, new) and not told_already:
                feed.push(kept.message)

    async def _caught_up(self, place: tuple[int, int]) -> None:
        """Wait, not for long, until this process has read what another one has told already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                while order(self._window.position) < place:
                    await asyncio.sleep(0.005)

    def unsubscribe(self, feed: Feed, names: Iterable[object]) -> None:
        """Raises LIVE_CHANNEL_UNKNOWN."""
        self._leave(feed, parse(names, feed.key_id))
        told = {"channels": sorted(feed.channels), "degraded": self.degraded}
        feed.offer(self._say("subscribed", told, ""))

    def welcome(self, feed: Feed) -> Message:
        """What a connection is told first."""
        told = {"connection": feed.id, "user": f"user:{feed.key_id}", "degraded": self.degraded}
        return self._say("welcome", {**told, "heartbeat_seconds": self.limits.heartbeat_seconds}, "")

    def _own_jobs(self, tenant_id: str, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with self.house.ledger.read() as tx:
            return {job_id: job_views.get(tx, tenant_id, job_id) for job_id in ids}

    def _leave(self, feed: Feed, channels: Iterable[str]) -> None:
        for channel in set(channels):
            feed.channels.discard(channel)
            key = (feed.tenant_id, channel)
            if feeds := self._listening.get(key):
                feeds.discard(feed)
                if not feeds:
                    del self._listening[key]
                    self._paused.pop(channel.removeprefix("job:"), None)

    def _say(self, kind: str, data: dict[str, Any], after: str | None = None, job: str = "") -> Message:
        return message(kind, self._window.position if after is None else after, self.house.clock.now(), data, job)

    def _snapshot(self, job_id: str, view: dict[str, Any], feeds: Iterable[Feed], after: str | None = None) -> None:
        """Tell the job as the ledger has it, unless news of it has overtaken that."""
        now = standing(view)
        if self._standings.behind(job_id, now):
            return
        self._standings.reached(job_id, now)
        self._paused[job_id] = view["paused_at"]
        told = self._say("snapshot", view, after, job_id)
        for feed in feeds:
            feed.push(told)

    # -- news ----------------------------------------------------------------------------------------------------------

    def hand_out(self, told: Told) -> None:
        """Give an event to everybody who listens where it is heard."""
        event, now = told.event, None
        if event.type in ("job.state", "job.progress"):
            now = standing(event.data)
            if self._standings.behind(event.job_id, now):
                return
            self._standings.reached(event.job_id, now)
            if "paused_at" in event.data and event.job_id in self._paused:
                self._paused[event.job_id] = event.data["paused_at"]
        kept = Kept(order(told.id), event.tenant_id, frozenset(event.channels), event.job_id, now, of_event(told))
        self._window.add(kept)
        for feed in self._hearing(kept):
            feed.offer(kept.message)
        if event.type == "gap":
            self._resnap.set()

    def _hearing(self, kept: Kept) -> Iterable[Feed]:
        if kept.message.type == "gap" or kept.tenant_id == EVERYONE:
            return [feed for feed in self._feeds if kept.is_for(feed.tenant_id, feed.channels)]
        feeds = [self._listening.get((kept.tenant_id, channel)) for channel in kept.channels]
        return set().union(*(some for some in feeds if some))

    async def _read(self) -> None:
        """Read the stream for all; while Redis is gone, say so, and after that, that there is a gap."""
        first = True
        while True:
            try:
                async with keyspace.loop_client(self.house.settings.redis, 5.0) as client:
                    before = self._window.position
                    found, floor = await progress.window(client, self.limits.keep)
                    self._window.restart(floor)
                    for told in found:
                        self._window.position = told.id
                        if first or order(told.id) > order(before):
                            self.hand_out(told)
                    if not first:  # publishers may have lost events, so nobody takes up what came before
                        self._window.restart(self._window.position)
                        self._now_degraded(False)
                    first = False
                    async for batch in progress.follow(client, self._window.position):
                        for number, told in enumerate(batch, 1):
                            self._window.position = told.id
                            self.hand_out(told)
                            if self._feeds:
                                emit(LiveRead(max(0.0, self.house.clock.now() - told.at)))
                            if number % _BREATH == 0:  # else a thousand events at once would make every reader a slow one
                                await asyncio.sleep(_BREATH_SECONDS)
                        await self._while_nobody_listens()
            except (RedisError, OSError) as error:
                if not self.degraded:
                    logger.warning("live events: Redis does not answer (%s); jobs are looked at in the ledger", type(error).__name__)
                first = False
                self._now_degraded(True)
            except Exception:  # noqa: BLE001 - the last resort of a task that must not end
                logger.exception("reading live events failed")
            await asyncio.sleep(_WAIT_SECONDS)

    async def _while_nobody_listens(self) -> None:
        """Events are then read many at a time: each by itself would cost a submission a tenth of its time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_NOBODY_SECONDS):
                await self._somebody.wait()

    def _now_degraded(self, degraded: bool) -> None:
        if degraded == self.degraded:
            return
        self.degraded = degraded
        told = [self._say("degraded", {"degraded": degraded})]
        if not degraded:
            told.append(self._say("gap", {}))
            self._resnap.set()
        for feed in list(self._feeds):
            feed.offer(*told)

    # -- looking into the ledger ---------------------------------------------------------------------------------------

    async def _after_gaps(self) -> None:
        """After a gap everybody gets the jobs they listen to anew."""
        while True:
            await self._resnap.wait()
            self._resnap.clear()
            await self._quietly(self._look, True)

    async def _look_at_jobs(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_DEGRADED_SECONDS if self.degraded else self.limits.look_seconds)
            await self._quietly(self._look, False)

    async def _look(self, everything: bool) -> None:
        """Compare the jobs somebody listens to with the ledger, and tell what no event has told; after a gap: all of them."""
        watched = {channel.removeprefix("job:"): tenant for tenant, channel in self._listening if channel.startswith("job:")}
        ids = list(watched)
        for bite in (ids[at : at + _BITE] for at in range(0, len(ids), _BITE)):
            before = {job_id: (self._standings.get(job_id), self._paused.get(job_id)) for job_id in bite}
            views = await self.ask(lambda bite=bite: self._views(bite))  # type: ignore[misc]
            for job_id, view in views.items():
                known = self._standings.get(job_id), self._paused.get(job_id)
                if known != before[job_id]:
                    continue  # news came meanwhile
                if everything or known != (standing(view), view["paused_at"]):
                    self._snapshot(job_id, view, list(self._listening.get((watched[job_id], f"job:{job_id}"), ())))

    def _views(self, ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        with self.house.ledger.read() as tx:
            return job_views.among(tx, ids)

    async def _look_at_keys(self) -> None:
        """End those whose key was revoked; and all, if that cannot be known for long."""
        looked = self.house.clock.tick()
        while True:
            await asyncio.sleep(self.limits.check_seconds)
            keys = sorted({feed.key_id for feed in self._feeds})
            try:
                good: set[str] = set()
                for bite in (keys[at : at + _BITE] for at in range(0, len(keys), _BITE)):
                    good |= await self.ask(lambda bite=bite: still_good(self.house, bite))  # type: ignore[misc]
            except Failure as failure:
                logger.warning("keys of live connections cannot be looked at: %s", failure)
                if self.house.clock.tick() - looked > _UNVERIFIED_SECONDS:
                    self._end_all(UNVERIFIED, set(keys))
                continue
            except Exception:  # noqa: BLE001 - the last resort of a task that must not end
                logger.exception("looking at the keys of live connections failed")
                continue
            looked = self.house.clock.tick()
            self._end_all(REVOKED, set(keys) - good)

    def _end_all(self, ending: Ending, keys: set[str]) -> None:
        for feed in [feed for feed in self._feeds if feed.key_id in keys]:
            feed.end(ending)

    async def _quietly(self, look: Callable[[bool], Any], everything: bool) -> None:
        try:
            await look(everything)
        except Failure as failure:
            logger.warning("jobs somebody listens to cannot be looked at: %s", failure)
        except Exception:  # noqa: BLE001 - the last resort of a task that must not end
            logger.exception("looking at jobs failed")


def _place(after: str) -> tuple[int, int]:
    try:
        return order(after)
    except ValueError as error:
        raise Failure("REQUEST_INVALID", {"fields": {"last_event_id": "is not one that an event had"}}) from error
