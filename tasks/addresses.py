"""Which addresses a callback may go to: judged once when a job is submitted (by its words) and again at each try (by its IP).

The API calls `check_url`, which never asks the DNS: a name says nothing lasting about where it leads. The sender calls
`resolve` and then dials one of the addresses it returned and no other, so that a name that changes its mind in between
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NoReturn

from foundation.errors import Failure

Address = IPv4Address | IPv6Address
LookUp = Callable[..., Iterable[tuple[Any, ...]]]

LONGEST_URL = 2048
# Without allow_private only https is spoken, so 80 and 8080 have no use; all other ports belong to services of other kinds.
PUBLIC_PORTS = frozenset({443, 8443})

_PRIVATE, _LOOPBACK, _SHARED = "a private address", "a loopback address", "a shared (carrier NAT) address"
_ADMITTED_WHEN_PRIVATE = frozenset({_PRIVATE, _LOOPBACK, _SHARED})
_TUNNEL = "an IPv6 address that hides an IPv4 one"
_DOCUMENTATION = "an address of documentation examples"
_METADATA = "an address of a cloud's metadata service"
_PROTOCOL = "an address set aside for protocols"
_RESERVED = "a reserved address"

# Written out, because the tables behind `is_global` differ between Python releases, and none of them refuses multicast or
# the IPv6 forms that carry an IPv4 address. The first row that holds an address decides: narrow rows stand before wide ones.
_REASONS = tuple(
    (ip_network(network), reason)
    for reason, networks in (
        (_METADATA, "168.63.129.16/32 169.254.169.254/32 169.254.170.2/32 100.100.100.200/32 192.0.0.192/32"),
        (_METADATA, "fd00:ec2::/32 fd20:ce::254/128 fd00:42::42/128"),
        ("the unspecified address", "0.0.0.0/8 ::/128"),
        (_LOOPBACK, "127.0.0.0/8 ::1/128"),
        (_PRIVATE, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7"),
        (_SHARED, "100.64.0.0/10"),
        ("a link-local address", "169.254.0.0/16 fe80::/10"),
        ("a multicast address", "224.0.0.0/4 ff00::/8"),
        (_DOCUMENTATION, "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20"),
        ("an address of benchmarks", "198.18.0.0/15 2001:2::/48"),
        (_TUNNEL, "::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 2001::/32 2002::/16"),
        (_PROTOCOL, "192.0.0.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.175.48.0/24"),
        (_PROTOCOL, "2001::/23 2620:4f:8000::/48 5f00::/16"),
        (_RESERVED, "240.0.0.0/4 100::/64 3ffe::/16 fec0::/10"),
    )
    for network in networks.split()
)
# Of IPv6 only this eighth was ever given out to the public; what is outside is refused without a name of its own.
_PUBLIC_IPV6 = IPv6Network("2000::/3")

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_AUTHORITY = re.compile(r"(?:\[(?P<six>[0-9a-f:.]+)\]|(?P<name>[^\[\]:]+))(?::(?P<port>[0-9]{1,5})?)?")
# What browsers and C libraries read as an IPv4 address in an odd spelling ends in one of these.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INNER_DOMAINS = (
    "localhost", "local", "localdomain", "internal", "intranet", "lan", "home", "corp", "private", "svc", "home.arpa",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback URL, taken apart and found good. `host` is lower case and without brackets."""

    secure: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


def forbidden(address: str | Address, allow_private: bool = False) -> str | None:
    """Why this IP address may not be called, or None. What cannot be read as an address may not be called either."""
    try:
        judged = _unwrapped(ip_address(address))
    except ValueError:
        return "not an IP address"
    for network, reason in _REASONS:
        if judged in network:
            return None if allow_private and reason in _ADMITTED_WHEN_PRIVATE else reason
    if isinstance(judged, IPv6Address) and judged not in _PUBLIC_IPV6:
        return _RESERVED
    return None


def check_url(url: str, allow_private: bool) -> None:
    """Raise `Failure` WEBHOOK_URL_FORBIDDEN unless a callback to this URL can be good. Asks nobody."""
    read_url(url, allow_private)


def read_url(url: str, allow_private: bool) -> Callback:
    """`check_url`, and the parts of the URL. Its own reader: `urlsplit` repairs bad URLs, differently in each release."""
    if len(url) > LONGEST_URL:
        _refuse(f"it is longer than {LONGEST_URL} characters")
    if not all("!" <= letter <= "~" for letter in url) or "\\" in url:
        _refuse("it holds spaces, control characters, backslashes or letters beyond ASCII (write such names in their xn-- form)")
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in ("https", "http"):
        _refuse("it does not start with https://")
    if scheme == "http" and not allow_private:
        _refuse("it is not https")
    end = re.search(r"[/?#]", rest)
    authority, target = (rest[: end.start()], rest[end.start() :].partition("#")[0]) if end else (rest, "")
    if "@" in authority:
        _refuse("it holds a user name or password")
    parts = _AUTHORITY.fullmatch(authority.lower())
    if parts is None:
        _refuse("its host or port is missing or not well formed")
    port = int(parts["port"] or (443 if scheme == "https" else 80))
    if not 1 <= port <= 65535 or (port not in PUBLIC_PORTS and not allow_private):
        _refuse(f"its port is not one of {', '.join(map(str, sorted(PUBLIC_PORTS)))}")
    host = parts["six"] or parts["name"]
    if parts["six"]:
        reason = _literal_reason(IPv6Address, host, allow_private)
    elif _is_numeric(host):
        reason = _literal_reason(IPv4Address, host, allow_private)
    else:
        reason = _name_reason(host, allow_private)
    if reason:
        _refuse(reason)
    return Callback(scheme == "https", host, port, target if target.startswith("/") else f"/{target}")


def resolve(host: str, port: int, allow_private: bool, look_up: LookUp = socket.getaddrinfo) -> list[Address]:
    """Every address of `host`, from one look-up. One forbidden address refuses all: an honest name has no such company.

    The reason names the kind of address, not the address: what inner names resolve to is nobody's business outside.
    `OSError` of the look-up goes through.
    """
    found: dict[Address, None] = {}
    for *_, end_point in look_up(host, port, type=socket.SOCK_STREAM):
        reason = forbidden(end_point[0], allow_private)
        if reason:
            _refuse(f"its host leads to {reason}")
        found[_unwrapped(ip_address(end_point[0]))] = None
    return list(found)


def _unwrapped(address: Address) -> Address:
    """::ffff:a.b.c.d reaches a.b.c.d, so it is judged and dialled as that."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _is_numeric(host: str) -> bool:
    labels = host.removesuffix(".").split(".")
    return _NUMERIC_LABEL.fullmatch(labels[-1]) is not None


def _literal_reason(read: Callable[[str], Address], host: str, allow_private: bool) -> str | None:
    """127.1, 0x7f000001 or 010.8.8.8 mean different addresses to different readers; only the plain spelling is taken."""
    try:
        reason = forbidden(read(host), allow_private)
    except ValueError:
        return "its host is an IP address that is not written plainly, such as 93.184.216.34 or [2606:4700::1111]"
    return f"its host is {reason}" if reason else None


def _name_reason(host: str, allow_private: bool) -> str | None:
    if len(host) > 253 or not _NAME.fullmatch(host):
        return "its host is not a well-formed name"
    if allow_private:
        return None
    if "." not in host or any(host == inner or host.endswith(f".{inner}") for inner in _INNER_DOMAINS):
        return "its host is a name of inner networks"
    return None


def _refuse(reason: str) -> NoReturn:
    raise Failure("WEBHOOK_URL_FORBIDDEN", {"reason": reason})
