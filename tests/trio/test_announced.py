"""The addresses that clients are told: literal ones, and names that are looked up."""

import socket
from collections.abc import Sequence

import attrs
import pytest
import trio
import trio.testing

from meet_trio.media.announced import DEADLINE, LIFETIME, PAUSE, AnnouncedAddresses

V4, V6 = socket.AF_INET, socket.AF_INET6


@attrs.define
class FakeDns(trio.abc.HostnameResolver):
    """``hosts`` maps names to addresses; a missing name is unknown. ``asked`` has every look-up."""

    hosts: dict[str, list[str]]
    asked: list[str] = attrs.field(factory=list)
    hangs: bool = False

    async def getaddrinfo(
        self, host: bytes | None, *args: object, **kwargs: object
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        assert host is not None
        name = host.decode()
        self.asked.append(name)
        if self.hangs:
            await trio.sleep_forever()
        if name not in self.hosts:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(V6 if ":" in a else V4, 2, 17, "", (a, 0)) for a in self.hosts[name]]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


@pytest.fixture
async def dns() -> FakeDns:
    dns = FakeDns({"meet.example": ["192.0.2.1", "2001:db8::1"]})
    trio.socket.set_custom_hostname_resolver(dns)
    return dns


def announced(*names: str, listening: Sequence[str] = ("0.0.0.0",)) -> AnnouncedAddresses:
    return AnnouncedAddresses(names, listening)


async def test_addresses_are_taken_as_they_are(dns: FakeDns) -> None:
    # The outer address of a NAT need not be of a family that is listened on.
    assert await announced("192.0.2.7", "2001:db8::7").current() == ("192.0.2.7", "2001:db8::7")
    assert dns.asked == []


async def test_known_ones_are_told_without_waiting(dns: FakeDns) -> None:
    names = announced("meet.example", "192.0.2.7")
    first = await names.current()
    with pytest.raises(StopIteration) as end:
        names.current().send(None)
    assert end.value.value == first


@pytest.mark.parametrize(
    ("listening", "wanted"),
    [
        (["10.0.0.1"], ("192.0.2.1",)),
        (["2001:db8::9"], ("2001:db8::1",)),
        (["::"], ("192.0.2.1", "2001:db8::1")),
        (["10.0.0.1", "2001:db8::9"], ("192.0.2.1", "2001:db8::1")),
    ],
)
async def test_a_name_gives_the_addresses_that_are_listened_on(
    dns: FakeDns, listening: list[str], wanted: tuple[str, ...]
) -> None:
    assert await announced("meet.example", listening=listening).current() == wanted


async def test_order_is_kept_and_nothing_is_said_twice(dns: FakeDns) -> None:
    names = announced("198.51.100.1", "meet.example", "192.0.2.1")
    assert await names.current() == ("198.51.100.1", "192.0.2.1")


async def test_a_name_is_looked_up_again_after_a_minute(
    dns: FakeDns, autojump_clock: trio.testing.MockClock
) -> None:
    names = announced("meet.example")
    for _ in range(3):
        await names.current()
    assert dns.asked == ["meet.example"]
    dns.hosts["meet.example"] = ["192.0.2.2"]
    await trio.sleep(LIFETIME - 1)
    assert await names.current() == ("192.0.2.1",)
    await trio.sleep(1)
    assert await names.current() == ("192.0.2.2",)


async def test_the_last_answer_holds_while_look_ups_fail(
    dns: FakeDns, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    names = announced("meet.example")
    assert await names.current() == ("192.0.2.1",)
    del dns.hosts["meet.example"]
    await trio.sleep(LIFETIME)
    assert await names.current() == ("192.0.2.1",)
    assert "meet.example cannot be looked up" in caplog.text
    dns.hosts["meet.example"] = ["192.0.2.2"]
    assert await names.current() == ("192.0.2.1",)
    await trio.sleep(PAUSE)
    assert await names.current() == ("192.0.2.2",)


@pytest.mark.parametrize("addresses", [None, ["2001:db8::1"]])
async def test_a_name_that_was_never_found_is_announced_itself(
    dns: FakeDns, addresses: list[str] | None
) -> None:
    if addresses is None:
        del dns.hosts["meet.example"]
    else:
        dns.hosts["meet.example"] = addresses  # of a family that is not listened on
    assert await announced("meet.example").current() == ("meet.example",)


async def test_a_resolver_that_hangs_holds_nobody_up_for_long(
    dns: FakeDns, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    dns.hangs = True
    names = announced("meet.example")
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(names.current)
    assert trio.current_time() - start == pytest.approx(DEADLINE)
    assert dns.asked == ["meet.example"]
    assert "no answer" in caplog.text


async def test_who_is_cancelled_while_looking_up_spoils_nothing(dns: FakeDns) -> None:
    dns.hangs = True
    names = announced("meet.example")
    with trio.move_on_after(0):
        await names.current()
    dns.hangs = False
    assert await names.current() == ("192.0.2.1",)
