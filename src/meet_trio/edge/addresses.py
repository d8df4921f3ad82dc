"""Whose request it is, and how much of an address's has come lately.

Behind a proxy the address of a connection is the proxy's. Which proxies are believed is a setting:
the header of anybody else is not looked at, since whoever sends it may have written it. Of the
addresses in the header the last one that is no trusted proxy's counts, because everything before it
is the client's own word.

An IPv6 client usually has a whole /64 for itself, so that is what counts as one address. The table
of addresses is bounded; the one that was heard of the longest ago is forgotten first.
"""

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import attrs

from meet_trio.edge.head import RequestHead
from meet_trio.rates import Bucket, Rate

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
ForwardedHeader = Literal["x-forwarded-for", "forwarded"]


@attrs.frozen
class Proxies:
    """The proxies that are believed, and the one header in which they name the client. A client may
    send the other one, and most proxies would let it through.
    """

    networks: Sequence[Network] = ()
    header: ForwardedHeader = "x-forwarded-for"

    def trusted(self, address: str) -> bool:
        parsed = _parse(address)
        return parsed is not None and any(
            parsed in network for network in self.networks if network.version == parsed.version
        )

    def client(self, peer: str, head: RequestHead) -> str:
        """The address that a request is from, when its connection is from ``peer``."""
        client = peer
        for hop in reversed(self._hops_untrusted(head)):
            if not self.trusted(client):
                break
            parsed = _parse(hop)
            if parsed is None:
                break  # "unknown", or nonsense: what is known is the proxy
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


def _parse(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """With or without a port, as RFC 7239 §6 and common proxies write it."""
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


def address_key(address: str) -> str:
    """What counts as one address: an IPv4 address, an IPv6 /64."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, 64), strict=False))
    return address if parsed is None else str(parsed)


@attrs.define(eq=False)
class AddressRates:
    """A bucket for each address, for at most ``most`` of them."""

    rate: Rate
    most: int = 10_000
    _buckets: OrderedDict[str, Bucket] = attrs.field(factory=OrderedDict)

    def take(self, key: str, now: float) -> float:
        """One more of this address; 0 if it may, else the seconds after which it may."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self.most:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = Bucket(self.rate)
        else:
            self._buckets.move_to_end(key)
        return 0.0 if bucket.take(now) else bucket.wait(now)

    def give_back(self, key: str) -> None:
        """The last one turned out not to count."""
        if (bucket := self._buckets.get(key)) is not None:
            bucket.give_back()

    def __len__(self) -> int:
        return len(self._buckets)
