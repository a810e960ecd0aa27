"""Names of channels: `tenant`, `user`, `topic:NAME`, `job:ID`. A channel is always one of the listener's own tenant."""

from __future__ import annotations

from collections.abc import Iterable

from foundation.errors import Failure
from foundation.progress import Topic

_TOPICS = frozenset(f"topic:{topic}" for topic in Topic)
_LONGEST = 100


def parse(names: Iterable[object], key_id: str) -> set[str]:
    """Channels by their names; `user` is that of the key. Raises LIVE_CHANNEL_UNKNOWN: also for the channel of another key."""
    return {_parsed(name, key_id) for name in names}


def _parsed(name: object, key_id: str) -> str:
    mine = f"user:{key_id}"
    if name == "user" or name == mine:
        return mine
    if isinstance(name, str) and (name == "tenant" or name in _TOPICS or (name.startswith("job:") and len(name) <= _LONGEST)):
        return name
    raise Failure("LIVE_CHANNEL_UNKNOWN", {"channel": str(name)[:64], "topics": sorted(Topic)})


def jobs_of(channels: Iterable[str]) -> list[str]:
    return [name.removeprefix("job:") for name in channels if name.startswith("job:")]
