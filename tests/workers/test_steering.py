"""Two worker processes and one ledger, with a clock in the test's hand: settings, orders and reports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from foundation.engine_settings import CacheSettings
from foundation.errors import Failure
from foundation.resilience import protection
from foundation.settings import DatabaseSettings
from ledger import fleet, tenants
from ledger.migrate import migrate
from ledger.session import Ledger
from ledger.tenants import Tenant
from tasks import engine_health, tuning
from tasks.tuning import CacheChange
from tests.conftest import DATABASES
from tests.ledger.conftest import HandClock
from tests.workers.fleet import Member, member
from workers.index.contract import IndexFailure

RULES = CacheSettings()


class Space:
    """Something on the engine that is mended when told."""

    def __init__(self) -> None:
        self.sound = False

    def rebuild(self) -> Callable[[], None]:
        if not self.sound:
            raise IndexFailure("corruption")
        return lambda: None

    def give_up(self) -> None:
        pass


class Fleet:
    def __init__(self, ledger: Ledger, hand: HandClock, folder: Path) -> None:
        self.hand, self.ledger, self.folder = hand, ledger, folder
        self._opened = [ledger]
        with ledger.write() as tx:
            self.admin: Tenant = tenants.add(tx, f"acme of {folder}")
        self.members = [member(name, ledger, hand.clock(), folder) for name in ("one", "two")]
        self.tick()

    def anew(self) -> Ledger:
        """The ledger as another process opens it."""
        self._opened.append(Ledger(self.ledger.engine.url.render_as_string(hide_password=False), DatabaseSettings(), self.hand.clock()))
        return self._opened[-1]

    def close(self) -> None:
        for ledger in self._opened:
            ledger.close()

    def tick(self) -> None:
        for each in self.members:
            each.tick()

    def pass_time(self, seconds: float) -> None:
        """In steps between which nobody counts as silent."""
        for _ in range(int(seconds / 10)):
            self.hand.time += 10
            self.tick()

    def work(self) -> None:
        for each in self.members:
            each.work()

    def setting(self) -> dict[str, object]:
        with self.ledger.read() as tx:
            return tuning.state(tx)

    def health(self) -> dict[str, object]:
        with self.ledger.read() as tx:
            return engine_health.view(tx)

    def apply(self, capacity: int | None = None, ttl: float | None = None) -> dict[str, object]:
        return tuning.apply(self.ledger, self.admin, CacheChange(capacity=capacity, ttl_seconds=ttl), RULES, dry_run=False)

    def sizes(self) -> list[tuple[int, int]]:
        return [(each.worker.vectors.capacity, each.worker.vectors.epoch) for each in self.members]


@pytest.fixture
def hand() -> HandClock:
    return HandClock()


@pytest.fixture(scope="module", params=DATABASES)
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """One migrated database of each kind for all tests: making it takes longer than a test."""
    folder = tmp_path_factory.mktemp("fleet")
    url = f"sqlite:///{folder}/ledger.db" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_database")())
    ledger = Ledger(url, DatabaseSettings())
    migrate(ledger)
    ledger.close()
    return url


@pytest.fixture
def two(address: str, hand: HandClock, tmp_path: Path) -> Iterator[Fleet]:
    ledger = Ledger(address, DatabaseSettings(), hand.clock())
    with ledger.write() as tx:
        for table in ("order_answers", "orders", "worker_reports", "cache_settings"):
            tx.connection.exec_driver_sql(f"DELETE FROM {table}")
        tx.connection.exec_driver_sql("UPDATE fleet SET cache_epoch = 0, order_number = 0")
    fleet_of_two = Fleet(ledger, hand, tmp_path)
    yield fleet_of_two
    fleet_of_two.close()


def break_index(one: Member) -> Space:
    space = Space()
    one.worker.health.failed("load", space)
    return space


def test_a_setting_is_taken_by_all_at_the_next_look_and_reported_back(two: Fleet) -> None:
    assert two.sizes() == [(100, 0), (100, 0)]
    told = two.apply(capacity=7)
    assert told["before"] == {"epoch": 0, "capacity": None, "ttl_seconds": None}
    assert two.setting()["taken_by_all"] is False
    two.members[0].tick()
    assert two.sizes() == [(7, 1), (100, 0)]
    assert two.setting()["taken_by_all"] is False
    two.members[1].tick()
    state = two.setting()
    assert (state["taken_by_all"], state["setting"]) == (True, {"epoch": 1, "capacity": 7, "ttl_seconds": None})


def test_a_second_setting_within_the_window_is_refused_and_after_it_taken(two: Fleet) -> None:
    two.apply(capacity=7)
    two.hand.time += 299
    with pytest.raises(Failure, match="CACHE_TUNING_SNAPSHOT_ACTIVE"):
        two.apply(capacity=8)
    with pytest.raises(Failure, match="CACHE_TUNING_SNAPSHOT_ACTIVE"):
        tuning.apply(two.ledger, two.admin, CacheChange(capacity=8), RULES, dry_run=True)
    two.tick()
    assert two.sizes() == [(7, 1), (7, 1)], "a refused setting is not taken"
    two.hand.time += 1
    two.apply(capacity=8)
    two.tick()
    assert [size for size, _ in two.sizes()] == [8, 8]


def test_of_two_settings_at_once_one_is_taken(two: Fleet) -> None:
    ledgers, told = [two.anew(), two.anew()], []
    gate = threading.Barrier(2)

    def apply(ledger: Ledger, capacity: int) -> None:
        gate.wait()
        try:
            told.append(tuning.apply(ledger, two.admin, CacheChange(capacity=capacity), RULES, dry_run=False)["after"]["capacity"])
        except Failure as failure:
            told.append(failure.code)

    threads = [threading.Thread(target=apply, args=(ledger, 7 + n)) for n, ledger in enumerate(ledgers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told.count("CACHE_TUNING_SNAPSHOT_ACTIVE") == 1, told
    (won,) = set(told) - {"CACHE_TUNING_SNAPSHOT_ACTIVE"}
    two.tick()
    assert two.sizes() == [(won, 1), (won, 1)]


def test_a_rollback_brings_all_back_within_the_window_and_lets_another_one_be_applied(two: Fleet) -> None:
    two.apply(capacity=7)
    two.hand.time += 301
    two.apply(ttl=60.0)
    two.tick()
    two.hand.time += 299
    assert tuning.rollback(two.ledger, two.admin)["after"] == {"epoch": 3, "capacity": 7, "ttl_seconds": None}
    two.tick()
    assert two.sizes() == [(7, 3), (7, 3)]
    with pytest.raises(Failure, match="CACHE_TUNING_NOTHING_APPLIED"):
        tuning.rollback(two.ledger, two.admin)
    two.apply(capacity=9)
    two.tick()
    assert two.sizes() == [(9, 4), (9, 4)]
    ways = [(line["epoch"], line["way"], line["rolled_back_at"] is not None) for line in two.setting()["history"]]  # type: ignore[attr-defined]
    assert ways == [(4, "applied", False), (3, "rolled_back", False), (2, "applied", True), (1, "applied", False)]


def test_a_late_rollback_is_refused_and_changes_nothing(two: Fleet) -> None:
    with pytest.raises(Failure, match="CACHE_TUNING_NOTHING_APPLIED"):
        tuning.rollback(two.ledger, two.admin)
    two.apply(capacity=7)
    two.hand.time += 300
    with pytest.raises(Failure, match="CACHE_TUNING_ROLLBACK_EXPIRED"):
        tuning.rollback(two.ledger, two.admin)
    two.tick()
    assert two.sizes() == [(7, 1), (7, 1)]


def test_the_snapshot_outlives_every_process(two: Fleet) -> None:
    two.apply(capacity=7)
    two.members.clear()
    again = two.anew()
    fresh = member("three", again, two.hand.clock(), two.folder)
    fresh.tick()
    assert (fresh.worker.vectors.capacity, fresh.worker.vectors.epoch) == (7, 1)
    tuning.rollback(again, two.admin)
    fresh.tick()
    assert (fresh.worker.vectors.capacity, fresh.worker.vectors.epoch) == (100, 2)


def test_a_dry_run_and_what_is_so_already_change_nothing(two: Fleet) -> None:
    told = tuning.apply(two.ledger, two.admin, CacheChange(capacity=7), RULES, dry_run=True)
    assert (told["changed"], told["after"]["capacity"], told["rollback_until"]) == (True, 7, None)
    assert two.setting()["setting"] == {"epoch": 0, "capacity": None, "ttl_seconds": None}
    assert tuning.apply(two.ledger, two.admin, CacheChange(), RULES, dry_run=False)["changed"] is False
    two.apply(capacity=7)
    two.hand.time += 301
    assert two.apply(capacity=7)["changed"] is False
    assert two.setting()["setting"]["epoch"] == 1  # type: ignore[index]


def test_a_failed_index_is_told_to_all_doors_with_its_reason_and_next_try(two: Fleet) -> None:
    assert two.health()["recovery_status"] == "healthy"
    break_index(two.members[0])
    two.tick()
    told = two.health()
    assert (told["recovery_status"], told["reason"], told["flapping"]) == ("degraded", "load", False)
    assert told["next_recovery_attempt"] is not None
    assert [one["state"] for one in told["workers"]] == ["degraded", "healthy"]  # type: ignore[attr-defined]
    states, seconds = engine_health.gauges(reports(two), two.hand.time + 5)
    assert (states["degraded"], states["healthy"], seconds) == (1, 1, pytest.approx(5, abs=0.01))


def reports(two: Fleet) -> list[fleet.Report]:
    with two.ledger.read() as tx:
        return list(fleet.alive(tx))


def test_an_index_is_tried_by_itself_when_it_is_time_and_no_sooner(two: Fleet) -> None:
    space = break_index(two.members[0])
    space.sound = True
    two.pass_time(260)
    assert not two.members[0].begun
    two.pass_time(40)
    two.work()
    told = two.health()
    assert told["recovery_status"] == "healthy"
    assert told["last_recovery_attempt"] is not None
    assert [line["event"] for line in told["history"]] == ["tried_well", "due", "failed"]  # type: ignore[attr-defined]


def test_a_recovery_by_hand_is_done_by_all_at_once_and_a_second_one_meanwhile_refused(two: Fleet) -> None:
    space = break_index(two.members[0])
    space.sound = True
    two.tick()
    asked = engine_health.recover(two.ledger, two.admin)
    assert len(asked["workers"]) == 2
    with pytest.raises(Failure, match="FAISS_RECOVERY_CONFLICT"):
        engine_health.recover(two.ledger, two.admin)
    two.tick()
    told = two.health()
    assert (told["recovery_status"], told["recovery"]["running"]) == ("held", True)  # type: ignore[index]
    with pytest.raises(Failure, match="FAISS_RECOVERY_CONFLICT"):
        engine_health.recover(two.ledger, two.admin)
    two.pass_time(400)
    assert len(two.members[0].begun) == 1, "something was tried beside the recovery by hand"
    two.work()
    told = two.health()
    assert told["recovery_status"] == "healthy"
    assert told["recovery"]["running"] is False  # type: ignore[index]
    assert [one["result"] for one in told["recovery"]["answers"]] == ["recovered", "unneeded"]  # type: ignore[index]
    engine_health.recover(two.ledger, two.admin)


def test_a_recovery_by_hand_in_vain_is_told_so_and_tries_go_on(two: Fleet) -> None:
    break_index(two.members[1])
    two.tick()
    engine_health.recover(two.ledger, two.admin)
    two.tick()
    two.work()
    told = two.health()
    assert [one["result"] for one in told["recovery"]["answers"]] == ["unneeded", "failed"]  # type: ignore[index]
    assert (told["recovery_status"], told["reason"]) == ("degraded", "corruption")
    two.pass_time(300)
    assert len(two.members[1].begun) == 1


def test_a_worker_that_died_in_a_recovery_hinders_the_next_one_no_longer_than_its_silence(two: Fleet) -> None:
    break_index(two.members[0])
    two.tick()
    engine_health.recover(two.ledger, two.admin)
    two.tick()
    dead, left = two.members
    two.members = [left]
    two.pass_time(20)
    with pytest.raises(Failure, match="FAISS_RECOVERY_CONFLICT"):
        engine_health.recover(two.ledger, two.admin)
    two.pass_time(20)
    assert engine_health.recover(two.ledger, two.admin)["workers"] == [left.worker.name]
    assert two.health()["recovery_status"] == "healthy", "the dead worker counts no more"
    two.hand.time += 400
    with two.ledger.write() as tx:
        assert fleet.forget(tx) == 2
    with pytest.raises(Failure, match="WORKERS_SILENT"):
        engine_health.recover(two.ledger, two.admin)
    assert dead.begun, "it had begun"


def test_an_order_is_not_for_those_who_come_later_nor_for_those_who_come_too_late(two: Fleet) -> None:
    engine_health.recover(two.ledger, two.admin)
    late = member("three", two.ledger, two.hand.clock(), two.folder)
    late.tick()
    two.hand.time += 601
    two.tick()
    assert not any(each.begun for each in [late, *two.members])
    assert {report.order_number for report in reports(two)} == {1}
    assert two.health()["recovery"]["answers"] == []  # type: ignore[index]


def test_who_leaves_is_gone_at_once(two: Fleet) -> None:
    two.members[0].steering.leave()
    assert [report.process for report in reports(two)] == [two.members[1].worker.name]


def test_a_database_that_is_away_is_survived_and_made_up_for(hand: HandClock, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    ledger = Ledger(url, DatabaseSettings(busy_seconds=0.1), hand.clock())
    migrate(ledger)
    two = Fleet(ledger, hand, tmp_path)
    space = break_index(two.members[0])
    space.sound = True
    two.tick()
    engine_health.recover(ledger, two.admin)
    two.tick()
    file = tmp_path / "ledger.db"
    ledger.close()
    file.rename(tmp_path / "away.db")
    file.mkdir()
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"):
        two.tick()
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"):
        two.work()
    assert two.members[0].worker.health.healthy
    file.rmdir()
    (tmp_path / "away.db").rename(file)
    protection.HERE.forget()  # the pause of the breaker around the database is over
    two.tick()
    assert [one["result"] for one in two.health()["recovery"]["answers"]] == ["recovered", "unneeded"]  # type: ignore[index]
    assert {report.order_number for report in reports(two)} == {1}
    ledger.close()
