"""API keys: given as they are, or as the ARN of a Secrets Manager secret that holds one."""

from __future__ import annotations

from threading import Lock


class SecretUnreadable(Exception):
    """Secrets Manager does not hand out the secret."""


class ApiKey:
    """An API key, fetched when it is first needed and then kept. Threads may share it.

    Parameters
    ----------
    setting : the key itself, ``arn:…:secretsmanager:…`` of a secret whose string is the key, or empty for none
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting.strip()
        self._lock = Lock()
        self._is_known = not _is_secret_arn(self._setting)
        self._value = self._setting if self._is_known else ""

    def __repr__(self) -> str:
        return "ApiKey(…)"

    def value(self) -> str:
        """The key, or an empty string if there is none. Raises SecretUnreadable."""
        with self._lock:
            if not self._is_known:
                self._value = _fetch(self._setting)
                self._is_known = True
            return self._value

    def headers(self) -> dict[str, str]:
        """The header that carries the key. Raises SecretUnreadable."""
        value = self.value()
        return {"Authorization": f"Bearer {value}"} if value else {}


def _is_secret_arn(setting: str) -> bool:
    parts = setting.split(":")
    return len(parts) >= 7 and parts[0] == "arn" and parts[2] == "secretsmanager"


def _fetch(arn: str) -> str:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        secrets = boto3.client("secretsmanager", region_name=arn.split(":")[3])
        return str(secrets.get_secret_value(SecretId=arn)["SecretString"]).strip()
    except (BotoCoreError, ClientError, KeyError) as failure:
        raise SecretUnreadable(f"The API key's secret cannot be read ({type(failure).__name__}).") from failure
