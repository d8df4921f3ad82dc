"""The values of ``Host`` that demo mode accepts: a defence against DNS rebinding.

A web page may let its own host name resolve to 127.0.0.1 after it was loaded. The browser then
takes this server for the page's own origin, so the page could open rooms and see who is in them.
The ``Host`` header still has the page's name, so only allowed names are accepted. IP addresses are
accepted too, since an address cannot resolve to another one.

The front door refuses requests to other hosts.
"""

import ipaddress

import attrs


@attrs.frozen
class AllowedHosts:
    """``names`` are in lower case; localhost is always allowed. ``remote``: all IP addresses are
    allowed, and not only those of loopback.
    """

    names: frozenset[str] = frozenset()
    remote: bool = False

    def allows(self, host: str | None) -> bool:
        """Whether a request with this ``Host`` is accepted. A request without ``Host`` is, since it
        cannot come from a browser (RFC 9112 §3.2).
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
    """The name in ``host``, in lower case, without port, brackets and the DNS root's dot."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal() or ":" in name:
        name = host
    return name.lower().removesuffix(".")
