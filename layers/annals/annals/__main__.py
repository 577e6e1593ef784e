"""``python -m annals``: the command line."""

import sys

from annals.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
