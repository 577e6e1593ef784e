"""API keys in settings: the key itself, or the ARN of a Secrets Manager secret that holds it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from threading import Lock

logger = logging.getLogger("annals")

RETRY_EVERY_S = 60.0
"""While Secrets Manager does not answer, the known key stays in use, and is asked for no more often."""

RENEW_EVERY_S = 10.0
"""However many requests are refused because of the key, it is read anew no more often."""


class SecretUnreadable(Exception):
    """Secrets Manager does not give the secret."""


class ApiKey:
    """An API key that a setting names. A secret is read when it is first needed, and again later. Threads may share it.

    Parameters
    ----------
    setting : the key itself, ``arn:…:secretsmanager:…`` of a secret whose string is the key, or empty for none
    max_age_s : after how many seconds a secret is read again when it is needed
    """

    def __init__(self, setting: str, max_age_s: float = math.inf) -> None:
        self._setting = setting.strip()
        self._max_age_s = max_age_s
        self._lock = Lock()
        self._is_secret = _is_secret_arn(self._setting)
        self._value = None if self._is_secret else self._setting
        self._due_at = -math.inf if self._is_secret else math.inf
        self._renewed_at = -math.inf

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def value(self) -> str:
        """The key, or an empty string if there is none. Raises SecretUnreadable where it was never read."""
        with self._lock:
            if self._value is None or time.monotonic() >= self._due_at:
                return self._read()
            return self._value

    def headers(self) -> dict[str, str]:
        """The header that carries the key. Raises SecretUnreadable."""
        return _headers(self.value())

    def headers_instead_of(self, refused: Mapping[str, str]) -> dict[str, str] | None:
        """The header with another key than one that was refused, where the secret holds another one by now."""
        with self._lock:
            if self._is_secret and self._value is not None and _headers(self._value) == refused:
                self._renew()
            headers = _headers(self._value or "")
        return None if headers == refused else headers

    def renew(self) -> None:
        """Read the secret again at once, unless that was done a moment ago: a caller has another key."""
        with self._lock:
            if self._is_secret and self._value is not None:
                self._renew()

    def _renew(self) -> None:
        if time.monotonic() - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = time.monotonic()
            self._read()

    def _read(self) -> str:
        try:
            self._value = _fetch(self._setting)
            self._due_at = time.monotonic() + self._max_age_s
        except SecretUnreadable as failure:
            if self._value is None:
                raise
            self._due_at = time.monotonic() + RETRY_EVERY_S
            _count(failure)
        return self._value


def _headers(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"} if value else {}


def _is_secret_arn(setting: str) -> bool:
    parts = setting.split(":")
    return len(parts) >= 7 and parts[0] == "arn" and parts[2] == "secretsmanager"


def _fetch(arn: str) -> str:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        patience = Config(connect_timeout=2, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2})
        secrets = boto3.client("secretsmanager", region_name=arn.split(":")[3], config=patience)
        return str(secrets.get_secret_value(SecretId=arn)["SecretString"]).strip()
    except (BotoCoreError, ClientError, KeyError) as failure:
        raise SecretUnreadable(f"The API key's secret cannot be read ({type(failure).__name__}).") from failure


def _count(failure: SecretUnreadable) -> None:
    # Imported here: the authorizer, which needs it for this alone, starts sooner without it.
    from annals import telemetry

    logger.error("%s The key that was read before stays in use.", failure)
    telemetry.count("SecretsUnreadable")
    telemetry.publish()
