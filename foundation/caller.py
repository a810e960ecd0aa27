"""Who asks, from where, under which number: set at the door, read by the trail and the log however deep below it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foundation.resilience.limiter import Verdict


@dataclass(slots=True)
class Caller:
    """One asking. Filled in as more is known: the door knows the origin, the policy whose key it is."""

    actor: str = ""  # "key:<id>", "admin"; empty: nobody from outside asks, it is a process of ours
    origin: str = ""  # the address of the peer
    request_id: str = ""
    tenant_id: str = ""  # whose rows alone it may touch; empty: not known yet, or whoever runs the server
    rotation_hint: str = ""  # told with the answer, when the key should be rotated
    cost: int = 0  # what the request costs against rate limits; 0: not known at the door
    limits: dict[str, Verdict] = field(default_factory=dict)  # what it was charged to, by tier

    @property
    def key_id(self) -> str:
        """The key that asks; empty: none does."""
        return self.actor.removeprefix("key:") if self.actor.startswith("key:") else ""


_caller: ContextVar[Caller | None] = ContextVar("caller", default=None)


def current() -> Caller:
    """Who asks here and now; an empty `Caller` within our own processes."""
    return _caller.get() or Caller()


@contextmanager
def asking(origin: str, request_id: str) -> Iterator[Caller]:
    """Everything in this block is asked by one caller. Threads that the block hands work to see the same object, not a copy."""
    caller = Caller(origin=origin, request_id=request_id)
    token = _caller.set(caller)
    try:
        yield caller
    finally:
        _caller.reset(token)
