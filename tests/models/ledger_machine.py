"""The real verbs of the ledger in any order, against a real database, with a clock in the machine's hand.

What a verb may do, and whether it may do anything, is read from `ledger/states.py`; what it did is read from the rows
after every step. Rings are lost whenever the machine likes, workers stay at large after their lease has ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete, text
from sqlalchemy.exc import DBAPIError

from foundation.clock import SYSTEM
from foundation.errors import Failure
from foundation.sealing import Sealing
from ledger import changes, delivery_views, endpoints, jobs, outbox, repair, retention, tenants
from ledger.chunking import ChunkSize
from ledger.jobs import Claimed, NewItem, NewJob
from ledger.migrate import migrate
from ledger.outbox import Delivery, Try
from ledger.rows import jobs as job_rows
from ledger.session import Ledger, Tx
from ledger.settling import Outcome
from ledger.states import TABLES, ended
from ledger.webhook_rows import endpoints as endpoint_rows
from tests.ledger.conftest import HandClock
from tests.models.moves import LEGAL, MADE_BY

LEASE = 60.0
LIVE = frozenset(state for state in TABLES["chunks"] if state not in ended("chunks"))
PICK = st.integers(0, 1 << 16)
SEALING = Sealing(bytes(32))

_ROWS = {
    "jobs": "SELECT id, state, generation, callback_url, max_concurrency, total, succeeded, failed, cancelled, deadline, finished_at, "
    "paused_at FROM jobs",
    "chunks": "SELECT id, job_id, state, attempt, crashes, lease_until, run_after, rung_at FROM chunks ORDER BY job_id, ordinal",
    "items": 'SELECT job_id, "index", chunk_id, state, attempts FROM items',
    "deliveries": "SELECT id, job_id, state, attempt, run_after, event, endpoint_id, seq FROM deliveries",
    "endpoints": "SELECT id, state, failing_since FROM endpoints",
}
_TRAIL = text("SELECT seq, action, subject FROM audit WHERE seq > :seq AND action LIKE 'job.%'")
_KEY = {"jobs": ("id",), "chunks": ("id",), "items": ("job_id", "index"), "deliveries": ("id",), "endpoints": ("id",)}


@dataclass
class Rows:
    """All rows at one moment, by key."""

    jobs: dict[Any, Any] = field(default_factory=dict)
    chunks: dict[Any, Any] = field(default_factory=dict)
    items: dict[Any, Any] = field(default_factory=dict)
    deliveries: dict[Any, Any] = field(default_factory=dict)
    endpoints: dict[Any, Any] = field(default_factory=dict)

    def states(self) -> dict[tuple[str, Any], str]:
        return {(table, key): row.state for table in _KEY for key, row in getattr(self, table).items()}


@dataclass
class Bench:
    """What every example of one run shares: making a database anew for each would take most of the time."""

    ledger: Ledger
    hand: HandClock
    tenant_id: str
    steps: int = 0
    seen: set[tuple[str, str, str]] = field(default_factory=set)  # moves that came to pass


class LedgerMachine(RuleBasedStateMachine):
    bench: ClassVar[Bench]

    @initialize()
    def begin(self) -> None:
        with self.bench.ledger.write() as tx:
            tx.execute(delete(job_rows))
            tx.execute(delete(endpoint_rows))
            self.seq = int(tx.connection.execute(text("SELECT coalesce(max(seq), 0) FROM audit")).scalar_one())
        self.rows = Rows()
        self.at_work: list[Claimed] = []  # attempts that somebody still believes in, stale ones too
        self.in_flight: list[Delivery] = []
        self.bells: set[str] = set()  # what the broker holds
        self.ends: dict[str, int] = {}
        self.retries: dict[str, int] = {}

    @contextmanager
    def verb(self, name: str) -> Iterator[Tx]:
        """One transaction of one verb; the rows before and after say which moves it made."""
        before = self.rows
        with self.bench.ledger.write() as tx:
            yield tx
        self.look()
        self.bench.steps += 1
        was, now = before.states(), self.rows.states()
        for key, state in now.items():
            old = was.get(key, "")
            if name == "repair.expire" and key[0] == "jobs" and old == "queued" != state:
                old = "running"  # it passes through it within the transaction
            move = (key[0], old, state)
            if old != state:
                assert move in LEGAL, f"{name} made the illegal move {move}"
                assert name in MADE_BY[move], f"{name} made {move}, which is not its move"
                self.bench.seen.add(move)
        assert name == "retention" or was.keys() <= now.keys(), f"{name} lost rows"

    def look(self) -> None:
        rows = Rows()
        with self.bench.ledger.read() as tx:
            for table, key in _KEY.items():
                found = tx.connection.exec_driver_sql(_ROWS[table])
                getattr(rows, table).update({tuple(getattr(row, name) for name in key): row for row in found})
            for row in tx.connection.execute(_TRAIL, {"seq": self.seq}):
                self.seq = max(self.seq, row.seq)
                if row.action.removeprefix("job.") in ended("jobs"):
                    self.ends[row.subject] = self.ends.get(row.subject, 0) + 1
                self.retries[row.subject] = self.retries.get(row.subject, 0) + (row.action == "job.retried")
        self.rows = rows

    def may(self, table: str, key: Any, goal: str) -> bool:
        """Whether the table of states has that move from where the row is."""
        row = getattr(self.rows, table).get(key)
        return row is not None and goal in TABLES[table][row.state]

    def any(self, table: str, state: str) -> bool:
        return any(row.state == state for row in getattr(self.rows, table).values())

    def current(self, claimed: Claimed) -> bool:
        row = self.rows.chunks.get((claimed.chunk_id,))
        return row is not None and row.attempt == claimed.attempt and "done" in TABLES["chunks"][row.state]

    @property
    def now(self) -> float:
        return self.bench.hand.time

    # -- asking

    @precondition(lambda self: len(self.rows.jobs) < 4)
    @rule(
        n=st.integers(1, 4),
        chunk=st.integers(1, 3),
        most=st.sampled_from([None, None, 1, 2]),
        later=st.booleans(),
        told=st.sampled_from([True, True, False]),
        until=st.sampled_from([None, None, 40.0]),
    )
    def add(self, n: int, chunk: int, most: int | None, later: bool, told: bool, until: float | None) -> None:
        job = NewJob(
            id=SYSTEM.new_id("job"), tenant_id=self.bench.tenant_id, kind="probe", queue="probe", priority="normal", step=6, input={},
            items=[NewItem(payload={}) for _ in range(n)], size=ChunkSize(chunk, 10**9, 1), max_concurrency=most,
            callback_url="https://example.com/hook" if told else None, run_after=self.now + 30 if later else None,
            deadline=None if until is None else self.now + until,
        )  # fmt: skip
        with self.verb("jobs.add") as tx:
            jobs.add(tx, job)
        assert len([item for item in self.rows.items if item[0] == job.id]) == n

    @precondition(lambda self: self.rows.jobs)
    @rule(pick=PICK, really=st.sampled_from([False, False, True]))
    def cancel(self, pick: int, really: bool) -> None:
        if not really:  # often enough: what is cancelled has no further life to watch
            return
        job_id = self._one(self.rows.jobs, pick)
        legal = self.may("jobs", job_id, "cancelled")
        before = self.rows
        try:
            with self.verb("changes.cancel") as tx:
                changes.cancel(tx, self.bench.tenant_id, *job_id)
        except Failure as failure:
            assert failure.code == "JOB_FINISHED"
            assert not legal
            assert self.rows == before
            return
        assert legal
        assert self.rows.jobs[job_id].state == "cancelled"

    @precondition(lambda self: self.rows.jobs)
    @rule(pick=PICK)
    def pause(self, pick: int) -> None:
        self.pause_or_resume("pause", pick, False)

    @precondition(lambda self: any(row.paused_at is not None for row in self.rows.jobs.values()))
    @rule(pick=PICK)
    def resume(self, pick: int) -> None:
        self.pause_or_resume("resume", pick, True)

    def pause_or_resume(self, verb: str, pick: int, paused: bool) -> None:
        ready = [key for key, row in self.rows.jobs.items() if row.state not in ended("jobs") and (row.paused_at is not None) is paused]
        job_id = self._one(ready or self.rows.jobs, pick)
        before = self.rows
        try:
            with self.verb(f"changes.{verb}") as tx:
                (changes.resume if paused else changes.pause)(tx, self.bench.tenant_id, *job_id)
        except Failure as failure:
            assert failure.code in ("JOB_FINISHED", "JOB_NOT_PAUSED" if paused else "JOB_PAUSED")
            assert not ready
            assert self.rows == before
            return
        assert ready
        assert (self.rows.jobs[job_id].paused_at is None) is paused

    @precondition(lambda self: self.rows.jobs)
    @rule(pick=PICK, chunk=st.integers(1, 3))
    def retry(self, pick: int, chunk: int) -> None:
        ready = [key for key in self.rows.jobs if self.may("jobs", key, "queued")]
        job_id = self._one(ready or self.rows.jobs, pick)
        try:
            with self.verb("changes.retry") as tx:
                changes.retry(tx, self.bench.tenant_id, *job_id, ChunkSize(chunk, 10**9, 1))
        except Failure as failure:
            assert failure.code == "JOB_NOT_RETRYABLE"
            assert not ready
            return
        assert ready
        assert self.rows.jobs[job_id].failed == 0

    # -- doing

    @precondition(lambda self: self.any("chunks", "queued"))
    @rule(window=st.integers(1, 4))
    def ring(self, window: int) -> None:
        with self.verb("jobs.ring") as tx:
            rung = jobs.ring(tx, "probe", 6, window)
        self.bells.update(rung)
        assert len(rung) <= window
        assert all(self.rows.chunks[(chunk,)].state == "queued" for chunk in rung)

    @precondition(lambda self: self.bells)
    @rule(pick=PICK)
    def lose_a_ring(self, pick: int) -> None:
        self.bells.discard(sorted(self.bells)[pick % len(self.bells)])

    @precondition(lambda self: self.rows.chunks)
    @rule(pick=PICK, any_chunk=st.booleans())
    def claim(self, pick: int, any_chunk: bool) -> None:
        """Any chunk, because a ring may be late or double; mostly one that is queued."""
        queued = [key for key in self.rows.chunks if self.may("chunks", key, "running")]
        (chunk_id,) = self._one((not any_chunk and queued) or self.rows.chunks, pick)
        self.do_claim(chunk_id)

    def do_claim(self, chunk_id: str) -> Claimed | None:
        legal, before = self.may("chunks", (chunk_id,), "running"), self.rows
        with self.verb("jobs.claim") as tx:
            claimed = jobs.claim(tx, chunk_id, "worker", LEASE)
        self.bells.discard(chunk_id)
        assert (claimed is not None) is legal
        if claimed is None:
            assert self.rows == before
            return None
        assert claimed.attempt == before.chunks[(chunk_id,)].attempt + 1
        pending = [row.index for row in before.items.values() if row.chunk_id == chunk_id and row.state == "pending"]
        assert sorted(item.index for item in claimed.items) == sorted(pending)
        self.at_work = [*self.at_work[-7:], claimed]
        return claimed

    @precondition(lambda self: self.at_work)
    @rule(pick=PICK)
    def beat(self, pick: int) -> None:
        claimed = self._someone(pick)
        with self.verb("jobs.beat") as tx:
            assert jobs.beat(tx, claimed.chunk_id, claimed.attempt, LEASE) is self.current(claimed)

    @precondition(lambda self: self.at_work)
    @rule(pick=PICK)
    def hand_back(self, pick: int) -> None:
        claimed = self._someone(pick)
        current, before = self.current(claimed), self.rows
        with self.verb("jobs.hand_back") as tx:
            assert (jobs.hand_back(tx, claimed) is not None) is current
        assert current or self.rows == before

    @precondition(lambda self: self.at_work)
    @rule(pick=PICK, bad=st.integers(0, 15))
    def finish(self, pick: int, bad: int) -> None:
        self.do_finish(self._someone(pick), bad)

    def do_finish(self, claimed: Claimed, bad: int = 0) -> None:
        current, before = self.current(claimed), self.rows
        with self.verb("jobs.finish") as tx:
            settled = jobs.finish(tx, claimed, [self._outcome(item.index, bad) for item in claimed.items])
        assert (settled is not None) is current, "a stale attempt was let in, or a good one refused"
        self._wrote(claimed, before, current, [item.index for item in claimed.items])

    @precondition(lambda self: self.at_work)
    @rule(pick=PICK, bad=st.integers(0, 15), done=st.integers(0, 4), again=st.booleans())
    def fail(self, pick: int, bad: int, done: int, again: bool) -> None:
        claimed = self._someone(pick)
        current, before = self.current(claimed), self.rows
        outcomes = [self._outcome(item.index, bad) for item in claimed.items[:done]]
        with self.verb("jobs.fail") as tx:
            settled = jobs.fail(tx, claimed, outcomes, {"code": "STORE_UNAVAILABLE"}, self.now + 5 if again else None)
        assert (settled is not None) is current, "a stale attempt was let in, or a good one refused"
        self._wrote(claimed, before, current, [item.index for item in (claimed.items[:done] if again else claimed.items)])

    def _wrote(self, claimed: Claimed, before: Rows, current: bool, indices: Sequence[int]) -> None:
        """Exactly these items have ended by it, or, if it was stale, nothing at all has changed."""
        if not current:
            assert self.rows == before, "a stale attempt has written"
            return
        wrote = {key for key, row in self.rows.items.items() if row.state != before.items[key].state}
        assert wrote == {(claimed.job_id, index) for index in indices}
        assert all(self.rows.items[key].attempts == claimed.attempt for key in wrote)

    # -- upkeep

    @rule(seconds=st.sampled_from([1.0, 6.0, 31.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.bench.hand.time += seconds

    @precondition(lambda self: self.any("chunks", "running"))
    @rule()
    def rescue(self) -> None:
        before = self.rows
        due = {key for key, row in before.chunks.items() if row.state == "running" and row.lease_until < self.now}
        with self.verb("repair.rescue") as tx:
            assert repair.rescue(tx) == len(due)
        assert {key for key in before.chunks if self.rows.chunks[key].crashes != before.chunks[key].crashes} == due

    @precondition(lambda self: self.any("chunks", "running"))
    @rule()
    def all_workers_die(self) -> None:
        self.wait(LEASE + 1)
        self.rescue()

    @precondition(lambda self: any(self.current(claimed) for claimed in self.at_work))
    @rule(pick=PICK)
    def another_worker_takes_over(self, pick: int) -> None:
        """The first one is late, not dead: it still believes in its attempt, and comes back."""
        late = self._one([claimed for claimed in self.at_work if self.current(claimed)], pick)
        self.all_workers_die()
        self.do_claim(late.chunk_id)
        self.do_finish(late)

    @precondition(lambda self: any(row.deadline is not None for row in self.rows.jobs.values()))
    @rule()
    def expire(self) -> None:
        over = {key for key, row in self.rows.jobs.items() if row.state not in ended("jobs") and (row.deadline or self.now + 1) <= self.now}
        with self.verb("repair.expire") as tx:
            repair.expire(tx)
        assert all(self.rows.jobs[key].state in ("failed", "partial") for key in over)

    @precondition(lambda self: self.any("chunks", "waiting"))
    @rule()
    def due(self) -> None:
        with self.verb("repair.due") as tx:
            repair.due(tx)

    @precondition(lambda self: self.any("chunks", "queued"))
    @rule()
    def rering(self) -> None:
        with self.bench.ledger.read() as tx:
            lost = [name for name, _ in repair.rung(tx, self.now) if name not in self.bells]
        with self.verb("repair.rering") as tx:
            self.bells.update(name for name, _, _ in repair.rering(tx, lost))

    @precondition(lambda self: any(row.state in ended("jobs") for row in self.rows.jobs.values()))
    @rule(age=st.sampled_from([0.0, 100.0]))
    def prune(self, age: float) -> None:
        before = self.rows
        old = {key for key, row in before.jobs.items() if row.state in ended("jobs") and row.finished_at < self.now - age}
        with self.verb("retention") as tx:
            assert (retention.hide_jobs(tx, dict.fromkeys(ended("jobs"), self.now - age)) or 0) == len(old)
            while any(bite is not None for bite in (retention.drop_items(tx), retention.drop_jobs(tx))):
                pass
        assert before.jobs.keys() - self.rows.jobs.keys() == old
        assert {key[0] for key in self.rows.items} == {key[0] for key in self.rows.jobs}

    @precondition(lambda self: any(row.state in ended("jobs") for row in self.rows.jobs.values()))
    @rule()
    def drop_chunks(self) -> None:
        with self.verb("retention") as tx:
            retention.drop_chunks(tx, self.now)

    # -- webhooks

    @precondition(lambda self: self.rows.deliveries)
    @rule(pick=PICK)
    def courier_claims(self, pick: int) -> None:
        due = [key for key in self.rows.deliveries if self.may("deliveries", key, "sending")]
        key = self._one((pick & 1 and due) or self.rows.deliveries, pick >> 1)
        legal = self.may("deliveries", key, "sending") and self.rows.deliveries[key].run_after <= self.now and self.may_go(key)
        with self.verb("outbox.claim") as tx:
            delivery = outbox.claim(tx, *key, LEASE, 1_000)
        assert (delivery is not None) is legal
        if delivery is not None:
            self.in_flight = [*self.in_flight[-3:], delivery]

    @precondition(lambda self: self.in_flight)
    @rule(pick=PICK, accepted=st.booleans(), again=st.booleans())
    def courier_settles(self, pick: int, accepted: bool, again: bool) -> None:
        delivery = self.in_flight[pick % len(self.in_flight)]
        row, before = self.rows.deliveries.get((delivery.id,)), self.rows
        current = row is not None and row.attempt == delivery.attempt and "delivered" in TABLES["deliveries"][row.state]
        outcome = Try(self.now, 0.1, accepted, 200 if accepted else 500, None, "")
        with self.verb("outbox.settle") as tx:
            assert outbox.settle(tx, delivery, outcome, self.now + 5 if again and not accepted else None) is current
        assert current or self.rows == before

    def may_go(self, key: Any) -> bool:
        """Whether it is its turn, and its endpoint wants it now."""
        mine = self.rows.deliveries[key]
        line = [row for row in self.rows.deliveries.values() if (row.job_id, row.endpoint_id) == (mine.job_id, mine.endpoint_id)]
        first = mine.job_id is None or not any(row.seq < mine.seq and row.state not in ended("deliveries") for row in line)
        return first and (mine.endpoint_id is None or self.rows.endpoints[(mine.endpoint_id,)].state == "enabled")

    @precondition(lambda self: len(self.rows.endpoints) < 2)
    @rule(enabled=st.sampled_from([True, True, False]), every=st.booleans())
    def add_endpoint(self, enabled: bool, every: bool) -> None:
        new = endpoints.NewEndpoint("https://example.com/", outbox.EVENTS if every else outbox.UNLESS_SAID, "", enabled)
        with self.verb("endpoints.add") as tx:
            endpoints.add(tx, SEALING, self.bench.tenant_id, new, 2)

    @precondition(lambda self: self.rows.endpoints)
    @rule(pick=PICK, enable=st.booleans(), redeliver=st.booleans())
    def pause_or_enable_endpoint(self, pick: int, enable: bool, redeliver: bool) -> None:
        key, goal = self._one(self.rows.endpoints, pick), "enabled" if enable else "paused"
        legal, before = self.may("endpoints", key, goal), self.rows
        with self.verb(f"endpoints.{goal.removesuffix('d')}") as tx:
            if enable:
                endpoints.enable(tx, self.bench.tenant_id, *key, redeliver)
            else:
                endpoints.pause(tx, self.bench.tenant_id, *key)
        assert self.rows.endpoints[key].state == goal if legal else self.rows == before

    @precondition(lambda self: any(row.state in ended("deliveries") for row in self.rows.deliveries.values()))
    @rule(pick=PICK)
    def redeliver(self, pick: int) -> None:
        key = self._one([key for key, row in self.rows.deliveries.items() if row.state in ended("deliveries")], pick)
        row, before = self.rows.deliveries[key], self.rows
        try:
            with self.verb("delivery_views.redeliver") as tx:
                delivery_views.redeliver(tx, self.bench.tenant_id, *key)
        except Failure as failure:
            assert failure.code == "WEBHOOK_OFF"
            assert before.endpoints[(row.endpoint_id,)].state == "off"
            assert self.rows == before
            return
        assert self.rows.deliveries[key].state == "owed"
        assert self.rows.deliveries[key].attempt == row.attempt, "attempts go on being counted"

    @precondition(lambda self: self.in_flight)
    @rule(pick=PICK, gone=st.booleans(), accepted=st.booleans())
    def endpoint_judged(self, pick: int, gone: bool, accepted: bool) -> None:
        delivery = self.in_flight[pick % len(self.in_flight)]
        key, before = (delivery.endpoint_id,), self.rows
        with self.verb("endpoints.judged") as tx:
            endpoints.judged(tx, delivery, accepted, gone, 60.0)
        if key not in before.endpoints or delivery.event == outbox.TEST:
            assert self.rows == before
            return
        row = self.rows.endpoints[key]
        assert row.failing_since is None if accepted else row.failing_since is not None or before.endpoints[key].state == "off"
        if gone and not accepted:
            assert row.state == "off"
        waiting = [row for row in self.rows.deliveries.values() if (row.endpoint_id,) == key and row.state in ("owed", "waiting")]
        assert row.state == before.endpoints[key].state or not waiting, "an endpoint was switched off and something is still owed to it"

    @precondition(lambda self: self.rows.deliveries)
    @rule()
    def bury(self) -> None:
        with self.verb("outbox.bury") as tx:
            outbox.bury(tx)
        for row in self.rows.deliveries.values():
            off = row.endpoint_id is not None and self.rows.endpoints[(row.endpoint_id,)].state == "off"
            assert not (off and row.state in ("owed", "waiting") and row.event != outbox.TEST)

    @precondition(lambda self: self.any("deliveries", "sending"))
    @rule()
    def couriers_rescued(self) -> None:
        with self.verb("outbox.rescue") as tx:
            outbox.rescue(tx)

    # -- what nobody may do

    @precondition(lambda self: self.rows.jobs)
    @rule(table=st.sampled_from(sorted(TABLES)), pick=PICK, goal=PICK)
    def force(self, table: str, pick: int, goal: int) -> None:
        """The database refuses what the table of states does not have, whoever asks."""
        rows = getattr(self.rows, table)
        if not rows:
            return
        key = self._one(rows, pick)
        illegal = [state for state in TABLES[table] if state not in TABLES[table][rows[key].state] and state != rows[key].state]
        if not illegal:
            return
        where = " AND ".join(f'"{name}" = :k{place}' for place, name in enumerate(_KEY[table]))
        values = {f"k{place}": value for place, value in enumerate(key)} | {"goal": illegal[goal % len(illegal)]}
        try:
            with self.bench.ledger.write() as tx:
                tx.connection.execute(text(f"UPDATE {table} SET state = :goal WHERE {where}"), values)
        except DBAPIError as error:
            assert "illegal move" in str(error.orig)
            return
        raise AssertionError(f"the database let {table} go from {rows[key].state} to {values['goal']}")

    # -- what always holds

    @invariant()
    def counts_add_up_and_ends_are_told(self) -> None:
        for (job_id,), job in self.rows.jobs.items():
            tally = dict.fromkeys(TABLES["items"], 0)
            for key, row in self.rows.items.items():
                tally[row.state] += key[0] == job_id
            assert (job.succeeded, job.failed, job.cancelled) == (tally["succeeded"], tally["failed"], tally["cancelled"])
            assert sum(tally.values()) == job.total
            over = job.state in ended("jobs")
            assert over is (tally["pending"] == 0), f"{job.state} with {tally['pending']} pending items"
            assert over is (job.finished_at is not None)
            times = job.generation - (not over)
            assert self.ends.get(job_id, 0) == times, "an end was not written to the trail once"
            assert self.retries.get(job_id, 0) == job.generation - 1
            owed = sum(row.job_id == job_id and row.endpoint_id is None for row in self.rows.deliveries.values())
            assert owed == (times if job.callback_url else 0), "an end is not owed to the receiver once"

    @invariant()
    def messages_are_numbered_without_gap(self) -> None:
        lines: dict[Any, list[int]] = {}
        for row in self.rows.deliveries.values():
            if row.job_id is not None:
                lines.setdefault((row.job_id, row.endpoint_id), []).append(row.seq)
        for line in lines.values():
            assert sorted(line) == list(range(1, len(line) + 1))

    @invariant()
    def no_item_and_no_chunk_is_lost(self) -> None:
        wanted = {row.chunk_id for row in self.rows.items.values() if row.state == "pending"}
        alive = {key[0] for key, row in self.rows.chunks.items() if row.state in LIVE}
        assert wanted == alive, f"pending items belong to {wanted - alive}, which are over; {alive - wanted} have nothing to do"
        for key, row in self.rows.items.items():
            chunk = self.rows.chunks.get((row.chunk_id,))  # None: its job has ended, and its chunks were dropped
            assert self.rows.jobs[(key[0],)].state in ended("jobs") if chunk is None else chunk.job_id == key[0]

    @invariant()
    def chunks_are_in_order(self) -> None:
        for row in self.rows.chunks.values():
            assert (row.state == "running") is (row.lease_until is not None)
            assert row.crashes <= repair.GIVE_UP_AFTER
            assert row.rung_at is None or row.state == "queued"
        for (job_id,), job in self.rows.jobs.items():
            mine = [row for row in self.rows.chunks.values() if row.job_id == job_id and row.state in LIVE]
            held = sum(row.state == "waiting" and row.run_after is None for row in mine)
            assert len(mine) - held <= (job.max_concurrency or len(mine))
            if job.paused_at is None:
                assert not held or len(mine) - held == job.max_concurrency, "a place is free and somebody waits for it"
            else:
                assert job.state not in ended("jobs"), "a job has ended and is still paused"
                assert all(row.state != "queued" for row in mine), "a paused job would start something"

    def teardown(self) -> None:
        """Whatever state it is left in: with upkeep and workers that do their work, everything comes to its end."""
        while any(row.paused_at is not None for row in self.rows.jobs.values()):
            self.resume(0)
        for _ in range(12):
            self.bench.hand.time += 2 * LEASE
            self.rescue()
            self.due()
            self.ring(window=64)
            self.rering()
            for chunk_id in sorted(self.bells):
                claimed = self.do_claim(chunk_id)
                if claimed is not None:
                    self.do_finish(claimed)
            if all(row.state in ended("jobs") for row in self.rows.jobs.values()):
                break
        self.counts_add_up_and_ends_are_told()
        self.no_item_and_no_chunk_is_lost()
        late = {key: row.state for key, row in self.rows.jobs.items() if row.state not in ended("jobs")}
        assert not late, f"never ended: {late}"

    # -- choosing

    @staticmethod
    def _one(rows: Any, pick: int) -> Any:
        keys = list(rows)
        return keys[pick % len(keys)]

    def _someone(self, pick: int) -> Claimed:
        """Every second time one whose attempt is the current one, if there is any."""
        current = [claimed for claimed in self.at_work if self.current(claimed)]
        chosen = current if pick & 1 and current else self.at_work
        return chosen[(pick >> 1) % len(chosen)]

    @staticmethod
    def _outcome(index: int, bad: int) -> Outcome:
        return Outcome(index, error={"code": "PROBE_FAILED"}) if bad >> index & 1 else Outcome(index, result={"n": index})


def prepare(new_ledger: Callable[..., Ledger]) -> Bench:
    """A bench on an empty database, which `new_ledger` opens with the clock it is given."""
    hand = HandClock()
    ledger = new_ledger(hand.clock())
    migrate(ledger)
    with ledger.write() as tx:
        return Bench(ledger, hand, tenants.add(tx, "acme").id)


def run(bench: Bench, examples: int, steps: int = 50, shrink: bool = True, same: bool = True) -> None:
    """Run the machine; `same`: the same examples each time. Raises what a broken promise raises, with the steps to it."""

    class Machine(LedgerMachine):
        pass

    Machine.bench = bench
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=same, database=None,
            phases=[Phase.generate, *([Phase.shrink] if shrink else [])], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
