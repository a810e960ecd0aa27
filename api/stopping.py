"""Hearing at once that this process is told to stop: the server tells nobody before its open answers have ended, which streams do not."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def when_told_to_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Within the block, SIGTERM and SIGINT call `tell` in the event loop and then do what they did before."""
    if threading.current_thread() is not threading.main_thread():  # a test runs the app in a thread: it gets no signals
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def told(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number, handler in before.items():
        if callable(handler):  # else the process ends by itself, or ignores it
            signal.signal(number, told)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is told:
                signal.signal(number, handler)
