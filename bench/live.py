"""Many who listen at once: whether every event reaches all of them, how fast, and whether slow readers hold up the others.

`python -m bench.live` starts an API of its own and clients in processes apart from it. `--connections 1000 --slow 100 --events 200`
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import multiprocessing.synchronize
import resource
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from foundation import keyspace
from foundation.progress import Event, Publisher
from foundation.settings import DatabaseSettings, RedisSettings
from ledger import keys
from ledger.session import Ledger
from tests.stack import RedisServer, Stack, running

_OPEN = 'cadmill_live_connections_total{door="websocket"}'
_TEXT = "x" * 300  # about as long as the state of a job


@dataclass(frozen=True, slots=True)
class Heard:
    """What the clients of one process heard: how many had every event in order, and how late each was, in seconds."""

    complete: int
    connections: int
    late: list[float]


async def _one(url: str, key: str, events: int, ready: asyncio.Semaphore, late: list[float]) -> bool:
    async with connect(
        url, additional_headers={"X-API-Key": key}, proxy=None, compression=None, open_timeout=600, ping_interval=None
    ) as client:
        await client.send(json.dumps({"type": "subscribe", "channels": ["tenant"]}))
        seen: list[int] = []
        async for text in client:
            told = json.loads(text)
            if told["type"] == "subscribed":
                ready.release()
            if told["type"] == "announcement":
                number, at, _ = told["data"]["text"].split(" ")
                late.append(time.time() - float(at))
                seen.append(int(number))
                if len(seen) == events:
                    return seen == list(range(events))
    return False


async def _many(url: str, key: str, connections: int, events: int, ready: multiprocessing.synchronize.Event) -> Heard:
    there, late = asyncio.Semaphore(0), []  # type: ignore[var-annotated]
    tasks = [asyncio.create_task(_one(url, key, events, there, late)) for _ in range(connections)]
    for _ in range(connections):
        await there.acquire()
    ready.set()
    done = await asyncio.wait_for(asyncio.gather(*tasks), 600)
    return Heard(sum(done), connections, late)


def _quick(url: str, key: str, connections: int, events: int, ready: Any, answers: Any) -> None:
    answers.put(asyncio.run(_many(url, key, connections, events, ready)))


async def _asleep(url: str, key: str, connections: int, ready: Any, over: Any) -> None:
    """Clients that ask for everything and then read nothing more: their sockets take little and are never emptied."""
    sockets: list[ClientConnection] = []
    address = (url.split("/")[2].split(":")[0], int(url.split(":")[2].split("/")[0]))
    for _ in range(connections):
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect(address)
        raw.setblocking(False)
        client = await connect(
            url,
            sock=raw,
            additional_headers={"X-API-Key": key},
            proxy=None,
            compression=None,
            max_queue=1,
            ping_interval=None,
            open_timeout=600,
        )
        await client.send(json.dumps({"type": "subscribe", "channels": ["tenant"]}))
        await client.recv()
        client.transport.pause_reading()
        sockets.append(client)
    ready.set()
    while not over.is_set():
        await asyncio.sleep(0.1)
    for client in sockets:
        client.transport.abort()


def _slow(url: str, key: str, connections: int, ready: Any, over: Any) -> None:
    asyncio.run(_asleep(url, key, connections, ready, over))


def _ended_as_slow(stack: Stack) -> int:
    """How many the API dropped. It counts a reader that never reads when its socket is gone, so ask when those have closed theirs."""
    counted = 'cadmill_live_connections_ended_total{door="websocket",'
    for _ in range(50):
        lines = [line for line in stack.http.get("/metrics").text.splitlines() if line.startswith((counted, _OPEN))]
        ended = {line.split('reason="')[1].split('"')[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(counted)}
        if sum(ended.values()) == sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(_OPEN)):
            break
        time.sleep(0.2)
    return int(ended.get("slow", 0))


def measure(connections: int, slow: int, events: int, rate: float, processes: int, bytes_each: int) -> dict[str, Any]:
    """One run: listeners connect, events are published at a rate (a second), figures come back."""
    fork = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="cadmill-live-") as place:
        redis = RedisServer(Path(place) / "redis").start()
        limits = {"CADMILL_LIVE_MAX_PER_KEY": 5000, "CADMILL_LIVE_MAX_PER_TENANT": 5000, "CADMILL_LIVE_MAX_CONNECTIONS": 5000}
        try:
            with running(Path(place) / "stack", redis.url, "", "api", **limits) as stack:
                ledger = Ledger(f"sqlite:///{stack.directory / 'cadmill.db'}", DatabaseSettings())
                with ledger.read() as tx:
                    tenant = keys.of_key(tx, stack.sealing.pepper(keys.PEPPER), stack.key)
                ledger.close()
                url, over = stack.url.replace("http", "ws", 1) + "/api/v1/live", fork.Event()
                answers: Any = fork.Queue()
                ready = [fork.Event() for _ in range(processes + 1)]
                share = [connections // processes + (at < connections % processes) for at in range(processes)]
                clients = [
                    fork.Process(target=_quick, args=(url, stack.key, share[at], events, ready[at], answers)) for at in range(processes)
                ]
                clients.append(fork.Process(target=_slow, args=(url, stack.key, slow, ready[-1], over)))
                for client in clients:
                    client.start()
                for each in ready:
                    assert each.wait(900), "clients did not connect"
                publisher = Publisher(keyspace.client(RedisSettings(url=redis.url)), 10_000)
                begun = time.monotonic()
                padding = "x" * bytes_each
                for number in range(events):
                    publisher.publish(Event("announcement", {"text": f"{number} {time.time()} {padding}"}, tenant.id))
                    time.sleep(max(0.0, begun + (number + 1) / rate - time.monotonic()))
                heard = [answers.get(timeout=600) for _ in range(processes)]
                over.set()
                for client in clients:
                    client.join(20)
                dropped = _ended_as_slow(stack) if slow else 0
                publisher.close()
        finally:
            redis.kill()
    late = sorted(each for one in heard for each in one.late)
    return {
        "connections": connections,
        "slow": slow,
        "events": events,
        "rate": rate,
        "bytes": bytes_each,
        "complete": sum(one.complete for one in heard),
        "heard": len(late),
        "p50_ms": round(1000 * late[len(late) // 2], 1),
        "p95_ms": round(1000 * late[int(len(late) * 0.95)], 1),
        "p99_ms": round(1000 * late[int(len(late) * 0.99)], 1),
        "max_ms": round(1000 * late[-1], 1),
        "slow_dropped": dropped,
    }


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--connections", type=int, default=1000)
    asked.add_argument("--slow", type=int, default=100, help="readers that stop reading, in every second run")
    asked.add_argument("--events", type=int, default=100)
    asked.add_argument("--rate", type=float, default=5.0, help="events a second")
    asked.add_argument("--bytes", type=int, default=len(_TEXT), help="of one event")
    asked.add_argument("--processes", type=int, default=2, help="client processes")
    asked.add_argument("--rounds", type=int, default=2)
    given = asked.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    p95: dict[int, list[float]] = {0: [], given.slow: []}
    for _ in range(given.rounds):
        for slow in (0, given.slow):
            told = measure(given.connections, slow, given.events, given.rate, given.processes, given.bytes)
            print(json.dumps(told), flush=True)
            p95[slow].append(told["p95_ms"])
    if given.slow:
        plain, beside = (sorted(values)[len(values) // 2] for values in (p95[0], p95[given.slow]))
        print(f"event to client p95: {plain} ms without slow readers, {beside} ms beside {given.slow} of them: ratio {beside / plain:.2f}")


if __name__ == "__main__":
    main()
