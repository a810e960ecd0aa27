"""The one Redis client and every key name we own or read. The broker's own keys are kombu's; we only read them."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
import redis.asyncio
import redis.asyncio.retry
from redis.backoff import NoBackoff
from redis.retry import Retry

from foundation.settings import RedisSettings

SEPARATOR = "\x06\x16"  # kombu's, between a queue's name and its step; the default, like the steps, so that Flower agrees
STEPS = (0, 3, 6, 9)
UNACKED = "unacked"
UNACKED_INDEX = "unacked_index"
LIMIT_REPLICAS = "cadmill.limit.replicas"
LIMIT_EPOCH = "cadmill.limit.epoch"


def queue_key(queue: str, step: int) -> str:
    """The list that holds a queue's messages of one step."""
    return f"{queue}{SEPARATOR}{step}" if step else queue


def chaos_key(number: str) -> str:
    """Held for a while by the process that took a fault."""
    return f"cadmill.{number}"


def limit_key(name: str, subject: str) -> str:
    """What a rate limit has counted of a subject."""
    return f"cadmill.limit.{name}.{subject}"


def client(settings: RedisSettings, seconds: float | None = None) -> redis.Redis:
    """A client that gives up after `seconds` (default: what publishing may take) and never retries by itself."""
    where, options = _connection(settings, seconds)
    return redis.Redis(**where, **options) if where else redis.Redis.from_url(settings.url, **options)


def loop_client(settings: RedisSettings, seconds: float) -> redis.asyncio.Redis:
    """The same for an event loop; it belongs to the loop that first uses it."""
    where, options = _connection(settings, seconds)
    options["retry"] = redis.asyncio.retry.Retry(NoBackoff(), 0)
    return redis.asyncio.Redis(**where, **options) if where else redis.asyncio.Redis.from_url(settings.url, **options)


def _connection(settings: RedisSettings, seconds: float | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Where a Unix socket is, nothing for other addresses; and how to behave."""
    timeout = seconds or settings.publish_seconds
    options = {"socket_timeout": timeout, "socket_connect_timeout": timeout, "retry": Retry(NoBackoff(), 0), "health_check_interval": 0}
    if not settings.url.startswith("redis+socket://"):
        return {}, options
    split = urlsplit(settings.url)
    return {"unix_socket_path": split.path, "db": int(parse_qs(split.query).get("virtual_host", ["0"])[0])}, options
