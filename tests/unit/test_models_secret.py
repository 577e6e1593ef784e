"""API keys that are named by the ARN of a secret."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from annals.models.secret import ApiKey, SecretUnreadable

MISSING = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:none-AbCdEf"


@pytest.fixture
def arn(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        secrets = boto3.client("secretsmanager", region_name="eu-central-1")
        yield secrets.create_secret(Name="chat", SecretString="sk-1\n")["ARN"]


def test_a_secret_is_fetched_when_it_is_needed_and_only_once(arn: str):
    key = ApiKey(arn)
    assert key.headers() == {"Authorization": "Bearer sk-1"}
    boto3.client("secretsmanager", region_name="eu-central-1").put_secret_value(SecretId=arn, SecretString="sk-2")
    assert key.value() == "sk-1"


def test_a_secret_that_cannot_be_read_is_refused_without_its_name(arn: str):
    with pytest.raises(SecretUnreadable) as refused:
        ApiKey(MISSING).value()
    assert "arn:" not in str(refused.value)
