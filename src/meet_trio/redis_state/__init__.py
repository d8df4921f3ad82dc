"""The state of calls in Redis, for another machine: it takes over when this one is gone.

    settings.py   where Redis is, the secret, how fast a standby takes over
    lease.py      who may send: pure, with the time passed in
    scripts.py    what Redis does in one step, and under which keys
    sealing.py    values are encrypted
    link.py       calls of scripts, each with a time limit
    store.py      what has changed and is not in Redis yet
    holder.py     the tasks of the server that holds the lease
    candidate.py  waiting for the lease, and reading what the holder before has left

docs/standby.md says why two servers never send at once, and why no SRTP index is used twice.
"""
