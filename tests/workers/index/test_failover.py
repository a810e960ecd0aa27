"""The table of who serves searches: every event in every state, and any order of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from foundation.engine_settings import RecoverySettings
from tasks.vocabulary import EngineState
from workers.index import failover
from workers.index.failover import FLAPS, HISTORY, JITTER, MOVES, Event, NotAMove, Standing, Told, move

RULES = RecoverySettings()
HEALTHY, HELD, RECOVERING, DEGRADED = EngineState.HEALTHY, EngineState.HELD, EngineState.RECOVERING, EngineState.DEGRADED

# written out by hand, so that a slip in the table is one here too or is found
EXPECTED: dict[tuple[EngineState, Event], EngineState | None] = {
    (HEALTHY, Event.FAILED): DEGRADED,
    (HEALTHY, Event.DUE): None,
    (HEALTHY, Event.ASKED): None,
    (HEALTHY, Event.TRIED_WELL): None,
    (HEALTHY, Event.TRIED_IN_VAIN): None,
    (DEGRADED, Event.FAILED): DEGRADED,
    (DEGRADED, Event.DUE): RECOVERING,
    (DEGRADED, Event.ASKED): HELD,
    (DEGRADED, Event.TRIED_WELL): None,
    (DEGRADED, Event.TRIED_IN_VAIN): None,
    (RECOVERING, Event.FAILED): RECOVERING,
    (RECOVERING, Event.DUE): None,
    (RECOVERING, Event.ASKED): HELD,
    (RECOVERING, Event.TRIED_WELL): HEALTHY,
    (RECOVERING, Event.TRIED_IN_VAIN): DEGRADED,
    (HELD, Event.FAILED): HELD,
    (HELD, Event.DUE): None,
    (HELD, Event.ASKED): None,
    (HELD, Event.TRIED_WELL): HEALTHY,
    (HELD, Event.TRIED_IN_VAIN): DEGRADED,
}


def told(event: Event, now: float, reason: str = "", dice: float = 0.0) -> Told:
    return Told(event, now, dice, RULES, reason)


def standing_in(state: EngineState) -> Standing:
    """A standing as the table itself comes to it."""
    failed = move(Standing(), told(Event.FAILED, 0.0, "load"))
    ways = {
        HEALTHY: lambda: Standing(),
        DEGRADED: lambda: failed,
        RECOVERING: lambda: move(failed, told(Event.DUE, 300.0)),
        HELD: lambda: move(failed, told(Event.ASKED, 10.0)),
    }
    return ways[state]()


@pytest.mark.parametrize(("state", "event"), [(state, event) for state in EngineState for event in Event])
def test_every_event_in_every_state(state: EngineState, event: Event) -> None:
    before, goal = standing_in(state), EXPECTED[state, event]
    assert before.state is state
    if goal is None:
        with pytest.raises(NotAMove):
            move(before, told(event, 1000.0, "search"))
        return
    after = move(before, told(event, 1000.0, "search"))
    assert after.state is goal
    if goal is state:
        assert after == before, "a straggler changes nothing, not even the history"
        return
    assert (after.since, after.history[-1].at, after.history[-1].event, after.history[-1].state) == (1000.0, 1000.0, event, goal)
    assert (after.degraded_at is None) == (goal is HEALTHY)
    assert (after.next_try_at is not None) == (goal is DEGRADED)
    assert after.number == before.number + (goal in (RECOVERING, HELD))
    assert after.reason == {HEALTHY: "", DEGRADED: "search"}.get(goal, before.reason)


def test_the_table_has_exactly_the_moves_written_out_here() -> None:
    assert {(state, event): goal for state, events in MOVES.items() for event, (goal, _) in events.items()} == {
        key: goal for key, goal in EXPECTED.items() if goal is not None
    }


def test_tries_come_after_300_600_1200_2400_and_then_every_3600_seconds() -> None:
    now, standing, waits = 0.0, move(Standing(), told(Event.FAILED, 0.0, "load")), []
    for _ in range(7):
        assert standing.next_try_at is not None
        waits.append(standing.next_try_at - now)
        now = standing.next_try_at
        with pytest.raises(NotAMove):
            move(standing, told(Event.DUE, now - 0.001))
        standing = move(move(standing, told(Event.DUE, now)), told(Event.TRIED_IN_VAIN, now, "load"))
    assert waits == [300, 600, 1200, 2400, 3600, 3600, 3600]


def test_a_throw_of_dice_shortens_a_wait_by_a_tenth_at_most() -> None:
    waits = [move(Standing(), told(Event.FAILED, 0.0, "load", dice / 100)).next_try_at for dice in range(100)]
    assert max(filter(None, waits)) == 300
    assert min(filter(None, waits)) == pytest.approx(300 * (1 - JITTER * 0.99))
    assert len(set(waits)) == 100


def test_a_recovery_by_hand_in_vain_costs_no_patience() -> None:
    standing = move(standing_in(HELD), told(Event.TRIED_IN_VAIN, 50.0, "load"))
    assert (standing.level, standing.next_try_at) == (0, 350.0)


def test_the_wait_begins_anew_once_a_recovered_engine_has_stood() -> None:
    standing = replace(standing_in(RECOVERING), level=4)
    standing = move(standing, told(Event.TRIED_WELL, 1000.0))
    assert move(standing, told(Event.FAILED, 1299.0, "load")).next_try_at == 1299 + 3600, "sooner: the backoff goes on where it was"
    assert move(standing, told(Event.FAILED, 1300.0, "load")).next_try_at == 1300 + 300


def test_an_engine_that_fails_again_and_again_after_recoveries_is_flapping_until_it_has_stood() -> None:
    now, standing = 0.0, Standing()
    flapping, waits = [], []
    for _ in range(FLAPS + 2):
        standing = move(standing, told(Event.FAILED, now, "search"))
        flapping.append(failover.flapping(standing, now, RULES))
        assert standing.next_try_at is not None
        waits.append(standing.next_try_at - now)
        now = standing.next_try_at
        standing = move(move(standing, told(Event.DUE, now)), told(Event.TRIED_WELL, now))
        now += 1.0
    assert flapping == [False] * FLAPS + [True] * 2
    assert waits == [300, 600, 1200, 3600, 3600], "flapping: the longest wait at once, not 2400"
    assert failover.flapping(standing, now, RULES)
    assert not failover.flapping(standing, now + 300, RULES)
    assert not move(standing, told(Event.FAILED, now + 300, "search")).flapping


def test_the_longest_wait_holds_for_any_number_of_tries() -> None:
    assert failover.wait(Standing(level=100_000), told(Event.DUE, 0.0)) == 3600


class Machine(RuleBasedStateMachine):
    """Events in any order, at any time, with any dice."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.standing, self.tries = 1_000_000.0, Standing(), 0

    def tell(self, event: Event, reason: str = "", dice: float = 0.0) -> None:
        before = self.standing
        goal = EXPECTED[before.state, event]
        late = event is not Event.DUE or (before.next_try_at is not None and self.now >= before.next_try_at)
        try:
            self.standing = move(before, told(event, self.now, reason, dice))
        except NotAMove:
            assert goal is None or not late
            assert self.standing is before
            return
        assert goal is not None
        assert late
        assert self.standing.state is goal
        self.tries += self.standing.number != before.number

    @rule(seconds=st.floats(0, 5000))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.standing.next_try_at is not None)
    @rule()
    def the_time_of_the_try_comes(self) -> None:
        self.now = max(self.now, self.standing.next_try_at or 0.0)
        self.tell(Event.DUE)

    @rule(
        event=st.sampled_from(Event),
        reason=st.sampled_from(["import", "load", "search", "dimension", "corruption"]),
        dice=st.floats(0, 0.999),
    )
    def happens(self, event: Event, reason: str, dice: float) -> None:
        self.tell(event, reason if event in (Event.FAILED, Event.TRIED_IN_VAIN) else "", dice)

    @invariant()
    def what_is_always_so(self) -> None:
        standing = self.standing
        assert len(standing.history) <= HISTORY
        assert [line.at for line in standing.history] == sorted(line.at for line in standing.history)
        assert not standing.history or standing.history[-1].state == standing.state
        assert standing.number == self.tries
        assert (standing.state is HEALTHY) == (standing.degraded_at is None) == (standing.reason == "")
        assert (standing.state is DEGRADED) == (standing.next_try_at is not None)
        if standing.next_try_at is not None and standing.since is not None:
            waited = standing.next_try_at - standing.since
            floor = RULES.max_backoff_seconds if standing.flapping else RULES.interval_seconds
            assert floor * (1 - JITTER) - 1e-6 <= waited <= RULES.max_backoff_seconds + 1e-6
            assert standing.relapses <= standing.level, "a relapse never shortens the wait"


def test_any_order_of_events_keeps_its_promises() -> None:
    few = settings(max_examples=50, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))
    run_state_machine_as_test(Machine, settings=few)  # type: ignore[no-untyped-call]
