"""What is loaded ahead, in which order and within which budget, and what it is worth to those who ask next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure
from ledger import fleet, heat, jobs, parts, rows, vectors
from ledger.jobs import Claimed, ClaimedItem, NewItem, NewJob
from ledger.parts import NewPart
from ledger.vectors import Vector
from tasks.prewarm import PrewarmAnswer, Prewarmed
from tasks.vocabulary import FeatureVersion
from tests.ledger.conftest import Desk, HandClock
from tests.workers.cache.test_curve import zipf
from tests.workers.fleet import Member, member
from workers import handlers
from workers.cache.prewarm import prewarm
from workers.cache.store import VectorKey
from workers.features import extraction
from workers.work import Work

BUILD = "7"


class Shelf:
    """Parts with vectors, and those who asked for them."""

    def __init__(self, desk: Desk, folder: Path, files: int) -> None:
        self.desk, self.tenant, self.folder = desk, desk.tenant.id, folder
        self.files = [f"{n:064x}" for n in range(files)]
        self.part_ids = [SYSTEM.new_id("part") for _ in range(files)]
        with desk.ledger.write() as tx:
            named = zip(self.part_ids, self.files, strict=True)
            parts.add(tx, self.tenant, [NewPart(part_id, sha256[-4:], sha256, 1, "stl") for part_id, sha256 in named], {})
        self.put(range(files), FeatureVersion.V3)

    def put(self, numbers: Iterable[int], version: FeatureVersion, size: int | None = None) -> None:
        width = 4 * version.width if size is None else size
        new = [Vector(self.files[n], version, BUILD, "3d", bytes(width), {}) for n in numbers]
        with self.desk.ledger.write() as tx:
            vectors.put(tx, self.tenant, new)

    def asked(self, numbers: Sequence[int]) -> None:
        """A similarity job asked with these parts, and its worker noted the hits."""
        job = NewJob(
            id=SYSTEM.new_id("job"), tenant_id=self.tenant, kind="similarity", queue="similarity", priority="normal", step=6, input={},
            items=[NewItem(part_id=self.part_ids[n]) for n in numbers], size=self.desk.size,
        )  # fmt: skip
        with self.desk.ledger.write() as tx:
            jobs.add(tx, job)

    def hit(self, numbers: Sequence[int], version: FeatureVersion = FeatureVersion.V3) -> None:
        for n in numbers:
            self.desk.hand.time += 1
            with self.desk.ledger.write() as tx:
                heat.count_hits(tx, [(self.tenant, self.files[n], version, BUILD)])

    def hottest(self, most: int, *versions: str) -> list[tuple[str, int]]:
        with self.desk.ledger.read() as tx:
            found = heat.hottest(tx, self.tenant, BUILD, versions or ["v3"], most)
        return [(one.feature_version, self.files.index(one.sha256)) for one in found]

    def member(self, capacity: int) -> Member:
        return member("one", self.desk.ledger, self.desk.hand.clock(), self.folder, capacity)

    def warm(self, one: Member, **told: Any) -> dict[str, Any]:
        asked = {"feature_versions": ["v3"], "max": 500, "budget_bytes": None, "budget_seconds": 30.0} | told
        answer = prewarm(one.worker, self.tenant, BUILD, asked)
        Prewarmed.model_validate(answer)
        return answer

    def replay(self, one: Member, trace: Sequence[int]) -> float:
        """The hit rate of a cache that is asked for these, one by one."""
        written = self.written()

        def fetch(missing: Sequence[VectorKey]) -> Iterable[tuple[VectorKey, bytes]]:
            return [(key, bytes(88)) for key in missing]

        before = one.worker.vectors.statistics()
        for n in trace:
            sha256 = self.files[n]
            one.worker.vectors.get([VectorKey(self.tenant, sha256, "v3", BUILD, written[sha256])], fetch)
        after = one.worker.vectors.statistics()
        return float(after["hits"] - before["hits"]) / len(trace)

    def written(self) -> dict[str, float]:
        """When each vector was."""
        columns = select(rows.vectors.c.sha256, rows.vectors.c.created_at).where(rows.vectors.c.feature_version == "v3")
        with self.desk.ledger.read() as tx:
            return {row.sha256: row.created_at for row in tx.execute(columns)}


def test_prewarm_raises_the_measured_hit_rate_of_a_replayed_zipf_trace(desk: Desk, tmp_path: Path) -> None:
    shelf, trace = Shelf(desk, tmp_path, 400), zipf(800, 400)
    past, future = trace[:400], trace[400:]
    for start in range(0, 400, 100):
        shelf.asked(past[start : start + 100])
    cold, warmed = shelf.member(100), shelf.member(100)
    told = shelf.warm(warmed)
    assert told["hit_rate_before"] == 0.0
    assert told["hit_rate_after"] > 0.6
    assert (told["loaded"], told["cached"], told["requests"]) == (100, 100, 400)
    before, after = shelf.replay(cold, future[:200]), shelf.replay(warmed, future[:200])
    print(f"hit rate of the next 200 requests: {before:.3f} cold, {after:.3f} prewarmed")
    assert after > before + 0.1


def test_what_was_asked_for_lately_comes_first_then_queries_of_batches_then_hits_per_length(desk: Desk, tmp_path: Path) -> None:
    shelf = Shelf(desk, tmp_path, 8)
    shelf.hit([1, 2, 1, 0])
    assert shelf.hottest(3) == [("v3", 0), ("v3", 1), ("v3", 2)]
    shelf.asked([5])
    shelf.asked([7, 6, 7, 0])
    assert shelf.hottest(6) == [("v3", n) for n in (0, 1, 2, 7, 6, 5)]
    assert len(shelf.hottest(8)) == 8


def test_of_several_versions_the_one_with_more_hits_per_byte_comes_first(desk: Desk, tmp_path: Path) -> None:
    shelf = Shelf(desk, tmp_path, 2)
    shelf.put([0, 1], FeatureVersion.V1)
    shelf.hit([0, 0])
    shelf.hit([1], FeatureVersion.V1)
    with desk.ledger.write() as tx:  # so long ago that nobody knows when
        tx.connection.exec_driver_sql("UPDATE vectors SET hit_at = NULL")
    # 2 hits for 88 bytes, 1 for 32
    assert shelf.hottest(2, "v1", "v3") == [("v1", 1), ("v3", 0)]


def test_the_hits_of_others_and_of_other_builds_count_for_nothing(desk: Desk, tmp_path: Path) -> None:
    shelf = Shelf(desk, tmp_path, 3)
    shelf.hit([2])
    with desk.ledger.read() as tx:
        assert heat.hottest(tx, "another", BUILD, ["v3"], 10) == []
        assert heat.hottest(tx, shelf.tenant, "8", ["v3"], 10) == []


def test_a_budget_in_bytes_or_seconds_leaves_the_least_urgent(desk: Desk, tmp_path: Path) -> None:
    shelf = Shelf(desk, tmp_path, 250)
    one = shelf.member(1000)
    told = shelf.warm(one, budget_bytes=10 * 88 + 87)
    assert (told["loaded"], told["left"], told["skipped"]) == (10, 240, 0)
    latest = {each.sha256 for each in one.worker.vectors.holds(keys(shelf))}
    assert latest == set(shelf.files[:10])
    told = shelf.warm(one, max=20)
    assert (told["loaded"], told["left"], told["skipped"]) == (10, 0, 10)

    class Slow(HandClock):
        """Each look at it takes a second."""

        def __call__(self) -> float:
            self.time += 1
            return self.time

    slow = member("two", desk.ledger, Slow().clock(), tmp_path, 1000)
    told = shelf.warm(slow, budget_seconds=1.5)
    assert (told["loaded"], told["left"]) == (100, 150), "it stops between two bites"


def keys(shelf: Shelf) -> list[VectorKey]:
    return [VectorKey(shelf.tenant, sha256, "v3", BUILD, written) for sha256, written in shelf.written().items()]


def test_what_cannot_be_used_is_counted_and_what_must_leave_is_the_rest(desk: Desk, tmp_path: Path) -> None:
    shelf = Shelf(desk, tmp_path, 12)
    one = shelf.member(6)
    shelf.replay(one, [8, 9, 10, 11, 0])
    shelf.hit([3, 2, 1, 0])
    shelf.put([3], FeatureVersion.V3, size=5)
    told = shelf.warm(one, max=4)
    assert (told["loaded"], told["skipped"], told["evicted"], told["failed"]) == (2, 1, 1, 1)
    held = one.worker.vectors.holds(keys(shelf))
    assert {shelf.files.index(each.sha256) for each in held} == {0, 1, 2, 9, 10, 11}, "the least used left"


@pytest.mark.parametrize("capacity", [1, 5])
def test_no_more_is_loaded_than_fits(desk: Desk, tmp_path: Path, capacity: int) -> None:
    shelf = Shelf(desk, tmp_path, 10)
    told = shelf.warm(shelf.member(capacity))
    assert (told["loaded"], told["evicted"], told["cached"]) == (capacity, 0, capacity)


def test_a_prewarm_job_waits_for_every_worker_and_names_those_that_did_not_answer(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "ENGINE_BUILD", BUILD)
    monkeypatch.setattr(extraction, "ENGINE_BUILD", BUILD)
    shelf = Shelf(desk, tmp_path, 5)
    good, mute, broken = (member(name, desk.ledger, desk.hand.clock(), tmp_path, 10) for name in ("good", "mute", "broken"))

    def time_passes(seconds: float) -> None:
        desk.hand.time += max(seconds, 1)  # who waits looks ten times a second: each look costs
        good.tick()
        good.work()
        with desk.ledger.read() as tx:
            newest = fleet.steer(tx).order_number
        with desk.ledger.write() as tx:
            fleet.answer(tx, newest, broken.worker.name, {"result": "failed", "error": Failure("DATABASE_UNAVAILABLE").public()})

    for each in (good, mute, broken):
        each.tick()
    asker = member("asker", desk.ledger, Clock(now=desk.hand, tick=desk.hand, sleep=time_passes), tmp_path, 10)
    asker.tick()
    told = {"feature_versions": ["v3"], "max": 3, "budget_bytes": None, "budget_seconds": 600.0}
    claimed = Claimed("job.0", 1, 1, 0, "job", shelf.tenant, "prewarm", "prewarm", 6, {}, (ClaimedItem(0, None, told, None, None),), None)
    work = Work(asker.worker, claimed)
    handlers.HANDLERS["prewarm"](work)
    (outcome,) = work.outcomes
    assert outcome.result is not None
    result = PrewarmAnswer.model_validate(outcome.result)
    assert [one.worker for one in result.workers] == [asker.worker.name, good.worker.name]
    assert (result.loaded, result.silent) == (6, [mute.worker.name])
    assert [one["worker"] for one in result.unable] == [broken.worker.name]
    assert desk.hand.time < 1_800_000_000.0 + 60, "who is silent for half a minute is not waited for"


def test_an_order_to_prewarm_is_carried_out_by_the_others_and_answered(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "ENGINE_BUILD", BUILD)
    shelf = Shelf(desk, tmp_path, 5)
    asker, other = shelf.member(10), member("two", desk.ledger, desk.hand.clock(), tmp_path, 10)
    for each in (asker, other):
        each.tick()
    told = {"feature_versions": ["v3"], "max": 3, "budget_bytes": None, "budget_seconds": 5.0, "asker": asker.worker.name}
    with desk.ledger.write() as tx:
        order = fleet.give(tx, fleet.PREWARM, shelf.tenant, "job", told, 20.0)
    for each in (asker, other):
        each.tick()
        each.work()
    with desk.ledger.read() as tx:
        (answer,) = fleet.answers(tx, order.number).items()
    assert (answer[0], answer[1]["result"], answer[1]["loaded"]) == (other.worker.name, "done", 3)
    assert len(asker.worker.vectors) == 0
