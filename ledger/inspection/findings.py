"""The words of the inspection: a finding, and how long what is in flight is no fault."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foundation.settings import Settings

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject` is the id of the row or the hash of the file; `detail` fills the sentence of its rule."""

    kind: str
    subject: str
    job_id: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for which each of these may be as it is before it counts as wrong: upkeep and retries mend it themselves."""

    lease: float
    ring: float
    left_over: float = _DAY

    @classmethod
    def of(cls, settings: Settings) -> Patience:
        queue = settings.queue
        return cls(
            lease=queue.lease_seconds + 10 * queue.tick_seconds,
            ring=queue.ring_grace_seconds + queue.ring_stuck_seconds + 10 * queue.tick_seconds,
        )
