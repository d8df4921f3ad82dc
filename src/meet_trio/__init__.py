"""meet-trio: a WebRTC selective forwarding server (SFU) on Trio."""

__version__ = "0.1.0"
