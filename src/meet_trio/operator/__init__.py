"""What the person who runs the server sees and does."""
