"""The server's side towards Kolab and the browsers, apart from media: the front door, the HTTP API,
the signaling endpoint, webhooks and the page.

Socket.IO itself is in ``socketio``, the rooms are in ``live``. No ports are opened here: ``app``
passes the listeners in.
"""
