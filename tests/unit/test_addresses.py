"""The client's address of a request, and how addresses are counted."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meet_trio.edge.addresses import (
    AddressRates,
    ForwardedHeader,
    Proxies,
    address_key,
)
from meet_trio.edge.head import RequestHead, parse_head_untrusted
from meet_trio.rates import Rate

NETWORKS = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "fd00::/8", "127.0.0.1")))


def head(**headers: str) -> RequestHead:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("GET", "/", "", named)


@pytest.mark.parametrize(
    ("peer", "value", "client"),
    [
        ("10.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "192.0.2.1:4711", "192.0.2.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1"),
        # The last address that is not a trusted proxy's; earlier ones may be written by the client.
        ("10.0.0.1", "198.51.100.1, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.1", "198.51.100.1, 192.0.2.1,10.0.0.2 , fd00::1", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.9, 10.0.0.2", "10.0.0.9"),
        # no trusted address
        ("192.0.2.9", "192.0.2.1", "192.0.2.9"),
        ("10.0.0.1", "192.0.2.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("", "192.0.2.1", ""),
    ],
)
def test_x_forwarded_for(peer: str, value: str, client: str) -> None:
    assert Proxies(NETWORKS).client(peer, head(x_forwarded_for=value)) == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ('for="[2001:db8::1]:4711";proto=https', "2001:db8::1"),
        ("For=198.51.100.1, by=10.0.0.1; for=192.0.2.1;proto=http, for=10.0.0.3", "192.0.2.1"),
        ("for=_hidden", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_forwarded(value: str, client: str) -> None:
    proxies = Proxies(NETWORKS, "forwarded")
    assert proxies.client("10.0.0.1", head(forwarded=value)) == client


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
def test_only_the_header_of_the_settings_counts(header: ForwardedHeader) -> None:
    both = head(x_forwarded_for="192.0.2.1", forwarded="for=192.0.2.2")
    wanted = "192.0.2.1" if header == "x-forwarded-for" else "192.0.2.2"
    assert Proxies(NETWORKS, header).client("10.0.0.1", both) == wanted


def test_without_proxies_nobody_is_believed() -> None:
    assert Proxies().client("127.0.0.1", head(x_forwarded_for="192.0.2.1")) == "127.0.0.1"


def test_repeated_fields_are_one_list() -> None:
    parsed = parse_head_untrusted(
        b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\n\r\n"
    )
    assert parsed is not None
    assert Proxies(NETWORKS).client("10.0.0.1", parsed) == "192.0.2.2"


@given(st.text(max_size=60), st.sampled_from(["x-forwarded-for", "forwarded"]))
def test_any_header_gives_an_address(value: str, header: ForwardedHeader) -> None:
    client = Proxies(NETWORKS, header).client("10.0.0.1", RequestHead("", "", "", {header: value}))
    ipaddress.ip_address(client)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str, key: str) -> None:
    assert address_key(address) == key


def test_rates_are_for_each_address_and_bounded() -> None:
    rates = AddressRates(Rate(per_second=1, burst=1), most=2)
    assert rates.take("a", 0.0) == 0
    assert rates.take("a", 0.0) == 2.0
    assert rates.take("b", 0.0) == 0
    assert rates.take("a", 0.0) > 0
    assert rates.take("c", 0.0) == 0  # b, the least recently seen, is forgotten
    assert len(rates) == 2
    assert rates.take("a", 0.0) > 0
    rates.give_back("c")
    rates.give_back("d")
    assert rates.take("c", 0.0) == 0
