"""The announced addresses: clients send media to them.

An operator configures addresses, or a host name if the address changes (dynamic DNS, the public
address of a cloud). Not all browsers resolve names in candidates, so the names are resolved here:
in a worker thread of Trio, with a deadline. The answer is used for a minute. If a look-up fails,
the last answer is used. Before the first answer the name itself is announced, as the original
server does; some clients can resolve it.
"""

import ipaddress
import logging
import socket
from collections.abc import Collection, Sequence

import trio

logger = logging.getLogger("meet_trio.media.announced")

LIFETIME = 60.0  # seconds that an answer is used for
PAUSE = 5.0  # seconds until a failed look-up is tried again
DEADLINE = 2.0  # seconds for a look-up; the client waits for its transport meanwhile


class AnnouncedAddresses:
    """``names`` are addresses and host names in order of preference. ``listen_ips`` are the
    addresses that media is received on. The addresses of a host name are announced only if their
    family is among those of ``listen_ips``.
    """

    def __init__(self, names: Sequence[str], listen_ips: Collection[str]) -> None:
        self._names = names
        self._families = _families(listen_ips)
        self._looked_up: dict[str, tuple[str, ...]] = {}
        self._valid_until = float("-inf")
        self._lock = trio.Lock()

    async def current(self) -> tuple[str, ...]:
        """The addresses to announce now, each once. There is always at least one. This waits only
        if they have to be looked up.
        """
        if trio.current_time() >= self._valid_until:
            async with self._lock:
                if trio.current_time() >= self._valid_until:
                    await self._look_up_all()
        found = (a for name in self._names for a in self._looked_up.get(name, (name,)))
        return tuple(dict.fromkeys(found))

    async def _look_up_all(self) -> None:
        names = [name for name in self._names if not _is_address(name)]
        found = dict.fromkeys(names, False)

        async def look_up(name: str) -> None:
            found[name] = await self._look_up(name)

        with trio.move_on_after(DEADLINE) as deadline:
            async with trio.open_nursery() as nursery:
                for name in names:
                    nursery.start_soon(look_up, name)
        if deadline.cancelled_caught:
            logger.warning("media.announced_address: no answer within %g s", DEADLINE)
        self._valid_until = trio.current_time() + (LIFETIME if all(found.values()) else PAUSE)

    async def _look_up(self, name: str) -> bool:
        try:
            answers = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            logger.warning("media.announced_address: %s cannot be looked up: %s", name, error)
            return False
        usable = [str(address[0]) for family, *_, address in answers if family in self._families]
        if not usable:
            logger.warning(
                "media.announced_address: %s has no address of an IP version that media listens on",
                name,
            )
            return False
        self._looked_up[name] = tuple(dict.fromkeys(usable))
        return True


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _families(listen_ips: Collection[str]) -> set[int]:
    """The address families of ``listen_ips``. The IPv6 wildcard address receives IPv4 too."""
    families = set[int]()
    for ip in map(ipaddress.ip_address, listen_ips):
        if ip.version == 4 or ip.is_unspecified:
            families.add(socket.AF_INET)
        if ip.version == 6:
            families.add(socket.AF_INET6)
    return families
