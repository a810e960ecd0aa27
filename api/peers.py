"""From where a request comes: the peer itself, unless it is a proxy that was named (CADMILL_API_TRUSTED_PROXIES)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def origin(scope: Scope, proxies: Sequence[Network]) -> str:
    """The address of whoever asks. Each proxy adds its own peer at the end of X-Forwarded-For, so it is read from the end: the first
    address that is no proxy of ours is the one, and whatever stands before it anybody may have written."""
    peer = str((scope.get("client") or ("",))[0])
    if not proxies or not _is_proxy(peer, proxies):
        return peer
    told = b",".join(value for name, value in scope["headers"] if name == b"x-forwarded-for")
    for hop in reversed(told.decode("latin-1").split(",")):
        address = hop.strip()
        if not _valid(address):
            return peer
        if not _is_proxy(address, proxies):
            return address
        peer = address
    return peer


def _valid(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _is_proxy(address: str, proxies: Sequence[Network]) -> bool:
    if not _valid(address):
        return False
    known = ipaddress.ip_address(address)
    plain = getattr(known, "ipv4_mapped", None) or known  # a socket for both families tells an IPv4 peer as ::ffff:1.2.3.4
    return any(plain in network for network in proxies)
