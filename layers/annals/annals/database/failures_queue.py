"""The queue of the stream functions' failures: each record with its reason, so that nothing waits behind it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3

from annals.settings import settings


@cache
def sqs_client(url: str) -> Any:
    """A client for the queue of a URL, at the endpoint that the URL names."""
    parts = urlsplit(url)
    client: Any = boto3.client("sqs", endpoint_url=f"{parts.scheme}://{parts.netloc}")
    return client


def send_failure(pk: str, sk: str, reason: str) -> None:
    """Put a record, by the key of its item, into the queue of failures."""
    url = settings().failures_queue_url
    message = {"pk": pk, "sk": sk, "reason": reason}
    sqs_client(url).send_message(QueueUrl=url, MessageBody=json.dumps(message))
