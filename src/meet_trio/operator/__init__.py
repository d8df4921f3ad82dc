"""What the person who runs the server sees of it."""
