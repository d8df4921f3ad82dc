"""A planned restart: a new process takes over from the one that runs, and clients notice nothing.

    settings.py   how long each step may take
    channel.py    messages with descriptors between the two processes
    successor.py  the process that is started, as the one that runs sees it
    handover.py   the steps of the process that runs
    takeover.py   the steps of the new one
    stay.py       what is left of a server that no manager has started

What outlives a process is always up to date, so an upgrade is a crash for which the next process is
ready. docs/restart.md has the order of the messages, and what happens when one does not come.
"""
