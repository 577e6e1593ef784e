"""What the Bedrock adapters share: the client, and the text of its failures."""

from __future__ import annotations

from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.eventstream import ParserError
from botocore.exceptions import BotoCoreError, ClientError, NoRegionError
from urllib3.exceptions import HTTPError

from annals.errors import ConfigurationError

Service = Literal["bedrock-runtime", "bedrock-agent-runtime"]

FAILURES = (BotoCoreError, ClientError, ParserError, HTTPError, OSError)
"""All that a call of Bedrock, or the reading of its answer, raises."""


def runtime_client(
    *, read_timeout_s: float, connections: int = 10, attempts: int = 5, service: Service = "bedrock-runtime"
) -> Any:
    """A client of Bedrock's runtime; threads may share it. botocore retries throttling and 5xx, with backoff.

    Raises
    ------
    ConfigurationError : there is no region
    """
    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=10,
        read_timeout=read_timeout_s,
        max_pool_connections=connections,
    )
    try:
        return boto3.client(service, config=config)
    except NoRegionError:
        raise ConfigurationError("AWS_REGION must name a region for Bedrock (or set another model's URL).") from None


def error_code(failure: Exception) -> str:
    """The code of a service's refusal, ``ThrottlingException``; of other failures, their class."""
    if isinstance(failure, ClientError):
        return str(failure.response.get("Error", {}).get("Code", "ClientError"))
    return type(failure).__name__


def failure_detail(action: str, failure: Exception) -> str:
    """A sentence for a failure, with the service's own message unless it names resources."""
    message = failure.response.get("Error", {}).get("Message", "") if isinstance(failure, ClientError) else ""
    return f"{action} failed: {error_code(failure)}" + (f" ({message})." if message and "arn:" not in message else ".")
