"""The client's address of a request, and the rate of requests of each address.

Behind a proxy the address of a connection is the proxy's. A setting says which proxies are trusted.
The header of any other sender is ignored, since the sender may have invented it. The client is the
last address in the header that is not a trusted proxy's: the addresses before it are the client's
own claim.

An IPv6 client usually has a whole /64, so a /64 counts as one address. The table of addresses is
bounded. When it is full, the address that was counted the longest ago is forgotten.

Nothing is refused here; the front door does that.
"""

import functools
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Sequence

import attrs

from meet_trio.edge.head import RequestHead
from meet_trio.edge.settings import ForwardedHeader
from meet_trio.rates import Bucket, Rate

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@attrs.frozen
class Proxies:
    """The trusted proxies, and the one header in which they name the client. The other header is
    ignored: a client may send it, and most proxies would pass it on.
    """

    networks: Sequence[Network] = ()
    header: ForwardedHeader = "x-forwarded-for"

    def trusted(self, address: str) -> bool:
        if not self.networks:
            return False
        parsed = _parse_address(address)
        return parsed is not None and any(
            parsed in network for network in self.networks if network.version == parsed.version
        )

    def client(self, peer: str, head: RequestHead) -> str:
        """The client's address of a request that came on a connection from ``peer``."""
        client = peer
        for hop in reversed(self._hops_untrusted(head)):
            if not self.trusted(client):
                break
            parsed = _parse_address(hop)
            if parsed is None:
                break  # "unknown" or malformed: only the proxy's address is known
            client = str(parsed)
        return client

    def _hops_untrusted(self, head: RequestHead) -> list[str]:
        value = head.headers.get(self.header)
        if value is None:
            return []
        hops = value.split(",")
        if self.header == "forwarded":
            hops = [_forwarded_for(hop) for hop in hops]
        return hops


def _forwarded_for(element: str) -> str:
    """The ``for`` parameter of one element of ``Forwarded`` (RFC 7239 §4)."""
    for parameter in element.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "for":
            return value.strip().strip('"')
    return ""


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in ``text``, which may have a port (RFC 7239 §6; common proxies do the same)."""
    text = text.strip()
    if match := re.fullmatch(r"\[([^\]]*)\](:\d+)?|([^:]*):\d+", text):
        text = match[1] or match[3] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@functools.lru_cache(maxsize=1000)  # it is asked for each connection
def address_key(address: str) -> str:
    """The key by which an address is counted: an IPv4 address or an IPv6 /64."""
    parsed = _parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


@attrs.define(eq=False)
class AddressRates:
    """A token bucket for each address, for at most ``most`` addresses."""

    rate: Rate
    most: int
    _buckets: OrderedDict[str, Bucket] = attrs.field(factory=OrderedDict)

    def take(self, key: str, now: float) -> float:
        """Count one more of this address. Returns 0 if it is allowed, else the seconds until one
        is.
        """
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self.most:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = Bucket(self.rate)
        else:
            self._buckets.move_to_end(key)
        return 0.0 if bucket.take(now) else bucket.wait(now)

    def wait(self, key: str, now: float) -> float:
        """The seconds until ``take`` would allow one more; 0 if it would now. Counts nothing."""
        bucket = self._buckets.get(key)
        return 0.0 if bucket is None else bucket.wait(now)

    def give_back(self, key: str) -> None:
        """Take back what the last ``take`` of this address has counted."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.give_back()

    def __len__(self) -> int:
        return len(self._buckets)
