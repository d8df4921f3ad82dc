# Addresses and networks: from text to the bytes of the C structs, and back.


cdef int _network(mt_network *out, object text) except -1:
    network = ip_network(text)
    cdef bytes raw = network.network_address.packed
    out.family, out.prefix = network.version, network.prefixlen
    memcpy(&out.ip[0], <const char *>raw, len(raw))
    return 0


cdef int _address(mt_path *out, str ip, int port, str name) except -1:
    cdef bytes raw = ip_address(ip).packed
    if not 1 <= port <= 65535:
        raise ValueError(f"{name}: {port} is no port")
    out.family, out.port = 4 if len(raw) == 4 else 6, port
    memcpy(&out.ip[0], <const char *>raw, len(raw))
    return 0


cdef str _ip(const mt_path *path):
    return str(ip_address((<const char *>path.ip)[: 4 if path.family == 4 else 16]))
