"""The webhook campaign in short, and a judge that must see what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sqlalchemy import update

from foundation.clock import SYSTEM
from foundation.sealing import Sealing
from foundation.settings import DatabaseSettings
from ledger import endpoints, jobs, outbox, tenants
from ledger.chunking import ChunkSize
from ledger.endpoints import NewEndpoint
from ledger.jobs import NewItem, NewJob
from ledger.migrate import migrate
from ledger.outbox import Try
from ledger.session import Ledger
from ledger.settling import Outcome
from ledger.webhook_rows import deliveries, tries
from tests.faults import webhooks
from tests.faults.conftest import NewStack
from tests.faults.hostile_receiver import Heard


def test_messages_to_a_hostile_receiver_arrive_in_order_while_a_courier_is_killed(new_stack: NewStack) -> None:
    stack, evidence = new_stack("api", "compute", **webhooks.variables())
    ledger = Ledger(evidence.ledger.engine.url.render_as_string(hide_password=False), DatabaseSettings())
    try:
        verdict = webhooks.run(stack, ledger, jobs=4, kills=1, seed=3, patience=120, couriers=1)
    finally:
        ledger.close()
    assert not verdict.bad, verdict
    assert verdict.attempts_killed, "the kill hit nothing"
    assert verdict.delivered + verdict.dead_after_the_last_try == 4 * webhooks.PER_JOB


def test_the_judge_sees_a_gap_a_loss_disorder_a_forgery_and_a_needless_repetition(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", DatabaseSettings())
    migrate(ledger)
    with ledger.write() as tx:
        tenant = tenants.add(tx, "acme").id
        hook, _ = endpoints.add(tx, Sealing(bytes(32)), tenant, NewEndpoint("https://example.com/steady", webhooks.WANTED), 1)
        job = SYSTEM.new_id("job")
        size = ChunkSize(1, 10**9, 1)
        jobs.add(tx, NewJob(job, tenant, "probe", "probe", "normal", 6, {}, [NewItem(payload={})], size))
    with ledger.write() as tx:
        claimed = jobs.claim(tx, f"{job}.0", "worker", 60)
        assert claimed is not None
    with ledger.write() as tx:
        jobs.finish(tx, claimed, [Outcome(0, result={})])
    heard: list[Heard] = []
    with ledger.write() as tx:
        for row in tx.execute(deliveries.select().order_by(deliveries.c.seq)).all():
            sent = outbox.claim(tx, row.id, 60, 2)
            assert sent is not None
            outbox.settle(tx, sent, Try(tx.now, 0.1, True, 204, None, ""), None)
            heard.append(Heard(tx.now, "/steady", row.id, job, row.seq, row.event, True, "accept"))

    def judge(heard: list[Heard]) -> webhooks.Verdict:
        return webhooks.judge(ledger, heard, [job], {"/steady": hook}, [])

    assert not judge(heard).bad
    assert judge([heard[1], heard[0], heard[2]]).disorder
    assert judge(heard[:2]).missing
    assert judge([*heard[:2], replace(heard[2], signed=False)]).unsigned
    assert judge([heard[0], heard[0], *heard[1:]]).unexplained
    with ledger.write() as tx:
        tx.execute(update(tries).where(tries.c.delivery_id == heard[0].id).values(attempt=2))
    assert judge(heard).gaps
    with ledger.write() as tx:
        tx.execute(deliveries.delete().where(deliveries.c.id == heard[2].id))
    assert judge(heard).missing
    ledger.close()
