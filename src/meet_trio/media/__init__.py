"""The transports of clients, the DTLS bridge, and the door to the engines."""
