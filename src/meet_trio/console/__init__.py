"""The console: an operator's way into a running server, over a unix socket.

``server`` and ``commands`` are the server's side, ``client`` and ``prompt`` the command ``meet-trio
connect``. ``wire`` has what both know. The client imports nothing of the server, so it starts fast.
"""
