"""What the person who runs the server sees and does: health, drain, the service manager."""
