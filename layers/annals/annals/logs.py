"""What a log may hold of an error: its type, its place and its code, and never its words, which may be the caller's.

A database's refusal quotes what it could not store, a model's endpoint what it could not read, and a failed validation
what was sent. So no record of this process keeps the message of an exception, whichever library logs it.
"""

from __future__ import annotations

import logging
from functools import cache
from types import TracebackType
from typing import Any

from annals.errors import ConfigurationError

ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

VERBOSE_LIBRARIES = (
    "asyncio aws_lambda_powertools boto3 botocore httpcore httpx opensearch opensearchpy urllib3".split()
)
"""Libraries whose debug lines hold whole requests. Our own log level is not for them."""


@cache
def hide_exception_messages() -> None:
    """From now on, no log record of this process holds an exception's message."""
    make = logging.getLogRecordFactory()

    def make_without_words(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_info = _without_words(record.exc_info)
        return record

    logging.setLogRecordFactory(make_without_words)
    for name in VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_words(raised: ExcInfo) -> ExcInfo:
    _, error, trace = raised
    told = without_message(error)
    return type(told), told, trace


def without_message(error: BaseException) -> BaseException:
    """An exception of the same name, place and causes that says no more than ``loggable_parts`` it."""
    kind = type(error)
    told: BaseException = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(*loggable_parts(error))
    for part in ("__cause__", "__context__"):
        if before := getattr(error, part):
            setattr(told, part, without_message(before))
    told.__suppress_context__ = error.__suppress_context__
    return told.with_traceback(error.__traceback__)


def loggable_parts(error: BaseException) -> tuple[str, ...]:
    """What may be told: an error's code, what a permission lacks, which setting is wrong; of all else, nothing."""
    if isinstance(error, ConfigurationError):
        return (str(error),)
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "code", None)
    if not isinstance(code, str):
        return ()
    return (str(error),) if code.startswith("AccessDenied") else (code,)
