"""Whatever a tenant writes as an address and whatever its name server answers, not one packet reaches an inner host.

Canaries listen on addresses of this machine and count what they are offered; `Wire.dial` counts what the sender would have dialled.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing
from ipaddress import ip_address
from typing import Any

import pytest

from foundation.clock import SYSTEM
from foundation.settings import WebhookSettings
from tasks.addresses import Address, forbidden
from tests.tasks.test_addresses import FORBIDDEN_ADDRESSES, HOSTILE_HOSTS, HOSTILE_URLS
from workers.webhooks.address import Wire, dial, is_own
from workers.webhooks.send import Attempt, send

PUBLIC = WebhookSettings(timeout_seconds=5.0)
_A, _AAAA = 1, 28


def _own_addresses() -> list[str]:
    """Addresses by which this machine can be reached: two loopbacks, and the one that the route to the outside starts from."""
    found = ["127.0.0.1", "127.0.0.2"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            found.append(str(probe.getsockname()[0]))
        except OSError:
            pass  # no route leads out of here
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as six:
        try:
            six.bind(("::1", 0))
            found.append("::1")
        except OSError:
            pass  # no IPv6 here
    return list(dict.fromkeys(found))


class Canaries:
    """A listener on each own address, all on one port; `hits` counts connections that were ever offered."""

    def __init__(self) -> None:
        self.hits, self.port = 0, 0
        self._servers: list[socket.socket] = []
        for address in _own_addresses():
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            self._servers.append(socket.create_server((address, self.port), family=family))
            self.port = self.port or int(self._servers[0].getsockname()[1])
        for server in self._servers:
            threading.Thread(target=self._listen, args=(server,), daemon=True).start()

    def _listen(self, server: socket.socket) -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return  # the test is over
            self.hits += 1
            line.close()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown(socket.SHUT_RDWR)
            server.close()


class NameServer:
    """A DNS server on a loopback UDP port. Each look-up of a name takes the next of its answers; TTL 0."""

    def __init__(self) -> None:
        self.answers: list[list[str]] = []
        self.asked: list[str] = []
        self._line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._line.bind(("127.0.0.1", 0))
        self.port = int(self._line.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            question, peer = self._line.recvfrom(2048)
            if question == b"end":
                return
            end, labels = 12, []
            while question[end]:
                labels.append(question[end + 1 : end + 1 + question[end]].decode())
                end += 1 + question[end]
            (kind,) = struct.unpack_from(">H", question, end + 1)
            if kind == _A:
                self.asked.append(".".join(labels))
            turn = self.answers[(len(self.asked) - 1) % len(self.answers)]
            found = [ip_address(one) for one in turn if (":" in one) is (kind == _AAAA)]
            head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0) + question[12 : end + 5]
            records = [b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(one.packed)) + one.packed for one in found]
            self._line.sendto(head + b"".join(records), peer)

    def look_up(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        """`getaddrinfo` as it would be if this were the machine's name server: A, then AAAA; nothing is remembered."""
        found: list[tuple[Any, ...]] = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.settimeout(5)
            name = b"".join(bytes([len(label)]) + label.encode() for label in host.split(".")) + b"\0"
            for kind, size in ((_A, 4), (_AAAA, 16)):
                line.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + struct.pack(">HH", kind, 1), ("127.0.0.1", self.port))
                answer = line.recv(2048)
                at = 12 + len(name) + 4
                for _record in range(struct.unpack_from(">H", answer, 6)[0]):
                    found.append((None, socket.SOCK_STREAM, 6, "", (str(ip_address(answer[at + 12 : at + 12 + size])), port)))
                    at += 12 + size
        return found

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.sendto(b"end", ("127.0.0.1", self.port))
        self._line.close()


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    with closing(Canaries()) as found:
        yield found


@pytest.fixture
def name_server() -> Iterator[NameServer]:
    with closing(NameServer()) as server:
        yield server


class Dialled:
    """Counts what would be dialled. A public address is sent nowhere; any other would really be dialled, so that a canary sees it."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    def __call__(self, address: Address, port: int, seconds: float) -> socket.socket:
        self.addresses.append(str(address))
        if address.is_global:
            raise ConnectionRefusedError
        return dial(address, port, seconds)


def _try(url: str, wire: Wire) -> Attempt:
    return send(url, "{}", {}, PUBLIC, SYSTEM, wire)


def test_no_spelling_of_an_inner_address_sends_a_packet(canaries: Canaries) -> None:
    dialled = Dialled()
    literal = [f"[{address}]" if ":" in address else address for address in FORBIDDEN_ADDRESSES]
    urls = [f"https://{host}:{port}/" for host in [*HOSTILE_HOSTS, *literal] for port in (443, 8443)]
    urls += [f"{scheme}://{host}:{canaries.port}/" for host in HOSTILE_HOSTS for scheme in ("https", "http")]
    urls += [*HOSTILE_URLS.values(), f"https://127.0.0.1:{canaries.port}/"]
    asked: list[str] = []

    def look_up(host: str, *words: object, **more: object) -> list[tuple[Any, ...]]:
        asked.append(host)
        return []

    codes = {_try(url, Wire(look_up=look_up, dial=dialled)).error_code for url in urls}
    assert (codes, dialled.addresses, asked, canaries.hits) == ({"WEBHOOK_URL_FORBIDDEN"}, [], [], 0)
    assert len(urls) > 500


@pytest.mark.parametrize("port", [22, 25, 80, 6379])
def test_ports_of_other_services_are_refused_before_a_name_is_looked_up(port: int) -> None:
    def look_up(*words: object, **more: object) -> list[tuple[Any, ...]]:
        raise AssertionError("nobody had to be asked")

    assert _try(f"https://hooks.example.com:{port}/", Wire(look_up=look_up)).error_code == "WEBHOOK_URL_FORBIDDEN"


def test_no_inner_address_behind_a_public_name_sends_a_packet(canaries: Canaries, name_server: NameServer) -> None:
    """Each forbidden address, alone and among good ones, in A and AAAA sets of a real name server."""
    wire = Wire(look_up=name_server.look_up, dial=(dialled := Dialled()))
    inner = [address.partition("%")[0] for address in [*FORBIDDEN_ADDRESSES, *_own_addresses()]]
    for address in inner:
        for answer in ([address], ["93.184.216.34", address], [address, "2606:4700::1111"], ["93.184.216.34", "2606:4700::1111", address]):
            name_server.answers = [answer]
            assert _try("https://hooks.example.com:8443/", wire).error_code == "WEBHOOK_URL_FORBIDDEN", answer
    assert (dialled.addresses, canaries.hits) == ([], 0)


def test_a_name_that_changes_its_mind_reaches_nothing_inside_in_a_thousand_tries(canaries: Canaries, name_server: NameServer) -> None:
    """Rebinding with TTL 0: public when it is judged, inner ever after; in both orders, and in mixed A and AAAA sets."""
    good, six = "93.184.216.34", "2606:4700::1111"
    name_server.answers = [[good], ["127.0.0.1"], [good, six], [good, "::1"], [six], ["::ffff:127.0.0.1", six]]
    dialled = Dialled()
    wire = Wire(look_up=name_server.look_up, dial=dialled, is_own=lambda _: False)
    codes = [_try("https://rebind.example.com/", wire).error_code for _ in range(1000)]
    assert len(name_server.asked) == 1000, "one look-up a try"
    assert set(dialled.addresses) == {good, six}
    assert codes.count("RECEIVER_UNREACHABLE") == 500, "what was public was dialled, and refused by this test"
    assert codes.count("WEBHOOK_URL_FORBIDDEN") == 500, "what was not, was not"
    assert canaries.hits == 0


def test_every_own_address_is_known_as_own() -> None:
    assert all(is_own(ip_address(address)) or ip_address(address).is_loopback for address in _own_addresses())


def test_the_canaries_would_have_sung(canaries: Canaries) -> None:
    """Last: with private addresses admitted the same sender reaches them, so silence above means something."""
    before = canaries.hits
    open_house = WebhookSettings(allow_private=True, timeout_seconds=5.0)
    for address in _own_addresses():
        host = f"[{address}]" if ":" in address else address
        send(f"http://{host}:{canaries.port}/", "{}", {}, open_house, SYSTEM)
    admitted = [address for address in _own_addresses() if forbidden(address, allow_private=True) is None]
    assert canaries.hits == before + len(admitted) >= before + 2
