"""`python -m api.grpc`: the process that answers gRPC, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import signal
import sys

from api.house import Caretaker, House, build
from foundation import metrics, telemetry
from foundation.errors import Failure
from foundation.settings import settings
from foundation.telemetry import logger


async def _serve(house: House) -> None:
    from api.grpc.server import Server

    told, hurry = asyncio.Event(), asyncio.Event()

    def tell() -> None:
        (hurry if told.is_set() else told).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, tell)
    server = Server(house)
    port = await server.start()
    logger.info("gRPC answers at %s:%s", house.settings.grpc.host, port)
    await told.wait()
    await server.stop(hurry)


def main() -> None:
    """Raises CONFIG_INVALID, PORT_TAKEN, DATABASE_UNAVAILABLE."""
    here = settings()
    if not here.grpc.port:
        raise Failure("CONFIG_INVALID", {"settings": {"CADMILL_GRPC_PORT": "is 0: there is no port to answer at"}})
    telemetry.start_logging(here.process.log_level)
    telemetry.attach(telemetry.log)
    telemetry.attach(metrics.count)
    house = build(here, operator=False)
    caretaker = Caretaker(house)
    caretaker.start()
    try:
        asyncio.run(_serve(house))
    finally:
        caretaker.stop()
    house.close()


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"{failure.code}: {failure.message} {failure.context} {failure.row.remedy}")
