"""Jobs by the clock: which slots a cron expression has, which of the missed ones are caught up, and the submitting of due ones.

Cron is that of Debian (cronsim): a job at a fixed hour that summer time skips runs right after, one in the doubled hour
runs once; jobs of every hour or minute follow the clock on the wall.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any, Literal
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from foundation.clock import iso
from foundation.errors import Failure
from foundation.mapping import failure_of
from foundation.settings import Settings
from foundation.telemetry import SlotSettled, emit, logger
from ledger import schedules
from ledger.schedules import Schedule, SlotTaken
from ledger.session import Ledger, Tx
from tasks.ring import Doorbell
from tasks.submit import JobRequest, accept, checked, told

_AHEAD = 20_000  # slots looked at in one step: two weeks of minutes, a fifth of a second
_STEPS = 200  # slots settled in one tick of upkeep, over all schedules
_AT_ONCE = 50  # schedules taken up together

CatchUp = Literal["none", "last", "all"]


class ScheduleRequest(BaseModel):
    """What `POST /schedules` takes: when, what, and what of the slots that were missed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=255, description="a name of your own, one a schedule")
    cron: str = Field(max_length=255, description="minute hour day month weekday, such as 30 2 * * MON-FRI")
    timezone: str = Field("UTC", max_length=255, description="IANA name of the zone whose clock counts, such as Europe/Berlin")
    job: JobRequest = Field(description="the job of each slot, as POST /jobs takes it, without run_after")
    catch_up: CatchUp = Field(
        "none", description="slots missed while everything was down: none of them, the last one, or all (the latest catch_up_most)"
    )
    catch_up_most: int = Field(100, ge=1, le=1000, description="most missed slots that `all` submits")
    enabled: bool = Field(True, description="false: paused")


class ScheduleChange(BaseModel):
    """What `PATCH /schedules/{id}` takes: any field, and only those change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(None, min_length=1, max_length=255)
    cron: str | None = Field(None, max_length=255)
    timezone: str | None = Field(None, max_length=255)
    job: JobRequest | None = None
    catch_up: CatchUp | None = None
    catch_up_most: int | None = Field(None, ge=1, le=1000)
    enabled: bool | None = Field(None, description="false pauses, true resumes; slots of a pause are not caught up")


def slots(cron: str, timezone: str, after: float) -> Iterator[float]:
    """The slots after a time, in seconds since the epoch. Raises SCHEDULE_INVALID."""
    if len(cron.split()) != 5:
        raise Failure("SCHEDULE_INVALID", {"cron": cron, "reason": "five fields are wanted"})
    try:
        zone = ZoneInfo(timezone)
    except (KeyError, ValueError, OSError) as error:  # unknown, malformed, or a folder of zones
        raise Failure("SCHEDULE_INVALID", {"timezone": timezone}) from error
    try:
        # A slot may itself be the doubled hour's second half: the zone, not the wall clock alone, says which.
        found = CronSim(cron, datetime.fromtimestamp(after, UTC).astimezone(zone))
    except CronSimError as error:
        raise Failure("SCHEDULE_INVALID", {"cron": cron, "reason": str(error)}) from error
    return (moment.timestamp() for moment in found)


def first(cron: str, timezone: str, after: float) -> float:
    """The first slot after a time. Raises SCHEDULE_INVALID, also when there is none in 50 years."""
    slot = next(slots(cron, timezone, after), None)
    if slot is None:
        raise Failure("SCHEDULE_INVALID", {"cron": cron, "reason": "it never comes true"})
    return slot


def add(ledger: Ledger, settings: Settings, tenant_id: str, request: ScheduleRequest) -> str:
    """The id of a new schedule. Raises SCHEDULE_INVALID, SCHEDULE_NAME_TAKEN, SCHEDULE_LIMIT, and what POST /jobs raises."""
    _check_job(settings, request.job)
    schedule_id = ledger.clock.new_id("sch")
    with ledger.write() as tx:
        given = request.model_dump(exclude={"job"}) | {"job": request.job.model_dump(mode="json")}
        new = Schedule(id=schedule_id, tenant_id=tenant_id, next_at=first(request.cron, request.timezone, tx.now), **given)
        schedules.add(tx, new, settings.schedule.max_per_tenant)
    return schedule_id


def change(ledger: Ledger, settings: Settings, tenant_id: str, schedule_id: str, request: ScheduleChange) -> None:
    """Change a schedule; a new time, or resuming, starts from now. Raises SCHEDULE_NOT_FOUND and what `add` raises."""
    if request.job is not None:
        _check_job(settings, request.job)
    values = request.model_dump(mode="json", exclude_none=True)
    with ledger.write() as tx:
        row = schedules.get(tx, tenant_id, schedule_id)
        if {"cron", "timezone"} & set(values) or (values.get("enabled") and not row.enabled):
            values["next_at"] = first(values.get("cron", row.cron), values.get("timezone", row.timezone), tx.now)
        schedules.change(tx, tenant_id, schedule_id, values)


def _check_job(settings: Settings, job: JobRequest) -> None:
    if job.run_after is not None:
        raise Failure("REQUEST_INVALID", {"fields": {"job.run_after": "the schedule says when"}})
    checked(settings, job)


def detail(ledger: Ledger, tenant_id: str, schedule_id: str) -> dict[str, Any]:
    """A schedule with its next 5 slots and its last 10 runs. Raises SCHEDULE_NOT_FOUND."""
    with ledger.read() as tx:
        row = schedules.get(tx, tenant_id, schedule_id)
        last, now = schedules.runs(tx, schedule_id, 10), tx.now
    ahead = islice(slots(row.cron, row.timezone, now), 5) if row.enabled else ()
    return schedules.view(row) | {"next_slots": [iso(slot) for slot in ahead], "last_runs": last}


def run_now(ledger: Ledger, doorbell: Doorbell, settings: Settings, tenant_id: str, schedule_id: str) -> dict[str, Any]:
    """Submit the job of a schedule outside of its slots. Raises SCHEDULE_NOT_FOUND and what POST /jobs raises."""
    with ledger.read() as tx:
        job = schedules.get(tx, tenant_id, schedule_id).job

    def tie(tx: Tx, job_id: str) -> None:
        schedules.settle_by_hand(tx, tenant_id, schedule_id, job_id)

    return accept(ledger, doorbell, settings, tenant_id, _request(job), tie)


def _request(job: dict[str, Any]) -> JobRequest:
    """A stored request. Raises REQUEST_INVALID where it was written for another version of this server."""
    try:
        return JobRequest.model_validate(job)
    except ValidationError as error:
        raise Failure("REQUEST_INVALID", {"fields": told(error.errors())}) from error


# -- the clock ---------------------------------------------------------------------------------------------------------


def submit_due(ledger: Ledger, doorbell: Doorbell, settings: Settings) -> int:
    """Settle slots that have come: submitted, refused or missed; answers how many steps it took. Safe in any number at once."""
    made = 0
    while made < _STEPS:
        with ledger.read() as tx:
            waiting, now = schedules.due(tx, _AT_ONCE), tx.now
        if not waiting:
            break
        for schedule in waiting:  # one slot each in turn, so that one that catches up holds up no other
            made += 1
            _step(ledger, doorbell, settings, schedule, now)
    return made


def _step(ledger: Ledger, doorbell: Doorbell, settings: Settings, schedule: Schedule, now: float) -> None:
    """Settle the next slot of one schedule. Whatever goes wrong with its job is written on the slot and stops no other."""
    slot = schedule.next_at
    assert slot is not None
    try:
        ahead = slots(schedule.cron, schedule.timezone, slot)
    except Failure as failure:  # a zone that this machine no longer knows: the schedule stops, and says why
        _refuse(ledger, schedule, None, failure)
        return
    come = [slot, *takewhile(lambda one: one <= now, islice(ahead, _AHEAD))]
    keep = schedule.catch_up_most if schedule.catch_up == "all" else 1
    late = schedule.catch_up == "none" and now - come[-1] > settings.schedule.late_seconds
    missed = come if late else come[:-keep]
    try:
        if missed:
            following = come[len(missed)] if len(missed) < len(come) else _after(schedule, come[-1])
            with ledger.write() as tx:
                schedules.settle(tx, schedule, following, "missed", until=missed[-1], slots=len(missed))
            emit(SlotSettled(schedule.id, "missed", len(missed)))
            return
        _submit(ledger, doorbell, settings, schedule, come[1] if len(come) > 1 else _after(schedule, slot))
    except SlotTaken:
        logger.debug("a slot of %s was taken by another process", schedule.id)


def _after(schedule: Schedule, slot: float) -> float | None:
    return next(slots(schedule.cron, schedule.timezone, slot), None)


def _submit(ledger: Ledger, doorbell: Doorbell, settings: Settings, schedule: Schedule, following: float | None) -> None:
    try:
        accept(
            ledger, doorbell, settings, schedule.tenant_id, _request(schedule.job),
            lambda tx, job_id: schedules.settle(tx, schedule, following, "submitted", job_id),
        )  # fmt: skip
        emit(SlotSettled(schedule.id, "submitted", 1))
        return
    except SlotTaken:
        raise
    except Failure as failure:
        if failure.row.temporary:  # the database is away or full: the slot is still there when it is not
            raise
        _refuse(ledger, schedule, following, failure)
    except Exception as defect:  # noqa: BLE001 - the last resort: a defect of ours costs this slot, not all schedules
        logger.exception("a slot of %s could not be submitted", schedule.id)
        _refuse(ledger, schedule, following, failure_of(defect))


def _refuse(ledger: Ledger, schedule: Schedule, following: float | None, failure: Failure) -> None:
    try:
        with ledger.write() as tx:
            schedules.settle(tx, schedule, following, "refused", error=failure.public())
    except SlotTaken:
        return
    emit(SlotSettled(schedule.id, "refused", 1))
