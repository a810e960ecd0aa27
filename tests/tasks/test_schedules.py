"""Jobs by the clock: slots of cron in zones with summer time, catching up, and one job a slot however many clocks tick."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from foundation.clock import Clock
from foundation.errors import Failure
from foundation.settings import ScheduleSettings, Settings
from ledger import rows, tenants
from ledger import schedules as ledger_schedules
from ledger.session import Ledger
from tasks import schedules
from tasks.ring import Doorbell, Ring
from tasks.schedules import ScheduleChange, ScheduleRequest
from tests.processes import all_ended_well, forked

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=ZoneInfo("UTC")).timestamp()
MINUTE = 60.0


class Silent(Doorbell):
    """Rings nobody: upkeep would ring what was not rung, and here no worker listens."""

    def __init__(self) -> None:
        pass

    def ring(self, rings: Any) -> bool:
        self.last: list[Ring] = list(rings)
        return True


@dataclass
class House:
    ledger: Ledger
    tenant_id: str
    now: list[float]
    settings: Settings = field(default_factory=lambda: Settings(schedule=ScheduleSettings(late_seconds=30, max_per_tenant=4)))

    def add(self, name: str = "s", cron: str = "* * * * *", kind: str = "prewarm", **more: Any) -> str:
        given = {"prewarm": {}, "similarity": {"queries": "all"}}[kind]
        request = ScheduleRequest.model_validate({"name": name, "cron": cron, "job": {"kind": kind, "input": given}, **more})
        return schedules.add(self.ledger, self.settings, self.tenant_id, request)

    def tick(self, to: float) -> None:
        self.now[0] = to
        schedules.submit_due(self.ledger, Silent(), self.settings)

    def runs(self, schedule_id: str) -> list[tuple[float, str, int]]:
        with self.ledger.read() as tx:
            chosen = (
                select(rows.schedule_slots).where(rows.schedule_slots.c.schedule_id == schedule_id).order_by(rows.schedule_slots.c.slot)
            )
            return [((row.slot - NOON) / MINUTE, row.outcome, row.slots) for row in tx.execute(chosen)]

    def jobs(self) -> list[str]:
        with self.ledger.read() as tx:
            return list(tx.execute(select(rows.jobs.c.id)).scalars())


@pytest.fixture
def house(new_ledger: Callable[..., Ledger]) -> House:
    now = [NOON]
    ledger = new_ledger(Clock(now=lambda: now[0]))
    with ledger.write() as tx:
        tenant = tenants.add(tx, "acme")
    return House(ledger, tenant.id, now)


def walls(cron: str, start: datetime, count: int) -> list[str]:
    """The next slots as a clock on the wall shows them."""
    found = islice(schedules.slots(cron, "Europe/Berlin", start.timestamp()), count)
    return [datetime.fromtimestamp(slot, BERLIN).strftime("%d %H:%M %z") for slot in found]


def test_a_slot_in_the_hour_that_summer_time_skips_comes_right_after_it() -> None:
    assert walls("30 2 * * *", datetime(2026, 3, 28, 0, 0, tzinfo=BERLIN), 3) == ["28 02:30 +0100", "29 03:00 +0200", "30 02:30 +0200"]


def test_a_slot_in_the_doubled_hour_comes_once_and_a_schedule_of_half_hours_sees_both() -> None:
    assert walls("30 2 * * *", datetime(2026, 10, 24, 12, 0, tzinfo=BERLIN), 2) == ["25 02:30 +0200", "26 02:30 +0100"]
    assert walls("30 2 * * *", datetime(2026, 10, 25, 2, 30, fold=0, tzinfo=BERLIN), 1) == ["26 02:30 +0100"], "asked between both"
    assert walls("*/30 * * * *", datetime(2026, 10, 25, 1, 45, tzinfo=BERLIN), 5) == [
        "25 02:00 +0200", "25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100", "25 03:00 +0100",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cron", "zone"),
    [("x", "UTC"), ("* * * *", "UTC"), ("* * * * * *", "UTC"), ("61 * * * *", "UTC"), ("0 0 30 2 *", "UTC"), ("* * * * *", "America"),
     ("* * * * *", "../UTC"), ("* * * * *", "Nowhere/Land")],
)  # fmt: skip
def test_what_is_no_time_is_refused_in_a_sentence(cron: str, zone: str) -> None:
    with pytest.raises(Failure, match="SCHEDULE_INVALID"):
        schedules.first(cron, zone, NOON)


def test_a_slot_that_is_on_time_becomes_one_job_and_the_next_one_waits(house: House) -> None:
    one = house.add()
    house.tick(NOON + 59)
    assert house.runs(one) == []
    house.tick(NOON + 61)
    house.tick(NOON + 62)
    assert house.runs(one) == [(1, "submitted", 1)]
    assert len(house.jobs()) == 1
    told = schedules.detail(house.ledger, house.tenant_id, one)
    assert told["last_runs"][0]["job_id"] == house.jobs()[0]
    assert told["next_slots"][:2] == ["2026-06-01T12:02:00.000Z", "2026-06-01T12:03:00.000Z"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"catch_up": "none"}, [(1, "missed", 10)]),
        ({"catch_up": "last"}, [(1, "missed", 9), (10, "submitted", 1)]),
        ({"catch_up": "all"}, [(minute, "submitted", 1) for minute in range(1, 11)]),
        ({"catch_up": "all", "catch_up_most": 3}, [(1, "missed", 7), *((minute, "submitted", 1) for minute in (8, 9, 10))]),
    ],
    ids=["none", "last", "all", "three"],
)
def test_slots_missed_while_everything_was_down_are_caught_up_as_asked_and_told(
    house: House, policy: dict[str, Any], expected: list[tuple[float, str, int]]
) -> None:
    one = house.add(**policy)
    house.tick(NOON + 10 * MINUTE + 45)  # later than a slot may be without catching up
    assert house.runs(one) == expected
    house.tick(NOON + 11 * MINUTE + 1)
    assert house.runs(one) == [*expected, (11, "submitted", 1)], "it goes on as if nothing had been"


def test_a_slot_that_cannot_be_submitted_tells_its_code_and_stops_no_other(house: House) -> None:
    empty = house.add("empty", kind="similarity")  # of a tenant without parts: nothing to search for
    other = house.add("other")
    house.tick(NOON + 61)
    (run,) = schedules.detail(house.ledger, house.tenant_id, empty)["last_runs"]
    assert (run["outcome"], run["error"]["code"], run["job_id"]) == ("refused", "REQUEST_INVALID", None)
    assert house.runs(other) == [(1, "submitted", 1)]
    house.tick(NOON + 121)
    assert len(house.runs(empty)) == 2, "the next slot is tried again"


def test_a_paused_schedule_submits_nothing_and_does_not_catch_up_its_pause(house: House) -> None:
    one = house.add(catch_up="all")
    schedules.change(house.ledger, house.settings, house.tenant_id, one, ScheduleChange(enabled=False))
    house.tick(NOON + 10 * MINUTE)
    assert house.runs(one) == []
    assert schedules.detail(house.ledger, house.tenant_id, one)["next_slots"] == []
    schedules.change(house.ledger, house.settings, house.tenant_id, one, ScheduleChange(enabled=True))
    house.tick(NOON + 11 * MINUTE)
    assert house.runs(one) == [(11, "submitted", 1)]


def test_a_slot_taken_by_another_process_leaves_no_job_of_the_loser(house: House) -> None:
    house.add()
    house.now[0] = NOON + 61
    with house.ledger.read() as tx:
        (seen,) = ledger_schedules.due(tx, 10)
    house.tick(NOON + 61)
    assert len(house.jobs()) == 1
    schedules._step(house.ledger, Silent(), house.settings, seen, NOON + 61)  # the late one, with what it saw before
    assert len(house.jobs()) == 1


def test_names_are_a_tenants_own_and_their_number_is_bounded(house: House) -> None:
    house.add("a")
    with pytest.raises(Failure, match="SCHEDULE_NAME_TAKEN"):
        house.add("a")
    for name in "bcd":
        house.add(name)
    with pytest.raises(Failure, match="SCHEDULE_LIMIT"):
        house.add("e")


def tick_on(address: str, begun: float) -> None:
    """Tick as often as it goes for a second, by a clock that tells four minutes a second."""
    # the clock stops at the fourth minute: on a slow disk slots would come faster than they are submitted, for ever
    ledger = Ledger(address, Settings().database, Clock(now=lambda: NOON + 4 * MINUTE * min(1.0, time.monotonic() - begun)))
    while time.monotonic() - begun < 1:
        schedules.submit_due(ledger, Silent(), Settings())


def test_five_processes_that_tick_at_once_submit_each_slot_once(house: House, database_url: str) -> None:
    """Two beats and three APIs, without the lease that would let only one of them act."""
    mine = [house.add(name, catch_up="all") for name in "abc"]
    with forked(house.ledger, 5, tick_on, database_url, time.monotonic() + 0.5) as processes:
        assert all_ended_well(processes)
    house.tick(NOON + 4 * MINUTE)
    with house.ledger.read() as tx:
        tied = list(tx.execute(select(rows.schedule_slots.c.job_id)).scalars())
    for one in mine:
        slots = [slot for slot, outcome, _ in house.runs(one) if outcome == "submitted"]
        assert slots == [float(minute) for minute in range(1, len(slots) + 1)]
        assert len(slots) >= 3
    assert sorted(tied) == sorted(house.jobs()), "a job without a slot, or a slot without a job"
