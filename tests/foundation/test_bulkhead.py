"""One slow thing holds no more than its share, and every permit comes back whatever is raised or cancelled."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from concurrent.futures import CancelledError

import pytest

from foundation.resilience.bulkhead import Bulkhead, BulkheadPolicy, ThreadBulkhead


def test_no_more_than_its_capacity_come_in() -> None:
    bulkhead = Bulkhead(BulkheadPolicy(2))
    assert [bulkhead.enter(), bulkhead.enter(), bulkhead.enter()] == [True, True, False]
    bulkhead.leave()
    assert bulkhead.enter()
    assert (bulkhead.free, bulkhead.refused) == (0, 1)


def test_who_waits_longest_gets_the_permit_of_who_leaves() -> None:
    bulkhead, came, threads = Bulkhead(BulkheadPolicy(1, wait_seconds=30)), [], []
    assert bulkhead.enter()

    def wait(number: int) -> None:
        assert bulkhead.enter()
        came.append(number)
        bulkhead.leave()

    for number in range(5):
        threads.append(threading.Thread(target=wait, args=(number,)))
        threads[-1].start()
        while len(bulkhead._waiting) <= number:
            time.sleep(0.001)
    bulkhead.leave()
    for thread in threads:
        thread.join(30)
    assert came == list(range(5))
    assert bulkhead.free == 1


async def _cancelled_at_random() -> Bulkhead:
    bulkhead, chance = Bulkhead(BulkheadPolicy(4, wait_seconds=0.01)), random.Random(1)

    async def one() -> None:
        if await bulkhead.enter_in_loop():
            try:
                await asyncio.sleep(chance.choice((0, 0, 0.0005)))
                if chance.random() < 0.3:
                    raise ValueError
            finally:
                bulkhead.leave()

    for _ in range(50):
        tasks = [asyncio.create_task(one()) for _ in range(60)]
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        for task in tasks:
            if chance.random() < 0.5:
                task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ended} <= {type(None), ValueError, asyncio.CancelledError}
    return bulkhead


def test_cancelling_tasks_at_random_leaks_no_permit() -> None:
    bulkhead = asyncio.run(_cancelled_at_random())
    assert bulkhead.free == 4
    assert bulkhead.refused > 0


def test_a_thread_hands_its_permit_to_a_waiting_event_loop() -> None:
    bulkhead = Bulkhead(BulkheadPolicy(1, wait_seconds=30))
    assert bulkhead.enter()
    leaving = threading.Timer(0.05, bulkhead.leave)
    leaving.start()
    assert asyncio.run(bulkhead.enter_in_loop())
    bulkhead.leave()
    leaving.join()
    assert bulkhead.free == 1


def test_a_permit_for_an_event_loop_that_was_closed_is_passed_on() -> None:
    bulkhead = Bulkhead(BulkheadPolicy(1, wait_seconds=30))
    assert bulkhead.enter()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(bulkhead.enter_in_loop())
    loop.run_until_complete(asyncio.sleep(0))
    waiting._log_destroy_pending = False  # type: ignore[attr-defined]  # it is left behind on purpose
    loop.close()
    bulkhead.leave()
    assert bulkhead.free == 1


def test_a_call_that_is_left_behind_holds_its_thread_until_it_ends() -> None:
    bulkhead, go = ThreadBulkhead(BulkheadPolicy(1, threads=True), "test"), threading.Event()
    future = bulkhead.start(go.wait, 30)
    assert future is not None
    with pytest.raises(TimeoutError):
        future.result(0.01)
    assert bulkhead.start(go.wait) is None
    go.set()
    assert future.result(30)
    bulkhead.close()
    assert bulkhead.permits.free == 1


def test_threads_give_every_permit_back_whatever_their_calls_raise() -> None:
    bulkhead, chance = ThreadBulkhead(BulkheadPolicy(4, wait_seconds=30, threads=True), "test"), random.Random(2)

    def call() -> None:
        if chance.random() < 0.5:
            raise ValueError

    futures = [bulkhead.start(call) for _ in range(500)]
    for future in futures:
        assert future is not None
        future.cancel()
        assert future.cancelled() or isinstance(future.exception(30), ValueError | None | CancelledError)
    bulkhead.close()
    assert bulkhead.permits.free == 4
