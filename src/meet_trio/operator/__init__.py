"""What an operator asks of a running server: which objects there are, their figures in the shapes
of mediasoup. Functions here take live objects and return plain values; they know no socket and no
terminal.
"""
