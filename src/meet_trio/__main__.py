"""``python -m meet_trio`` runs the command ``meet-trio``."""

import sys

from meet_trio.cli import main

if __name__ == "__main__":
    sys.exit(main())
