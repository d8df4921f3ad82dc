"""The log: which records are written, how often, and as which line.

Every part of the server, and every library, logs with the standard library's ``logging``. So a
record that is left out costs no more than the comparison of two numbers. A task binds the ids that
it is about with ``context.bind``: a room's task binds ``room``, a peer's ``room`` and ``peer``, a
transport's all three. Each record that is made in such a task, or in a task that it
starts, carries them. A record about another object names it in ``extra``, which wins.

    context.py   the ids that a task has bound
    levels.py    which records are written: the level of each part, changed while the server runs
    repeats.py   how often: the rate of equal records
    lines.py     as which line: console or JSON, escaped, of limited length
    setup.py     all of it in one handler

Ids are not secret. Tokens, passwords, keys, texts of a chat and nicknames are not logged.
"""
