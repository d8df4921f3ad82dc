"""The address that a server finds for its media by itself, on machines with other networks."""

import subprocess
import sys

import pytest
from support.namespace import open_machine

ASK = "from meet_trio.config.load import address_of_default_route as ask; print(ask())"
IPV4, IPV6 = "198.51.100.7", "2001:db8:5::7"


@pytest.mark.parametrize(
    ("addresses", "found"),
    [
        ((f"{IPV4}/24",), IPV4),
        ((f"{IPV4}/24", f"{IPV6}/64"), IPV4),
        ((f"{IPV6}/64",), IPV6),
        (("fe80::7/64",), "127.0.0.1"),
        ((), "127.0.0.1"),
    ],
    ids=["ipv4", "both", "ipv6", "link-local", "no network"],
)
def test_the_address_of_the_default_route(addresses: tuple[str, ...], found: str) -> None:
    with open_machine(*addresses) as machine:
        asked = machine.command(sys.executable, "-c", ASK)
        answer = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    assert answer.strip() == found
