"""The log of slow state: what the next process of this server needs to go on with the calls.

    settings.py    where it is, and how large it may become
    directory.py   the state directory: who may use it, which process's files count
    folder.py      the system calls on one process's files; how a file is wiped
    format.py      entries and bytes; reading what may be damaged
    follow.py      reading the log of a process that still writes it
    log.py         the append log: what has changed, written by one call; written anew, wiped
    journal.py     the task that does so while the server runs
    clock.py       the time that goes on across processes

An object of the server is an entry: a key, such as ``peer/ID``, and a payload, which only its owner
understands. ``put`` and ``drop`` cost no system call. At the end of the turn of the loop in which
something has changed, all of it is written at once. So the log holds the state at the end of some
turn, whenever the process dies. docs/restart.md says what is kept, and why in a log.
"""
