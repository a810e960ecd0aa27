"""The verdict: the clients' log, the receiver's log, the ledger of executions and the database, held against each other.

lost: accepted and has no end. unexpected: is there and nobody asked for it, or ended as it must not. duplicated: one asking, two jobs,
or an end written twice. recovered: was hit, executed again, and ended well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, select

from ledger import rows, webhook_rows
from ledger.session import Ledger
from ledger.states import ended
from ledger.trail import proving
from tests.faults.campaign import moves
from tests.faults.campaign.client import Told
from tests.faults.campaign.ear import Ear
from tests.faults.campaign.fleet import Fleet
from tests.faults.campaign.inside import EXECUTIONS
from tests.faults.campaign.plan import Struck

REPEATING = ("F2", "F6", "F11 commit", "F11 http", "F16")  # what can part a webhook's acceptance from the commit that says so
_AROUND = 1.0  # seconds: a webhook accepted so shortly before a fault may not have been committed when it struck


@dataclass(slots=True)
class Verdict:
    """Lists hold sentences, one a finding; numbers tell how hard the run was."""

    lost: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    illegal: list[str] = field(default_factory=list)
    webhooks_missing: list[str] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    jobs: int = 0
    items: int = 0
    moves: int = 0
    recovered: int = 0
    rerun: int = 0
    stale: int = 0
    rescued: int = 0
    rung_again: int = 0
    commits_asked: int = 0
    cancelled: int = 0
    webhooks: int = 0
    webhooks_repeated: int = 0

    @property
    def bad(self) -> list[str]:
        return [*self.lost, *self.unexpected, *self.duplicated, *self.illegal, *self.webhooks_missing]


@dataclass(frozen=True, slots=True)
class _Store:
    jobs: dict[str, Row[Any]]
    items: dict[str, list[Row[Any]]]
    chunks: dict[str, Row[Any]]
    deliveries: list[Row[Any]]
    audit: list[Row[Any]]

    @classmethod
    def read(cls, ledger: Ledger) -> _Store:
        items: dict[str, list[Row[Any]]] = {}
        with ledger.read() as tx:
            for item in tx.execute(select(rows.items).order_by(rows.items.c.job_id, rows.items.c.index)):
                items.setdefault(item.job_id, []).append(item)
            return cls(
                {job.id: job for job in tx.execute(select(rows.jobs))},
                items,
                {chunk.id: chunk for chunk in tx.execute(select(rows.chunks))},
                list(tx.execute(select(webhook_rows.deliveries))),
                list(tx.execute(select(rows.audit).order_by(rows.audit.c.seq))),
            )


def settled(ledger: Ledger) -> bool:
    """Whether nothing more happens by itself."""
    with ledger.read() as tx:
        open_rows = [
            tx.execute(select(table.c.id).where(table.c.state.not_in(ended(name))).limit(1)).first()
            for name, table in (("jobs", rows.jobs), ("chunks", rows.chunks), ("deliveries", webhook_rows.deliveries))
        ]
    return not any(open_rows)


def judge(fleet: Fleet, told: list[Told], ear: Ear, struck: Sequence[Struck]) -> Verdict:
    """Read everything once the fleet is down, and say what is wrong."""
    store, verdict = _Store.read(fleet.ledger), Verdict()
    _judge_asking(verdict, store, told)
    for job in store.jobs.values():
        _judge_job(verdict, store, job)
    _judge_commits(verdict, store)
    _judge_moves(verdict, fleet.ledger)
    _judge_webhooks(verdict, store, ear)
    _judge_repeats(verdict, ear, struck)
    verdict.unexpected += [f"the audit trail: {one.sentence}" for one in proving.prove(fleet.ledger).breaks]
    _measure(verdict, store, fleet)
    return verdict


def _judge_asking(verdict: Verdict, store: _Store, told: list[Told]) -> None:
    known: set[str] = set()
    for each in told:
        answers = set(each.jobs)
        known |= answers
        if len(answers) > 1:
            verdict.duplicated.append(f"{each.asking.key} was answered with {len(answers)} jobs")
        for job_id in answers:
            job = store.jobs.get(job_id)
            if job is None:
                verdict.lost.append(f"job {job_id} of {each.asking.key} was accepted and is not there")
            elif job.total != each.asking.items:
                verdict.unexpected.append(f"job {job_id} has {job.total} items, asked were {each.asking.items}")
            elif each.cancelled and job.state != "cancelled":
                verdict.unexpected.append(f"job {job_id} was cancelled and is {job.state}")
            else:
                _judge_outcomes(verdict, store, job, each)
    verdict.unexpected += [f"nobody was told of job {job_id}" for job_id in set(store.jobs) - known]


def _judge_outcomes(verdict: Verdict, store: _Store, job: Row[Any], told: Told) -> None:
    """An item fails only as it was told to: the deaths of workers are not its fault."""
    for item in store.items.get(job.id, []):
        fault = told.asking.faults.get(item.index)
        code = (item.error or {}).get("code")
        if item.state == "failed" and (fault, code) not in (("die", "ENGINE_CRASH"), ("fail", "PROBE_FAILED")):
            verdict.unexpected.append(f"item {item.index} of {job.id} failed with {code}")
        elif item.state == "succeeded" and fault in ("die", "fail"):
            verdict.unexpected.append(f"item {item.index} of {job.id} succeeded, told to {fault}")


def _judge_job(verdict: Verdict, store: _Store, job: Row[Any]) -> None:
    items = store.items.get(job.id, [])
    if job.state not in ended("jobs"):
        verdict.lost.append(f"job {job.id} is still {job.state}")
    verdict.lost += [f"item {item.index} of {job.id} is still pending" for item in items if item.state == "pending"]
    if [item.index for item in items] != list(range(job.total)):
        verdict.lost.append(f"job {job.id} has {len(items)} of {job.total} items")
    counts = Counter(item.state for item in items)
    if (counts["succeeded"], counts["failed"], counts["cancelled"]) != (job.succeeded, job.failed, job.cancelled):
        verdict.unexpected.append(f"job {job.id} counts {job.succeeded}/{job.failed}/{job.cancelled}, its items say {dict(counts)}")
    for item in items:
        if item.state == "succeeded" and item.result is None:
            verdict.lost.append(f"item {item.index} of {job.id} succeeded without a result")
        if job.kind == "probe" and item.state == "succeeded" and item.result["attempt"] != item.attempts:
            verdict.unexpected.append(f"item {item.index} of {job.id}: computed by another attempt than the one that wrote it")


def _judge_commits(verdict: Verdict, store: _Store) -> None:
    """A chunk is ended once, and by its last attempt: a stale one that writes is what the fence is there to refuse."""
    done: Counter[str] = Counter()
    for line in store.audit:
        if line.action in ("chunk.done", "chunk.dead"):
            done[line.actor] += 1
            if line.detail["attempt"] != store.chunks[line.actor].attempt:
                verdict.unexpected.append(f"chunk {line.actor} was ended by the stale attempt {line.detail['attempt']}")
        if line.action == "chunk.stale" and line.detail["attempt"] == store.chunks[line.actor].attempt and _ours(store, line):
            verdict.unexpected.append(f"chunk {line.actor}: its own commit was counted as stale")
    verdict.duplicated += [f"chunk {name} was ended {times} times" for name, times in done.items() if times > 1]


def _ours(store: _Store, stale: Row[Any]) -> bool:
    """Whether the attempt called stale is the one that ended the chunk."""
    return any(
        line.actor == stale.actor and line.action == "chunk.done" and line.detail["attempt"] == stale.detail["attempt"]
        for line in store.audit
    )


def _judge_moves(verdict: Verdict, ledger: Ledger) -> None:
    made = moves.read(ledger)
    verdict.moves = len(made)
    verdict.illegal += moves.illegal(made)
    verdict.duplicated += [f"the end of item {name} was written twice" for name in moves.recorded_twice(made)]


def _judge_webhooks(verdict: Verdict, store: _Store, ear: Ear) -> None:
    owed = {row.job_id: row for row in store.deliveries}
    if len(owed) != len(store.deliveries):
        verdict.duplicated.append("a job owes two webhooks for one end")
    for job in store.jobs.values():
        if not job.callback_url:
            continue
        row, heard = owed.get(job.id), ear.accepted.get(job.id, Counter())
        if row is None or row.state != "delivered" or not heard:
            state = "not owed" if row is None else row.state
            verdict.webhooks_missing.append(f"webhook of {job.id}: {state}, heard {sum(heard.values())} times")
        elif set(heard) != {row.id} or ear.states[job.id] != {job.state}:
            verdict.unexpected.append(f"webhook of {job.id}: ids {sorted(heard)}, told {ear.states[job.id]}, is {job.state}")
        verdict.webhooks += bool(heard)


def _judge_repeats(verdict: Verdict, ear: Ear, struck: Sequence[Struck]) -> None:
    """A webhook may be sent again only where a fault came between its acceptance and the commit that says so."""
    spans = [(one.began - _AROUND, one.ended + _AROUND) for one in struck if one.bite and one.blow.kind in REPEATING]
    for job_id, times in ear.times.items():
        verdict.webhooks_repeated += len(times) - 1
        lost = [time for time in times[:-1] if not any(began <= time <= ended for began, ended in spans)]
        verdict.duplicated += [f"the webhook of {job_id} was sent again after it was accepted, and no fault explains it" for _ in lost]


def _measure(verdict: Verdict, store: _Store, fleet: Fleet) -> None:
    log = fleet.armoury.log.parent / EXECUTIONS
    times = Counter(tuple(line.split()[:2]) for line in (log.read_text().splitlines() if log.exists() else ()))
    verdict.jobs, verdict.items = len(store.jobs), sum(map(len, store.items.values()))
    verdict.rerun = sum(times.values()) - len(times)
    ends = {(item.job_id, str(item.index)): item.state for found in store.items.values() for item in found}
    verdict.recovered = sum(1 for name, count in times.items() if count > 1 and ends.get((name[0], name[1])) == "succeeded")
    verdict.stale = sum(1 for line in store.audit if line.action == "chunk.stale")
    verdict.rescued = sum(1 for line in store.audit if line.action == "chunk.rescued")
    verdict.rung_again = sum(max(0, chunk.rings - max(1, chunk.attempt)) for chunk in store.chunks.values())
    verdict.cancelled = sum(1 for job in store.jobs.values() if job.state == "cancelled")
    said = fleet.log()
    verdict.commits_asked = said.count("CommitDoubted answer=")
    refusals = said.count("illegal move of") + said.count("illegal birth of")
    if refusals:
        verdict.illegal.append(f"the database refused {refusals} illegal moves")
