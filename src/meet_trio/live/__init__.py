"""Rooms and peers as tasks: they perform what the pure state of ``room`` decides."""
