# Settings: EngineSettings of records.py, checked and copied into the C structs.


cdef uint32_t _power_of_two(object value, str name) except? 0:
    if not 16 <= value <= 1 << 16 or value & (value - 1):
        raise ValueError(f"{name}: {value} is no power of two from 16 to 65536")
    return value


cdef uint32_t _ms(object seconds, str name) except? 0:
    if not 0 <= seconds <= 86400:
        raise ValueError(f"{name}: {seconds} s")
    return round(seconds * 1000)


cdef int _aead(mt_aead_library *out, str choice) except -1:
    if choice not in get_args(records.AeadChoice):
        raise ValueError(f"aead: {choice!r} is not one of {get_args(records.AeadChoice)}")
    out[0] = mt_aead_fastest() if choice == "auto" else MT_AEAD_LIBCRYPTO
    return 0


def aead_library(str choice):
    cdef mt_aead_library library
    _aead(&library, choice)
    if library == MT_AEAD_IPSEC_MB:
        return records.AeadLibrary(mt_ipsec_mb_open().text.decode(errors="replace"))
    why = mt_ipsec_mb_open().text.decode(errors="replace") if choice == "auto" else ""
    return records.AeadLibrary("libcrypto", why)


cdef int _settings(mt_settings *out, object s, uint64_t seed) except -1:
    out.history_packets = _power_of_two(s.history_packets, "history_packets")
    out.history_ms = _ms(s.history, "history")
    out.dtls_per_second = s.dtls_per_second
    out.consent_ms = _ms(s.consent_timeout, "consent_timeout")
    out.pli_interval_ms = _ms(s.keyframe_interval, "keyframe_interval")
    out.nack_delay_ms = _ms(s.nack_delay, "nack_delay")
    out.nack_interval_ms = _ms(s.nack_interval, "nack_interval")
    out.nack_tries = s.nack_tries
    out.layer_silence_ms = _ms(s.layer_silence, "layer_silence")
    if not 10**4 <= s.initial_outgoing_bitrate <= 10**10:
        raise ValueError(f"initial_outgoing_bitrate: {s.initial_outgoing_bitrate} bit/s")
    out.start_bitrate = s.initial_outgoing_bitrate
    if not 1 <= s.incoming_excess <= 1000:
        raise ValueError(f"incoming_excess: {s.incoming_excess} is not 1 to 1000")
    out.excess_percent = round(s.incoming_excess * 100)
    out.excess_ms = _ms(s.incoming_burst, "incoming_burst")
    _aead(&out.aead, s.aead)
    out.equal_lengths = s.gso
    out.seed = seed
    out.udp_sockets = 0  # an engine counts its own
    return 0


cdef uint32_t _count(object value, str name, uint32_t least, uint32_t most) except? 0:
    if not least <= value <= most:
        raise ValueError(f"{name}: {value} is not {least} to {most}")
    return value


cdef int _tcp_settings(mt_tcp_settings *out, object s) except -1:
    out.max_connections = _count(s.max_tcp_connections, "max_tcp_connections", 0, 1 << 20)
    out.max_strangers = _count(s.max_tcp_strangers, "max_tcp_strangers", 1, 1 << 20)
    out.max_strangers_per_address = _count(
        s.max_tcp_strangers_per_address, "max_tcp_strangers_per_address", 1, 1 << 20
    )
    out.stranger_ms = _ms(s.tcp_stranger_timeout, "tcp_stranger_timeout")
    out.send_buffer = _count(s.tcp_send_buffer, "tcp_send_buffer", 1 << 12, 1 << 26)
    return 0


# The file is the caller's; the region has a duplicate of it.
cdef mt_region *_region(int fd, uint32_t index) except NULL:
    region = mt_region_new(fd, mt_layout(), index)
    if not region:
        raise OSError(errno, os.strerror(errno), "region")
    return region


cdef int _adopt(mt_addresses *out, object sockets) except -1:
    cdef size_t i
    if len(sockets) != out.count:
        raise ValueError(f"sockets: {len(sockets)} pairs for {out.count} addresses")
    out.adopted = True
    for i in range(out.count):
        udp_fd, tcp_fd = sockets[i]
        (&out.sockets[0] + i)[0][0] = udp_fd
        (&out.sockets[0] + i)[0][1] = tcp_fd
    return 0


cdef int _addresses(mt_addresses *out, object settings) except -1:
    if not 1 <= len(settings.listen_ips) <= MT_MAX_ADDRESSES:
        raise ValueError(f"listen_ips: {len(settings.listen_ips)} are not 1 to {MT_MAX_ADDRESSES}")
    if not 0 <= settings.port <= 65535:
        raise ValueError(f"port: {settings.port}")
    memset(out, 0, sizeof(mt_addresses))
    out.count, out.port = len(settings.listen_ips), settings.port
    out.free_bind = settings.free_bind
    cdef bytes raw
    cdef size_t i
    for i in range(out.count):
        raw = str(ip_address(settings.listen_ips[i])).encode()
        if len(raw) >= sizeof(out.ips[0]):
            raise ValueError(f"listen_ips: {settings.listen_ips[i]}")
        memcpy(&(&out.ips[0] + i)[0], <const char *>raw, len(raw))
    return 0
