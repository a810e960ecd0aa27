"""How many may be at something at once, so that one slow thing does not hold every thread: by permits, and by threads of its own.

A permit goes straight from who leaves to who waits longest; whoever stops waiting in that very moment passes it on. So at the end all
are free again, whatever was raised or cancelled.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class BulkheadPolicy:
    """At most `capacity` at once; others wait at most `wait_seconds`. `threads`: the calls run in so many threads of their own, and the
    caller leaves one that takes too long behind. Raises ValueError for numbers that make no policy."""

    capacity: int
    wait_seconds: float = 0.0
    threads: bool = False

    def __post_init__(self) -> None:
        if self.capacity < 1 or self.wait_seconds < 0:
            raise ValueError(f"not a policy: {self}")


class _Waiter:
    """One who waits; `wake` is called without the lock, from any thread."""

    __slots__ = ("has_permit", "wake")

    def __init__(self, wake: Callable[[], object]) -> None:
        self.wake = wake
        self.has_permit = False


class Bulkhead:
    """Permits that threads and event loops share, in the order in which they came."""

    def __init__(self, policy: BulkheadPolicy) -> None:
        self.policy = policy
        self._lock = threading.Lock()
        self._free = policy.capacity
        self._waiting: deque[_Waiter] = deque()
        self.refused = 0

    @property
    def free(self) -> int:
        return self._free

    def enter(self) -> bool:
        """Whether there is a permit, at once or in time. Who has one gives it back by `leave`."""
        if self._take():
            return True
        woken = threading.Event()
        waiter = self._queue(woken.set)
        if waiter is None:
            return True
        try:
            woken.wait(self.policy.wait_seconds)
        except BaseException:
            self._stop_waiting(waiter, keep=False)
            raise
        return self._stop_waiting(waiter, keep=True)

    async def enter_in_loop(self) -> bool:
        """The same without holding a thread."""
        if self._take():
            return True
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        waiter = self._queue(lambda: loop.call_soon_threadsafe(woken.set))
        if waiter is None:
            return True
        try:
            async with asyncio.timeout(self.policy.wait_seconds):
                await woken.wait()
        except TimeoutError:
            pass
        except BaseException:
            self._stop_waiting(waiter, keep=False)
            raise
        return self._stop_waiting(waiter, keep=True)

    def leave(self) -> None:
        with self._lock:
            waiter = self._waiting.popleft() if self._waiting else None
            if waiter is None:
                self._free += 1
                return
            waiter.has_permit = True
        try:
            waiter.wake()
        except RuntimeError:  # its event loop was closed under it
            self.leave()

    def _take(self) -> bool:
        with self._lock:
            taken = self._free > 0
            self._free -= taken
            return taken

    def _queue(self, wake: Callable[[], object]) -> _Waiter | None:
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            waiter = _Waiter(wake)
            self._waiting.append(waiter)
            return waiter

    def _stop_waiting(self, waiter: _Waiter, keep: bool) -> bool:
        with self._lock:
            if not waiter.has_permit:
                self._waiting.remove(waiter)
                self.refused += 1
                return False
        if not keep:
            self.leave()
        return keep


class ThreadBulkhead:
    """The same by threads of its own: the permit comes back when the call ends, not when its caller stops waiting."""

    def __init__(self, policy: BulkheadPolicy, name: str) -> None:
        self.permits = Bulkhead(policy)
        self._pool = ThreadPoolExecutor(policy.capacity, thread_name_prefix=name)

    def start(self, call: Callable[..., Answer], *words: Any, **more: Any) -> Future[Answer] | None:
        """The call, begun; None: there is no permit."""
        if not self.permits.enter():
            return None
        try:
            future = self._pool.submit(call, *words, **more)
        except BaseException:
            self.permits.leave()
            raise
        future.add_done_callback(lambda _future: self.permits.leave())
        return future

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
