# What an earlier process has left in a region.


def read_kept(int fd):
    cdef const char *why
    cdef mt_salvaged found
    cdef mt_salvage *salvage = mt_salvage_new(fd, &why)
    if not salvage:
        raise ValueError(f"the region cannot be read: {why.decode()}")
    transports, producers, consumers, damaged = {}, {}, {}, []
    try:
        index = mt_salvage_index(salvage)
        while mt_salvage_next(salvage, &found):
            name = "region"
            if found.kind == MT_BLOB_TRANSPORT:
                name, blobs = f"transport {found.id}", transports
            elif found.kind == MT_BLOB_PRODUCER:
                name, blobs = f"producer {found.id}", producers
            elif found.kind == MT_BLOB_CONSUMER:
                name, blobs = f"consumer {found.id}", consumers
            if found.damage:
                damaged.append(f"{name}: {found.damage.decode()}")
            if not found.bytes:
                continue
            if found.id in blobs:
                damaged.append(f"{name}: there are two")
            blobs[found.id] = (<const char *>found.bytes)[:found.len]
    finally:
        mt_salvage_free(salvage)
    return records.Kept(index, transports, producers, consumers, damaged)
