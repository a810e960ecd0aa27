"""The way to a receiver: one look-up, every address judged, and a socket to one of the judged addresses and nowhere else."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from foundation.errors import Failure
from foundation.resilience.protection import protect
from tasks.addresses import Address, Callback, LookUp, resolve

MOST_ADDRESSES = 4


def dial(address: Address, port: int, seconds: float) -> socket.socket:
    """A TCP connection to exactly this address. No name is involved, so none is looked up."""
    line = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        line.settimeout(seconds)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.connect((str(address), port))
    except OSError:
        line.close()
        raise
    return line


def is_own(address: Address) -> bool:
    """Whether the address belongs to this machine, public ones included. Connecting UDP sends nothing; it only picks a route."""
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return str(probe.getsockname()[0]) == str(address)
    except OSError:
        return False  # no route leads there: dialling it will say so in its own words


@lru_cache(maxsize=1)
def public_tls() -> ssl.SSLContext:
    """Reading the machine's certificates takes some 20 ms, so it is done once in a process."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@dataclass(frozen=True, slots=True)
class Wire:
    """What `send` touches of the world outside; tests replace it."""

    look_up: LookUp = socket.getaddrinfo
    dial: Callable[[Address, int, float], socket.socket] = dial
    is_own: Callable[[Address], bool] = is_own
    tls: Callable[[], ssl.SSLContext] = public_tls


OPEN = Wire()


def connected(callback: Callback, allow_private: bool, wire: Wire, left: Callable[[], float]) -> socket.socket:
    """A socket to the receiver of `callback`, by TLS if it is secure. `left` tells the seconds left, or raises TimeoutError."""
    addresses = resolve(callback.host, callback.port, allow_private, partial(_look_up_in_time, wire.look_up, left))
    if not allow_private and any(wire.is_own(address) for address in addresses):
        raise Failure("WEBHOOK_URL_FORBIDDEN", {"reason": "its host leads to this machine itself"})
    line = _first_that_answers(addresses[:MOST_ADDRESSES], callback.port, wire, left)
    if not callback.secure:
        return line
    try:
        line.settimeout(left())  # Python counts it over the whole handshake
        return wire.tls().wrap_socket(line, server_hostname=callback.host)
    except OSError:
        line.close()
        raise


def _look_up_in_time(look_up: LookUp, left: Callable[[], float], *words: Any, **more: Any) -> Iterable[tuple[Any, ...]]:
    """getaddrinfo knows no timeout. Past the deadline its thread is left behind to end when the resolver gives up."""
    return protect("names").within(left(), look_up, *words, **more)


def _first_that_answers(addresses: list[Address], port: int, wire: Wire, left: Callable[[], float]) -> socket.socket:
    """Each address gets an even share of the time, so that a dead first one leaves some for the others."""
    last = OSError("its name has no address")
    for place, address in enumerate(addresses):
        try:
            return wire.dial(address, port, left() / (len(addresses) - place))
        except OSError as error:
            last = error
    raise last
