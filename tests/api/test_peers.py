"""From where somebody asks: what a stranger writes into a header is not believed."""

from __future__ import annotations

import pytest

from api.peers import origin
from foundation.errors import Failure
from foundation.settings import ApiSettings, Settings


def asked(peer: str, forwarded: list[str], trusted: str) -> str:
    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    return origin({"client": (peer, 1234), "headers": headers}, ApiSettings(trusted_proxies=trusted).proxies())


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "found"),
    [
        ("9.9.9.9", ["1.1.1.1"], "", "9.9.9.9"),
        ("127.0.0.1", ["1.1.1.1"], "", "127.0.0.1"),
        ("9.9.9.9", ["1.1.1.1"], "10.0.0.0/8", "9.9.9.9"),
        ("10.0.0.1", ["1.1.1.1"], "10.0.0.0/8", "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1"], "10.0.0.0/8", "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1"], "10.0.0.0/8", "1.1.1.1"),
        ("10.0.0.1", ["1.1.1.1, 10.0.0.2"], "10.0.0.0/8, 192.168.0.1", "1.1.1.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.0/8", "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.0/8", "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, \xff\x00"], "10.0.0.0/8", "10.0.0.1"),
        ("::ffff:10.0.0.1", ["2001:db8::1"], "10.0.0.0/8", "2001:db8::1"),
        ("fd00::1", ["2001:db8::1"], "fd00::/8", "2001:db8::1"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_asks(peer: str, forwarded: list[str], trusted: str, found: str) -> None:
    assert asked(peer, forwarded, trusted) == found


def test_a_proxy_that_is_no_address_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADMILL_API_TRUSTED_PROXIES", "10.0.0.0/8, proxy.example")
    with pytest.raises(Failure, match="CONFIG_INVALID"):
        Settings.load()
