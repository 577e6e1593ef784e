"""Connecting to OpenSearch: a node, an Amazon OpenSearch Service domain, or a Serverless collection."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth, Urllib3HttpConnection

from annals.errors import ConfigurationError
from annals.search.opensearch.waking import WakingTransport
from annals.search.protocol import SERVERLESS

TIMEOUT_S = 10.0
RETRIES = 2


def connect(url: str, *, service: str, wake_s: float) -> OpenSearch:
    """A client for a URL; nothing is sent yet.

    Requests are signed for AWS unless the URL is plain http, a loopback address, or holds a user and a password.

    Parameters
    ----------
    url : ``https://host``, ``http://127.0.0.1:9200``, ``https://user:password@host``
    service : ``es`` for a domain or a node, ``aoss`` for a Serverless collection
    wake_s : how long a request may wait for a collection that may sleep
    """
    retrying: dict[str, Any] = {"max_retries": RETRIES}
    if service == SERVERLESS:
        retrying = {"transport_class": WakingTransport, "wake_s": wake_s, "max_retries": 0}
    return OpenSearch(
        hosts=[url],
        http_auth=_signer(url, service),
        connection_class=Urllib3HttpConnection,
        timeout=TIMEOUT_S,
        pool_maxsize=16,
        **retrying,
    )


def _signer(url: str, service: str) -> Urllib3AWSV4SignerAuth | None:
    """What signs requests to AWS, with the credentials and the region of this process."""
    parts = urlsplit(url)
    if parts.scheme == "http" or parts.username or parts.hostname in {"localhost", "127.0.0.1", "::1"}:
        return None
    from botocore.session import get_session

    session = get_session()
    credentials, region = session.get_credentials(), session.get_config_variable("region")
    if credentials is None:
        raise ConfigurationError(f"OPENSEARCH_URL {parts.hostname} needs AWS credentials, and there are none.")
    if not region:
        raise ConfigurationError(f"OPENSEARCH_URL {parts.hostname} needs AWS_REGION.")
    return Urllib3AWSV4SignerAuth(credentials, region, service)
