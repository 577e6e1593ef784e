"""The service as the command sees it: through the client, whose errors become sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from annals.cli.files import CommandFailed
from annals_client import NO_RETRIES, Annals, AnnalsError, ConnectionFailed, InvalidArgument, Retries

RETRIES = Retries(tries=6, total_s=180.0, longest_s=30.0)
"""A command is patient: it may be one of many that import at once."""

SILENCE_S = 120.0
"""How long an answer may be silent: a part of an import is stored before it is answered."""


@contextmanager
def connect(url: str, key: str) -> Iterator[Annals]:
    """A client of the service.

    Raises
    ------
    CommandFailed : nothing answers there, which shows at once; or what the client raises within the block
    """
    try:
        _require_answer(url, key)
        with Annals(url, key, timeout_s=SILENCE_S, retries=RETRIES) as annals:
            yield annals
    except InvalidArgument as error:
        raise CommandFailed(error.detail) from None
    except ConnectionFailed as error:
        raise CommandFailed(f"the connection to {url} failed: {error.detail}") from None
    except AnnalsError as refusal:
        raise CommandFailed(f"{refusal.status} {refusal.detail}") from None


def _require_answer(url: str, key: str) -> None:
    """Raise CommandFailed where nothing listens. Whether it is well is for the command's own request to find out."""
    with Annals(url, key, retries=NO_RETRIES) as annals:
        try:
            annals.health()
        except ConnectionFailed as error:
            if error.sent:
                raise
            what_to_do = "start a server there (`annals dev`, `make dev`), or name another one with --url or ANNALS_URL"
            raise CommandFailed(f"nothing answers at {url} ({error.detail}): {what_to_do}") from None
        except AnnalsError:
            return
