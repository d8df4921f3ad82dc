"""``meet-trio bench``: a load generator for servers that speak Kolab Meet's protocol.

It knows a server only by the URL of its HTTP API and its token: it makes rooms, sends peers into
them that publish and view as browsers do, checks each packet that comes, and closes the rooms. It
needs nothing of the server in this package, so it measures any server of this kind.

``scenario`` says what is asked for, ``trial`` runs it once, ``limit`` looks for how much a server
takes. ``client`` is one peer: ``light_peer`` its signaling, ``media`` its media, which a C thread
sends and receives (``engine/c/crowd``).
"""
