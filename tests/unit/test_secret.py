"""API keys that are named by the ARN of a secret: read when they are needed, and again in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from annals import telemetry
from annals.secret import RENEW_EVERY_S, RETRY_EVERY_S, ApiKey, SecretUnreadable

MISSING = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:none-AbCdEf"
MAX_AGE_S = 300.0


@pytest.fixture
def arn(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with mock_aws():
        yield secrets().create_secret(Name="chat", SecretString="sk-1\n")["ARN"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, which passes only as the test says."""
    now = [1000.0]
    monkeypatch.setattr("annals.secret.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(telemetry, "count", names.append)
    return names


def secrets() -> Any:
    return boto3.client("secretsmanager", region_name="eu-central-1")


def change(arn: str, to: str) -> None:
    secrets().put_secret_value(SecretId=arn, SecretString=to)


def lose(arn: str) -> None:
    """Secrets Manager hands it out no more."""
    secrets().delete_secret(SecretId=arn)


def restore(arn: str) -> None:
    secrets().restore_secret(SecretId=arn)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of Secrets Manager."""
    from annals import secret

    requested_arns, fetch = [], secret._fetch

    def counting(arn: str) -> str:
        requested_arns.append(arn)
        return fetch(arn)

    monkeypatch.setattr(secret, "_fetch", counting)
    return requested_arns


def test_a_secret_is_read_once_for_as_long_as_it_may_be_kept(arn: str, clock: list[float], reads: list[str]):
    key = ApiKey(arn, MAX_AGE_S)
    assert reads == []
    for _ in range(5):
        assert key.headers() == {"Authorization": "Bearer sk-1"}
    change(arn, "sk-2")
    clock[0] += MAX_AGE_S - 1
    assert key.value() == "sk-1"
    assert len(reads) == 1


def test_a_changed_secret_is_taken_when_the_time_is_over(arn: str, clock: list[float], reads: list[str]):
    key = ApiKey(arn, MAX_AGE_S)
    assert key.value() == "sk-1"
    change(arn, "sk-2")
    clock[0] += MAX_AGE_S
    assert [key.value(), key.value()] == ["sk-2", "sk-2"]
    assert len(reads) == 2


def test_a_key_that_is_no_secret_is_never_read(reads: list[str], clock: list[float]):
    key = ApiKey("sk-0", 1)
    clock[0] += 10
    key.renew()
    assert key.value() == "sk-0"
    assert key.headers_instead_of({"Authorization": "Bearer sk-0"}) is None
    assert (ApiKey("").headers(), reads) == ({}, [])


def test_a_key_that_was_read_goes_on_while_the_secret_cannot_be_and_that_is_counted(
    arn: str, clock: list[float], reads: list[str], counted: list[str]
):
    key = ApiKey(arn, MAX_AGE_S)
    assert key.value() == "sk-1"
    lose(arn)
    clock[0] += MAX_AGE_S
    assert [key.value() for _ in range(5)] == ["sk-1"] * 5
    assert (len(reads), counted) == (2, ["SecretsUnreadable"])
    restore(arn)
    change(arn, "sk-2")
    clock[0] += RETRY_EVERY_S
    assert key.value() == "sk-2"


def test_a_key_that_was_refused_is_read_again_at_once(arn: str, clock: list[float]):
    key = ApiKey(arn, MAX_AGE_S)
    old = key.headers()
    change(arn, "sk-2")
    assert key.headers_instead_of(old) == {"Authorization": "Bearer sk-2"}
    assert key.value() == "sk-2"


def test_a_key_that_stays_refused_is_not_read_for_each_request(arn: str, clock: list[float], reads: list[str]):
    key = ApiKey(arn, MAX_AGE_S)
    old = key.headers()
    assert [key.headers_instead_of(old) for _ in range(5)] == [None] * 5
    assert len(reads) == 2
    change(arn, "sk-2")
    clock[0] += RENEW_EVERY_S
    assert key.headers_instead_of(old) == {"Authorization": "Bearer sk-2"}


def test_a_request_with_a_key_that_another_one_has_renewed_gets_the_new_one(
    arn: str, clock: list[float], reads: list[str]
):
    key = ApiKey(arn, MAX_AGE_S)
    old = key.headers()
    change(arn, "sk-2")
    assert key.headers_instead_of(old) == key.headers_instead_of(old) == {"Authorization": "Bearer sk-2"}
    assert len(reads) == 2


def test_a_key_that_is_refused_while_the_secret_cannot_be_read_stays(arn: str, clock: list[float], counted: list[str]):
    key = ApiKey(arn, MAX_AGE_S)
    old = key.headers()
    lose(arn)
    assert key.headers_instead_of(old) is None
    assert (key.headers(), counted) == (old, ["SecretsUnreadable"])


def test_a_secret_that_cannot_be_read_is_refused_without_its_name(arn: str):
    with pytest.raises(SecretUnreadable) as refused:
        ApiKey(MISSING).value()
    assert "arn:" not in str(refused.value)


def test_no_key_is_shown_by_chance(arn: str):
    key = ApiKey(arn)
    key.value()
    assert "sk-1" not in repr(key) + str(key)
