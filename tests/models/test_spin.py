"""The models hold in every state, and each of the rules that they rest on is needed: without it Spin finds the harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger import repair
from ledger.states import TABLES
from tests.models import spin

pytestmark = pytest.mark.skipif(spin.missing(), reason=spin.NO_SPIN)

SAFE, LIVE, FOUND = "cancelled_stays_cancelled", "every_job_ends", "only_the_killer_fails"
KEPT, ENDS, TRIED = "delivered_is_received", "every_delivery_ends", "dead_only_after_the_last_try"

HALF, OPEN, CALL = "half_open_ends", "open_ends", "every_call_ends"

# model, scenario, claims
HOLDS: dict[str, tuple[str, dict[str, int], tuple[str, ...]]] = {
    "two workers, lost and double rings, a late worker, a fault, a cancel": (
        "job", {"STALLS": 1, "FAULTS": 1, "LOSSES": 1, "DOUBLES": 1, "CANCELS": 1, "HANDBACKS": 1}, (SAFE, LIVE),
    ),
    "a user who pauses and resumes, a late worker, a fault and a hand-back": (
        "job", {"PAUSES": 1, "STALLS": 1, "FAULTS": 1, "HANDBACKS": 1}, (SAFE, LIVE),
    ),
    "a user who retries, then cancels": ("job", {"STALLS": 1, "LOSSES": 1, "RETRIES": 1, "CANCELS": 1}, (SAFE, LIVE)),
    "an item that kills its process": ("job", {"KILLS": 1}, (SAFE, LIVE, FOUND)),
    "a killer, a late worker, a hand-back and a cancel": ("job", {"KILLS": 1, "STALLS": 1, "HANDBACKS": 1, "CANCELS": 1}, (SAFE, LIVE)),
    "a delivery": ("delivery", {}, (KEPT, ENDS, TRIED)),
    "a delivery that is sent again": ("delivery", {"REDELIVERIES": 1, "LOSSES": 0, "DOUBLES": 0, "TRIES": 1}, (KEPT, ENDS, TRIED)),
    "a breaker with three callers, one of whom dies": ("breaker", {}, (HALF, OPEN)),
    "a breaker with three callers, two of whom die": ("breaker", {"DEATHS": 2}, (HALF, OPEN)),
    "a breaker with one probe": ("breaker", {"PROBES": 1}, (HALF, OPEN)),
    "two calls with retries, a budget and a breaker": ("retry", {}, (CALL,)),
    "two calls with retries and a small budget": ("retry", {"TOKENS": 1, "TRIES": 4}, (CALL,)),
    "an endpoint that is switched off": ("delivery", {"OFFS": 1, "ENABLES": 1, "LOSSES": 0, "DOUBLES": 0}, (KEPT, ENDS, TRIED)),
}  # fmt: skip

# mutation, model, scenario, claim, what Spin says
FAILS: dict[str, tuple[str, dict[str, int], str, str]] = {
    "without the attempt in every write, an outcome is counted twice": (
        "job", {"NO_FENCE": 1, "STALLS": 1, "FAULTS": 1}, SAFE, "assertion violated (((succeeded==",
    ),
    "without ringing again, a job never ends": ("job", {"NO_RERING": 1, "LOSSES": 1}, LIVE, "acceptance cycle"),
    "without rescue, a job never ends": ("job", {"NO_RESCUE": 1, "KILLS": 1}, LIVE, "acceptance cycle"),
    "without the split, a killer kills one process after the other": (
        "job", {"NO_SPLIT": 1, "KILLS": 1}, SAFE, f"assertion violated (died<={repair.GIVE_UP_AFTER})",
    ),
    "without the lock on the job, a cancel leaves chunks alive": (
        "job", {"NO_LOCK": 1, "KILLS": 1, "CANCELS": 1}, SAFE, "assertion violated ( !(((((job==",
    ),
    "without the lock on the job and a second look, a rescue gives up what was handed back": (
        "job", {"NO_RECHECK": 1, "KILLS": 1, "STALLS": 1, "HANDBACKS": 1}, SAFE, "assertion violated ( !(((((job==",
    ),
    "without the claim's refusal, a paused job starts what became due just before": (
        "job", {"NO_REFUSAL": 1, "PAUSES": 1, "FAULTS": 1}, SAFE, "assertion violated  !(paused)",
    ),
    "without the generation, a late answer moves the breaker": ("breaker", {"NO_GENERATION": 1}, HALF, "assertion violated"),
    "without a time for probes, half-open never ends": ("breaker", {"NO_LIMIT": 1}, HALF, "acceptance cycle"),
    "without the bound, more probe than may": ("breaker", {"NO_BOUND": 1}, HALF, "assertion violated (in_flight<="),
    "without giving places back, a caller that is stopped keeps its own": (
        "breaker", {"NO_RETURN": 1}, HALF, "assertion violated ((state!=",
    ),
    "without a last try, a call never ends": ("retry", {"NO_TRIES": 1, "NO_BUDGET": 1, "OPENS": 0}, CALL, "acceptance cycle"),
    "without the budget, retries become a storm": ("retry", {"NO_BUDGET": 1}, CALL, "assertion violated (retries<="),
    "without listening to the breaker, a call tries on when it has opened": (
        "retry", {"NO_LISTENING": 1}, CALL, "assertion violated  !(heard_of",
    ),
    "without the attempt, two couriers send at once": ("delivery", {"NO_FENCE": 1}, KEPT, "assertion violated (((token[0]==0)"),
    "without rescue, a delivery never ends": ("delivery", {"NO_RESCUE": 1}, ENDS, "acceptance cycle"),
    "without ringing again, a delivery never ends": ("delivery", {"NO_RERING": 1}, ENDS, "acceptance cycle"),
    "without burial, what was in flight to an endpoint that was switched off never ends": (
        "delivery", {"NO_BURIAL": 1, "OFFS": 1}, ENDS, "acceptance cycle",
    ),
}  # fmt: skip

# `make models` checks these too
AT_LENGTH = {"a killer, a late worker, a hand-back and a cancel"}
LONG = os.environ.get("CADMILL_MODELS") == "long"

FAIR = {LIVE, FOUND, ENDS, HALF, OPEN, CALL}
MOST_STATES = 200_000  # a model that has grown beyond this is no longer small


@pytest.mark.parametrize("name", [name for name in HOLDS if LONG or name not in AT_LENGTH])
def test_the_model_holds_in_every_state(name: str, tmp_path: Path) -> None:
    model, scenario, claims = HOLDS[name]
    checker = spin.compile_model(model, tmp_path, **scenario)
    for claim in claims:
        verdict = checker.claim(claim, fair=claim in FAIR)
        print(f"{name}: {claim}: {verdict.states} states, {verdict.errors} errors")
        assert verdict.errors == 0, verdict.error
        assert 200 < verdict.states < MOST_STATES


@pytest.mark.parametrize("name", FAILS)
def test_each_rule_is_needed(name: str, tmp_path: Path) -> None:
    model, scenario, claim, error = FAILS[name]
    verdict = spin.compile_model(model, tmp_path, **scenario).claim(claim, fair=claim in FAIR)
    print(f"{name}: violated after {verdict.states} states")
    assert verdict.errors == 1
    assert error in verdict.error


def test_a_move_that_the_table_does_not_have_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The models have no edges of their own: they are made of the table."""
    monkeypatch.setitem(TABLES, "chunks", TABLES["chunks"] | {"running": TABLES["chunks"]["running"] - {"waiting"}})
    verdict = spin.compile_model("job", tmp_path, FAULTS=1).claim(SAFE, fair=False)
    assert verdict.errors == 1
    assert "assertion violated" in verdict.error
    assert "chunk[" in verdict.error
