"""What a log may hold of an error: its type, traceback and code, but never its message, which may be a caller's words.

A database's refusal quotes what it could not store, a model's endpoint what it could not read, and a failed validation
what was sent. So no log record of this process has the message of an exception, whichever library logs it.
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
"""Libraries whose debug lines hold whole requests. Our own log level does not apply to them."""


@cache
def hide_exception_messages() -> None:
    """From now on, no log record of this process holds an exception's message."""
    make = logging.getLogRecordFactory()

    def make_without_message(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_info = _without_message(record.exc_info)
        return record

    logging.setLogRecordFactory(make_without_message)
    for name in VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def _without_message(raised: ExcInfo) -> ExcInfo:
    _, error, trace = raised
    stripped = without_message(error)
    return type(stripped), stripped, trace


def without_message(error: BaseException) -> BaseException:
    """An exception of the same name, traceback and causes, with nothing but the ``loggable_parts`` of its message."""
    kind = type(error)
    stripped: BaseException = type(kind.__name__, (Exception,), {"__module__": kind.__module__})(*loggable_parts(error))
    for part in ("__cause__", "__context__"):
        if before := getattr(error, part):
            setattr(stripped, part, without_message(before))
    stripped.__suppress_context__ = error.__suppress_context__
    return stripped.with_traceback(error.__traceback__)


def loggable_parts(error: BaseException) -> tuple[str, ...]:
    """What of an error may be logged: its code, a permission that is missing, a setting that is wrong; nothing else."""
    if isinstance(error, ConfigurationError):
        return (str(error),)
    response = getattr(error, "response", None)
    code = response.get("Error", {}).get("Code") if isinstance(response, dict) else getattr(error, "code", None)
    if not isinstance(code, str):
        return ()
    return (str(error),) if code.startswith("AccessDenied") else (code,)
