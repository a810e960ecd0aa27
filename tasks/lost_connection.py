"""A repair of kombu 5.7's Redis transport, without which losing Redis can end a worker for good."""

from __future__ import annotations

from typing import Any

from kombu.transport.redis import Channel
from redis.exceptions import ConnectionError as RedisConnectionError

_connparams = Channel._connparams


def _connparams_or_lost(channel: Channel, asynchronous: bool = False) -> Any:
    """Where Redis is, or the error of a lost connection.

    A channel whose connection was lost and closed is used once more: to give back what it had fetched, and to acknowledge work that
    ends later. There kombu 5.7 meets None and raises AttributeError, which nobody expects and which ends the whole worker; an error
    of the connection is expected everywhere. The message itself needs no return: the ledger rings again.
    """
    if channel.connection.client is None:
        raise RedisConnectionError("the connection of this channel was lost")
    return _connparams(channel, asynchronous)  # type: ignore[no-untyped-call]


def install() -> None:
    """Let every channel of this process fail in the way that its callers expect."""
    Channel._connparams = _connparams_or_lost  # type: ignore[method-assign]
