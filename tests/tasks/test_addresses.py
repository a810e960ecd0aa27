"""The address judge: by IP (`forbidden`), by URL (`check_url`) and by name (`resolve`)."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from foundation.errors import Failure
from tasks.addresses import LONGEST_URL, check_url, forbidden, read_url, resolve


def _words(text: str) -> list[str]:
    return text.split()


FORBIDDEN_ADDRESSES = _words("""
    0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 100.100.100.200 127.0.0.1 127.255.255.254
    168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.0 172.31.255.255 192.0.0.1 192.0.0.8 192.0.0.9 192.0.0.170
    192.0.0.192 192.0.2.1 192.31.196.1 192.52.193.1 192.88.99.1 192.168.0.0 192.168.255.255 192.175.48.1 198.18.0.1
    198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::7f00:1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.88.99.1 ::ffff:0:127.0.0.1
    ::ffff:0:8.8.8.8 64:ff9b::7f00:1 64:ff9b::8.8.8.8 64:ff9b:1::1 64:ff9b:1:ffff::a00:1 100::1 100:0:0:1::1 2001::1
    2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:1::1 2001:2::1 2001:3::1 2001:4:112::1 2001:10::1 2001:20::1 2001:30::1
    2001:1ff:ffff::1 2001:db8::1 2002::1 2002:7f00:1::1 2002:808:808::1 2620:4f:8000::1 3ffe::1 3fff::1 3fff:fff::1 4000::1
    5f00::1 fc00::1 fd00:ec2::254 fd20:ce::254 fd00:42::42 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1 1::1 8000::1
""")

PUBLIC_ADDRESSES = _words("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255
    169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255
    ::ffff:8.8.8.8 2001:200::1 2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 2003::1 2400:cb00::1
""")

# Forms of a host that reach loopback, a private network or a metadata service with one reader or another.
HOSTILE_HOSTS = [*_words("""
    127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0X7F000001 0x7f.1 0x7f.0x0.0x0.0x1 017700000001 0177.0.0.1
    0177.0.0.0x1 127.0.0.1. 00000127.0.0.1 0 0.0.0.0 0x0 0x 999 4294967297 1.2.3.4.5 08.8.8.8 8.8.8.08 134744072 0x08080808
    10.0.0.1 10.1 172.16.0.1 192.168.1.1 192.168.257 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376 100.64.0.1
    100.100.100.200 168.63.129.16 192.88.99.1 198.18.0.1 224.0.0.1 255.255.255.255
    [::] [::1] [0:0:0:0:0:0:0:1] [::7f00:1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:a9fe:a9fe] [::ffff:0:127.0.0.1]
    [64:ff9b::7f00:1] [64:ff9b:1::a00:1] [2002:7f00:1::] [2001:0:1::1] [fe80::1] [fe80::1%25eth0] [fe80::1%eth0] [fc00::1]
    [fd00:ec2::254] [fec0::1] [ff02::1] [5f00::1] [3fff::1] [2001:db8::1] [100::1] [v1.fe80] [127.0.0.1] [8.8.8.8] [] ::1
    [::1]evil.com evil.com[::1] [::1].evil.com [[::1]]
    localhost LOCALHOST localhost. a.localhost localhost.localdomain ip6-localhost printer router.local db.internal
    metadata.google.internal nas.lan wiki.corp kubernetes.default.svc api.default.svc.cluster.local nas.home.arpa
    127%2e0.0.1 %31%32%37.0.0.1 a..b .a.b a.b. -a.b a-.b a,b.c a;b.c a$b.c a*b.c 127.0.0.1%00.evil.com
"""),
    "\u2460\u2461\u2466.0.0.1",  # circled digits
    "\uff11\uff12\uff17.0.0.1",  # full-width digits
    "127\u30020\u30020\u30021",  # ideographic full stops
    "\uff4cocalhost",  # a full-width l
    "loca\u00adlhost.com",  # a soft hyphen, dropped by name preparation
    "evil.com\u2044@127.0.0.1",  # a slash that is none
    "a" * 64 + ".com",
    ".".join(["a" * 60] * 5),
]  # fmt: skip

HOSTILE_URLS = {
    "a user name": "https://user@example.com/",
    "a user and password": "https://user:word@example.com/",
    "a user that looks like the host": "https://example.com@127.0.0.1/",
    "an empty user": "https://@example.com/",
    "a backslash before the at": "https://example.com\\@127.0.0.1/",
    "a backslash as slash": "https:\\\\example.com/",
    "a backslash in the path": "https://example.com/a\\b",
    "a line feed in the path": "https://example.com/\nHost: inner",
    "a carriage return in the host": "https://exam\rple.com/",
    "a tab in the host": "https://127.0\t.0.1/",
    "a zero byte": "https://example.com/\0",
    "a delete character": "https://example.com/\x7f",
    "a space": "https://example.com/a b",
    "a leading space": " https://example.com/",
    "a non-ASCII path": "https://example.com/\u00fc",
    "no host": "https:///path",
    "no host but a port": "https://:443/",
    "no slashes": "https:example.com",
    "no scheme": "example.com",
    "nothing": "",
    "http": "http://example.com/",
    "ftp": "ftp://example.com/",
    "file": "file:///etc/passwd",
    "gopher": "gopher://example.com/",
    "javascript": "javascript://example.com/%0a",
    "the ssh port": "https://example.com:22/",
    "the mail port": "https://example.com:25/",
    "the redis port": "https://example.com:6379/",
    "the http port": "https://example.com:80/",
    "port zero": "https://example.com:0/",
    "too high a port": "https://example.com:65979/",
    "a negative port": "https://example.com:-443/",
    "a signed port": "https://example.com:+443/",
    "two ports": "https://example.com:443:22/",
    "a word as port": "https://example.com:https/",
    "too long a URL": "https://example.com/" + "a" * LONGEST_URL,
}


def _reason(url: str, allow_private: bool = False) -> str:
    with pytest.raises(Failure) as caught:
        check_url(url, allow_private)
    assert caught.value.code == "WEBHOOK_URL_FORBIDDEN"
    assert set(caught.value.context) == {"reason"}
    return str(caught.value.context["reason"])


def _dns(*addresses: str) -> Any:
    def look_up(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        return [(None, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return look_up


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_no_address_outside_the_public_internet_may_be_called(address: str) -> None:
    assert forbidden(address)
    assert forbidden(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_up_to_the_edges_of_the_forbidden_networks_may_be_called(address: str) -> None:
    assert forbidden(address) is None


@pytest.mark.parametrize("text", ["", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "example.com", "[::1]", "8.8.8.8 "])
def test_what_is_not_plainly_an_address_may_not_be_called(text: str) -> None:
    assert forbidden(text) == "not an IP address"


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "172.20.0.3", "192.168.1.5", "100.64.0.1", "::1", "fd12::1", "::ffff:10.0.0.1"]
)
def test_allow_private_admits_private_and_loopback_addresses(address: str) -> None:
    assert forbidden(address, allow_private=True) is None


@pytest.mark.parametrize(
    "address",
    _words("""169.254.169.254 100.100.100.200 fd00:ec2::254 0.0.0.0 224.0.0.1 fe80::1
    ::7f00:1 64:ff9b::7f00:1 2002:7f00:1:: ::ffff:169.254.169.254"""),
)
def test_allow_private_still_keeps_metadata_services_and_disguises_out(address: str) -> None:
    assert forbidden(address, allow_private=True)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_the_judge_is_never_milder_than_python(address: IPv4Address | IPv6Address) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    if not (mapped or address).is_global:
        assert forbidden(address)


@pytest.mark.parametrize("host", HOSTILE_HOSTS)
def test_no_spelling_of_an_inner_host_is_taken_at_submit(host: str) -> None:
    _reason(f"https://{host}/hook")


@pytest.mark.parametrize("url", HOSTILE_URLS.values(), ids=HOSTILE_URLS.keys())
def test_no_malformed_or_smuggling_url_is_taken_at_submit(url: str) -> None:
    _reason(url)


@given(
    st.sampled_from(["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1"]),
    st.sampled_from(["{}", "0x{:x}", "0{:o}"]),
    st.integers(1, 4),
)
def test_no_number_form_of_an_inner_address_is_taken(address: str, form: str, labels: int) -> None:
    number = int(IPv4Address(address))
    heads = [form.format(number >> (24 - 8 * place) & 255) for place in range(labels - 1)]
    host = ".".join([*heads, form.format(number & ((1 << 8 * (5 - labels)) - 1))])
    assert socket.inet_aton(host) == IPv4Address(address).packed, "the test writes a form that C libraries read as the address"
    _reason(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    _words("""https://example.com https://example.com/ HTTPS://EXAMPLE.com/Hook?a=1&b=2 https://example.com:443/ https://example.com:8443/x
    https://example.com:/ https://xn--mnchen-3ya.de/ https://a-b.c_d.example.org/#part https://8.8.8.8/ https://[2606:4700::1111]:8443/
    https://1e100.net https://0xcafe.io https://127.0.0.1.example.com/ https://notlocalhost.com https://example.com?x=@y"""),
)
def test_honest_callbacks_are_taken(url: str) -> None:
    check_url(url, allow_private=False)


@pytest.mark.parametrize(
    "url",
    _words("http://127.0.0.1:9000/ http://localhost:5000/hook https://receiver:22/ http://[::1]:8080/ http://nas.lan http://192.168.1.2/"),
)
def test_allow_private_takes_http_inner_names_and_any_port_and_nothing_else_does(url: str) -> None:
    check_url(url, allow_private=True)
    _reason(url, allow_private=False)


@pytest.mark.parametrize(
    "url", _words("http://169.254.169.254/ http://2130706433/ http://u@localhost/ http://localhost:0/ http://[::7f00:1]/ ftp://localhost/")
)
def test_allow_private_does_not_take_metadata_odd_spellings_or_user_names(url: str) -> None:
    _reason(url, allow_private=True)


@given(st.one_of(st.text(), st.text(alphabet="htps:/@[]0x127.%\\#?al\n").map(lambda tail: f"https://{tail}")), st.booleans())
@example("https://[", False)
@example("https://\ud800", True)
@settings(max_examples=300)
def test_any_text_is_either_taken_or_refused_with_a_reason(url: str, allow_private: bool) -> None:
    reason = ""
    try:
        check_url(url, allow_private)
    except Failure as failure:
        reason = str(failure.context["reason"])
    assert reason.isprintable()


def test_a_url_is_taken_apart_for_the_sender() -> None:
    plain, six = read_url("https://Example.com?x=1#part", False), read_url("http://[::1]:8080/a/b?c", True)
    assert (plain.secure, plain.host, plain.port, plain.target, plain.authority) == (True, "example.com", 443, "/?x=1", "example.com")
    assert (six.secure, six.host, six.port, six.target, six.authority) == (False, "::1", 8080, "/a/b?c", "[::1]:8080")


def test_resolve_gives_each_judged_address_once_and_unwrapped() -> None:
    found = resolve("example.com", 443, False, _dns("93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "93.184.216.34"))
    assert found == [IPv4Address("93.184.216.34"), IPv6Address("2606:4700::1111"), IPv4Address("8.8.8.8")]


@pytest.mark.parametrize("inner", ["127.0.0.1", "::1", "10.0.0.5", "169.254.169.254", "fe80::1%eth0", "64:ff9b::a00:5", "::ffff:10.0.0.5"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_forbidden_address_among_good_ones_refuses_the_name_and_is_not_told(inner: str, place: int) -> None:
    answers = ["93.184.216.34", "2606:4700::1111"]
    answers.insert(place, inner)
    with pytest.raises(Failure) as caught:
        resolve("example.com", 443, False, _dns(*answers))
    assert caught.value.code == "WEBHOOK_URL_FORBIDDEN"
    assert inner not in caught.value.context["reason"]


def test_a_failed_look_up_is_told_as_what_it_is() -> None:
    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    with pytest.raises(socket.gaierror):
        resolve("nowhere.example.com", 443, False, look_up)
