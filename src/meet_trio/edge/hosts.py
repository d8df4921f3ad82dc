"""Which hosts a server answers as in demo mode.

A web page may have its own name lead to 127.0.0.1 once it is loaded, and is then taken by the
browser for a page of this server (DNS rebinding): it could open rooms and see who is in them. What
the browser says in ``Host`` stays the page's own name. Addresses cannot be made to lead elsewhere.
"""

import ipaddress

import attrs


@attrs.frozen
class Hosts:
    """``names`` in lower case, beside localhost. ``remote``: all addresses, not loopback's only."""

    names: frozenset[str] = frozenset()
    remote: bool = False

    def known(self, host: str | None) -> bool:
        """Whether a request with this ``Host`` is meant for this server. Browsers always send one
        (RFC 9112 §3.2).
        """
        if host is None:
            return True
        name = host_name(host)
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self.names or name == "localhost" or name.endswith(".localhost")
        return self.remote or address.is_loopback or name in self.names


def host_name(host: str) -> str:
    """Without port, brackets and the root's dot; in lower case."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or ":" in name:
        name = host
    return name.lower().removesuffix(".")
