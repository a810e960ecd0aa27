"""The server of the gRPC door: its limits, TLS, health, reflection, and how it stops."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from api.grpc.call import apart
from api.grpc.certificates import Certificates
from api.grpc.door import SERVICE, Door
from api.house import House
from api.live.hub import Hub
from foundation.errors import Failure
from foundation.settings import GrpcSettings
from foundation.telemetry import logger
from ledger import job_views

_LOOK_SECONDS = 2.0
_UP, _DOWN = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def options(limits: GrpcSettings) -> list[tuple[str, Any]]:
    """What grpc is told of our limits. A client that goes beyond them is answered RESOURCE_EXHAUSTED, or loses its connection."""
    return [
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_metadata_size", limits.max_metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.max_metadata_bytes),
        ("grpc.max_concurrent_streams", limits.max_streams),
        ("grpc.server_handshake_timeout_ms", 10_000),
        ("grpc.max_connection_idle_ms", 300_000),
        # a peer that is gone without a word is found within a minute and a half, and its calls end
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # clients may ping each 20 s while they wait in a call; more, or without one, is abuse: GOAWAY
        ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.so_reuseport", 0),  # two servers on one port would share its calls silently
    ]


class Server:
    """Use once: `start`, then `stop`. asyncio carries the streams, threads do what blocks."""

    def __init__(self, house: House) -> None:
        limits = house.settings.grpc
        self._house = house
        self._hub = Hub(house)
        self._door = Door(house, self._hub)
        self._server = grpc.aio.server(options=options(limits), maximum_concurrent_rpcs=limits.max_calls)
        self._server.add_generic_rpc_handlers((self._door.handlers(),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if not house.settings.process.production:
            names = (SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen; answers the port. Raises CONFIG_INVALID, PORT_TAKEN."""
        limits = self._house.settings.grpc
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(self._house.settings.api.threads, "call"))
        certificates = Certificates.of(limits)
        if certificates is None and not limits.plain and not _this_machine_only(limits.host):
            told = f"is {limits.host}, where others can listen in: set CADMILL_GRPC_CERTIFICATE and CADMILL_GRPC_PRIVATE_KEY, "
            raise _unusable("CADMILL_GRPC_HOST", told + "or CADMILL_GRPC_PLAIN=1 behind something that speaks TLS")
        address = f"[{limits.host}]:{limits.port}" if ":" in limits.host else f"{limits.host}:{limits.port}"
        try:
            if certificates is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, certificates.credentials())
        except RuntimeError as error:
            raise Failure("PORT_TAKEN", {"address": address}) from error
        await self._look()
        await self._hub.start()
        await self._server.start()
        self._looking = asyncio.create_task(self._keep_looking())
        return int(port)

    async def stop(self, hurry: asyncio.Event | None = None) -> None:
        """Take no new calls, let those in hand go on for the grace time or until `hurry`, then end them. Accepted jobs go on."""
        if self._looking is not None:
            self._looking.cancel()
        await self._health.enter_graceful_shutdown()
        ending = asyncio.ensure_future(self._server.stop(self._house.settings.grpc.grace_seconds + 2.0))
        hurried = asyncio.ensure_future((hurry or asyncio.Event()).wait())
        await asyncio.wait([ending, hurried], timeout=self._house.settings.grpc.grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        self._door.end_all()
        await ending
        await self._hub.stop()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        """Serving means that jobs can be accepted, which takes the database alone."""
        status = await apart(self._serving)
        for name in ("", SERVICE.full_name):
            await self._health.set(name, status)

    def _serving(self) -> int:
        try:
            with self._house.ledger.read() as tx:
                job_views.alive(tx)
        except Failure as failure:
            logger.warning("cannot accept jobs: %s", failure)
            return int(_DOWN)
        return int(_UP)


def _this_machine_only(host: str) -> bool:
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except socket.gaierror as error:
        raise _unusable("CADMILL_GRPC_HOST", f"is not an address of this machine: {error}") from error
    return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)


def _unusable(setting: str, sentence: str) -> Failure:
    return Failure("CONFIG_INVALID", {"settings": {setting: sentence}})
