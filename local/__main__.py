"""``python -m local``: the development server's command line."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from local.environment import CannotStart
from local.server import Options, serve


def main() -> int:
    """Serve; 0 after a clean stop, 1 when it could not start."""
    logging.basicConfig(stream=sys.stdout, level=logging.WARNING, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("annals").setLevel(logging.INFO)
    try:
        serve(_options())
    except CannotStart as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _options() -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m local",
        description="Serve the whole of Annals on http://127.0.0.1: the template's routes, streams and tables. "
        "Ctrl-C stops it and keeps the data. Settings come from the environment, as for the functions.",
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen on, 0 for any (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=Path(".annals"), help="folder of the data (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, help="requests worked on at once (default: %(default)s)")
    parser.add_argument("--events", action="store_true", help="have queues for events, too, in a MiniStack")
    return Options(**vars(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
