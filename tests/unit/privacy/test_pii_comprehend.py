"""Amazon Comprehend as a detector: how texts are put into its calls, and matches assigned to their texts."""

from __future__ import annotations

import re
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from annals.errors import PiiUnavailable
from annals.privacy import comprehend
from annals.privacy.comprehend import ComprehendDetector
from annals.privacy.detection import PiiMatch, mask_matches

ADA = "Ada"


class Comprehend:
    """Finds the name Ada, and takes no more than Comprehend does."""

    def __init__(self, **changed: Any) -> None:
        self.calls: list[str] = []
        self._changed = changed

    def detect_pii_entities(self, *, Text: str, LanguageCode: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert 1 <= len(Text.encode()) <= 100_000
        assert LanguageCode == "en"
        self.calls.append(Text)
        return {"Entities": [self._entity(match) for match in re.finditer(ADA, Text)]}

    def _entity(self, match: re.Match[str]) -> dict[str, Any]:
        return {
            "Type": "NAME",
            "Score": 0.99,
            "BeginOffset": match.start(),
            "EndOffset": match.end(),
            **self._changed,
        }


def masked(client: Any, *texts: str) -> list[str]:
    matches = ComprehendDetector(client, "en").detect(texts)
    return [mask_matches(text, found) for text, found in zip(texts, matches, strict=True)]


def test_names_are_masked_in_several_texts_by_one_call() -> None:
    client = Comprehend()
    assert masked(client, "Ada flies.", "", "To Ada: 😀 Ada!", "nobody") == [
        "[NAME] flies.",
        "",
        "To [NAME]: 😀 [NAME]!",
        "nobody",
    ]
    assert len(client.calls) == 1


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
def test_a_text_longer_than_a_call_takes_is_read_to_its_end(letter: str) -> None:
    client = Comprehend()
    text = f"Ada {letter * 120_000} Ada"
    assert masked(client, text) == [f"[NAME] {letter * 120_000} [NAME]"]
    assert len(client.calls) > 1


def test_a_name_that_a_cut_goes_through_is_found_all_the_same() -> None:
    for before in range(99_996, 100_003):
        text = "x" * before + ADA + "x" * 1000
        assert masked(Comprehend(), text) == [text.replace(ADA, "[NAME]")]


@given(st.lists(st.text(alphabet="Ada é😀\n", max_size=30), max_size=8))
def test_each_match_is_masked_in_its_own_text(texts: list[str]) -> None:
    assert masked(Comprehend(), *texts) == [text.replace(ADA, "[NAME]") for text in texts]


def test_what_is_a_guess_and_what_is_a_date_stay() -> None:
    assert masked(Comprehend(Score=0.3), "Ada") == ["Ada"]
    assert masked(Comprehend(Type="DATE_TIME"), "Ada") == ["Ada"]


def test_a_service_that_refuses_or_does_not_answer_is_unavailable() -> None:
    for failure in (
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, "DetectPiiEntities"),
        EndpointConnectionError(endpoint_url="https://comprehend.example"),
    ):
        client = Comprehend()
        client.detect_pii_entities = _raising(failure)  # type: ignore[method-assign]
        with pytest.raises(PiiUnavailable):
            masked(client, "Ada")


def _raising(failure: Exception) -> Any:
    def detect(**_: Any) -> None:
        raise failure

    return detect


def test_the_call_is_one_that_comprehend_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    client = boto3.client("comprehend", aws_access_key_id="x", aws_secret_access_key="x")
    answer = {"Entities": [{"Type": "NAME", "Score": 0.9, "BeginOffset": 3, "EndOffset": 6}]}
    with Stubber(client) as stub:
        stub.add_response("detect_pii_entities", answer, {"Text": "To Ada", "LanguageCode": "es"})
        assert ComprehendDetector(client, "es").detect(["To Ada"]) == [[PiiMatch(3, 6, "NAME")]]
    assert comprehend.client().meta.service_model.service_name == "comprehend"
