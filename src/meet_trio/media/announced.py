"""The addresses that clients are told to send media to.

An operator writes addresses, or a name where the address changes (dynamic DNS, a cloud's public
address). Browsers do not all look up names in candidates, so it is done here: in a worker thread of
Trio, with a deadline, and remembered for a minute. While a look-up fails, the last answer holds;
before there is any, the name itself is announced, as the original does, and the client may know
better.
"""

import ipaddress
import logging
import socket
from collections.abc import Collection, Sequence

import trio

logger = logging.getLogger("meet_trio.media.announced")

LIFETIME = 60.0  # seconds that an answer is used for
PAUSE = 5.0  # seconds until a look-up that failed is tried again
DEADLINE = 2.0  # seconds; a client waits for its transport meanwhile


class AnnouncedAddresses:
    """``names``: addresses and names, in order of preference. ``listen_ips``: where media is
    received; of a name's addresses only those are announced whose family is listened on.
    """

    def __init__(self, names: Sequence[str], listen_ips: Collection[str]) -> None:
        self._names = names
        self._families = _families(listen_ips)
        self._looked_up: dict[str, tuple[str, ...]] = {}
        self._good_until = float("-inf")
        self._lock = trio.Lock()

    async def current(self) -> tuple[str, ...]:
        """What to announce now, each address once; never empty."""
        async with self._lock:
            if trio.current_time() >= self._good_until:
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
        self._good_until = trio.current_time() + (LIFETIME if all(found.values()) else PAUSE)

    async def _look_up(self, name: str) -> bool:
        try:
            answers = await trio.socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:
            logger.warning("media.announced_address: %s cannot be looked up: %s", name, error)
            return False
        usable = [str(address[0]) for family, *_, address in answers if family in self._families]
        if not usable:
            logger.warning("media.announced_address: %s has no address listened on", name)
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
    """An IPv6 wildcard takes IPv4 too."""
    families = set[int]()
    for ip in map(ipaddress.ip_address, listen_ips):
        if ip.version == 4 or ip.is_unspecified:
            families.add(socket.AF_INET)
        if ip.version == 6:
            families.add(socket.AF_INET6)
    return families
