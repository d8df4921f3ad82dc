"""The supervisor: the process that starts the server, keeps its sockets, and starts another server
when one crashes. It does for ``meet-trio serve`` what systemd does for a unit, by the same
protocol.

It is no Trio program and imports nothing but a few modules of the standard library, because it has
to outlive whatever makes the server crash: the less it loads and does, the less it can fail with.
It never sees what a client sends.
"""
