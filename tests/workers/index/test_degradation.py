"""Whatever breaks under a worker's index, each answer is right and says who gave it, and in the end the index is the ledger."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foundation.clock import Clock
from foundation.engine_settings import IndexSettings, RecoverySettings
from ledger import epochs
from tasks.vocabulary import EngineState, Family
from tests.ledger.conftest import HandClock
from tests.workers.index.conftest import Sample, Shop
from workers.features.packing import packed, unpacked
from workers.index import snapshot
from workers.index.approximate import ApproximateIndex
from workers.index.failover import JITTER
from workers.index.galleries import Galleries, engine
from workers.index.gallery import Space
from workers.index.health import Health
from workers.index.search import Asked
from workers.index.serving import Failover

CYCLES = 50
ASKED = Asked(top_k=5, threshold=0.0, scale_invariant=False)


class Patient:
    """A shop on faiss whose clock is in the test's hand, and the same shop by exact search."""

    def __init__(self, shop: Shop, solids: list[Sample]) -> None:
        self.shop, self.solids, self.hand = shop, solids, HandClock()
        self.dice = np.random.default_rng(5)
        self.shop.health = Health(RecoverySettings(), Clock(now=self.hand, tick=self.hand, dice=self.dice.random))
        self.shop.restart()
        exact = IndexSettings(engine="exact", snapshot_above=10**9)
        self.right = Galleries(exact, shop.ledger, shop.directory / "nowhere", engine(exact, shop.ledger, shop.health))

    def check(self, degraded: bool) -> None:
        queries = [one.name for one in self.solids[1:4]]
        faiss, self.shop.galleries = self.shop.galleries, self.right
        wanted = self.shop.hits(*queries)
        self.shop.galleries = faiss
        assert self.shop.hits(*queries) == wanted
        with self.shop.galleries.held(self.shop.shelf) as held:
            assert self.shop.similar(held, [self.shop.query(queries[0])], ASKED)
            assert held.gallery.degraded is degraded

    def change(self, round: int) -> None:
        one = self.solids[round % len(self.solids)]
        row = unpacked(one.vector).copy()
        row[1] += 0.01 * (round + 1)
        self.shop.put({one.name: (one.family, packed(row.tolist()))})

    def inside(self) -> Failover:
        """The index of all slots, opened."""
        self.check(degraded=False)
        with self.shop.galleries.held(self.shop.shelf) as held:
            index = held.gallery._spaces[Space(Family.SOLID, sized=True, stable=False)]
        assert isinstance(index, Failover)
        return index

    def agrees(self) -> None:
        """As many vectors in every index as in the ledger."""
        with self.shop.ledger.read() as tx:
            count = epochs.count(tx, self.shop.shelf)
        with self.shop.galleries.held(self.shop.shelf) as held:
            assert len(held.gallery) == count
            for space, index in held.gallery._spaces.items():
                assert len(index) == held.gallery.size(space.family)

    def recover(self, failures: int, mend: Callable[[], None]) -> None:
        """Tries at their time, in vain until it is mended."""
        health, longest = self.shop.health, RecoverySettings().max_backoff_seconds
        for level in range(failures + 1):
            due = health.standing.next_try_at
            assert due is not None
            waited = due - self.hand.time
            assert (1 - JITTER) * min(longest, 300 * 2**level) <= waited <= min(longest, 300 * 2**level)
            self.hand.time = due - 1
            assert health.begin(by_hand=False) is None
            self.hand.time = due
            number = health.begin(by_hand=False)
            assert number is not None
            if level == failures:
                mend()
            assert health.carry_out(number) == ("recovered" if level == failures else "failed")
            self.check(degraded=level < failures)


@pytest.fixture
def patient(new_shop: Callable[..., Shop], samples: list[Sample]) -> Patient:
    solids = [one for one in samples if one.family == "3d"]
    shop = new_shop(snapshot_above=3)
    shop.add(solids)
    return Patient(shop, solids)


def killed_while_it_writes_snapshots(patient: Patient) -> None:
    shop = patient.shop
    with shop.galleries.held(shop.shelf) as held:
        number, content = held.gallery.number, held.gallery.content()
    child = os.fork()
    if not child:
        while True:
            snapshot.save(shop.directory, shop.shelf, shop.version.width, number, content)
    time.sleep(float(patient.dice.uniform(0.001, 0.02)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    shop.restart()


def corrupted_on_disk(patient: Patient) -> None:
    whole = snapshot._files(snapshot.header(patient.shop.directory, patient.shop.shelf))  # not what a killed writer left half done
    victims = sorted(path for path in (patient.shop.directory / "index").glob("*rows*.npy") if path.name in whole)
    for path in victims:
        raw = bytearray(path.read_bytes())
        raw[-1 - int(patient.dice.integers(64))] ^= 0xFF
        path.write_bytes(raw)
    assert victims
    patient.shop.restart()


def test_fifty_cycles_of_kill_corruption_wrong_width_and_missing_faiss(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    faiss = importlib.import_module("faiss")
    make = ApproximateIndex.__init__

    def nothing() -> None:
        pass

    def found_again() -> None:
        monkeypatch.setitem(sys.modules, "faiss", faiss)

    def right_again() -> None:
        monkeypatch.setattr(ApproximateIndex, "__init__", make)

    for cycle in range(CYCLES):
        way, mend = cycle % 5, nothing
        if way == 0:
            killed_while_it_writes_snapshots(patient)
        elif way == 1:
            patient.check(degraded=False)
            corrupted_on_disk(patient)
        if way in (0, 1):
            patient.change(cycle)
            patient.check(degraded=False)  # from the ledger, or the snapshot that is whole
            patient.agrees()
            continue
        if way == 2:
            index = patient.inside()._primary
            assert isinstance(index, ApproximateIndex)
            index._flat = faiss.IndexFlatL2(index._width + 1)
        elif way == 3:

            def narrow(self: ApproximateIndex, width: int, *more: Any) -> None:
                make(self, width, *more)
                self._flat = faiss.IndexFlatL2(width - 1)

            monkeypatch.setattr(ApproximateIndex, "__init__", narrow)
            patient.shop.restart()
            mend = right_again
        else:
            patient.inside()
            monkeypatch.setitem(sys.modules, "faiss", None)
            mend = found_again
        patient.check(degraded=True)
        assert patient.shop.health.standing.state is EngineState.DEGRADED
        patient.change(cycle)
        patient.check(degraded=True)
        patient.recover(0 if way == 2 else cycle // 5 % 3, mend)
        patient.agrees()
        patient.hand.time += 301
    assert [line.event for line in patient.shop.health.standing.history].count("failed") >= 2
