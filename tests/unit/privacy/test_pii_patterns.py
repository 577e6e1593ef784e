"""Personal data detected by its form, and what only looks like it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annals.privacy.detection import PiiMatch, mask_matches
from annals.privacy.patterns import PatternDetector


def masked(text: str) -> str:
    (matches,) = PatternDetector().detect([text])
    return mask_matches(text, matches)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("EMAIL", "ada@example.org"),
        ("EMAIL", "ada.lovelace+notes@mail.example.co.uk"),
        ("EMAIL", "o'neil_99@sub-domain.example.museum"),
        ("EMAIL", "münchen@bücher.example"),
        ("PHONE", "+44 20 7946 0958"),
        ("PHONE", "+1 (555) 010-9999"),
        ("PHONE", "+4930123456"),
        ("PHONE", "(555) 010-9999"),
        ("PHONE", "555.010.9999"),
        ("PHONE", "030 1234 5678"),
        ("PHONE", "0171-2345678"),
        ("CREDIT_DEBIT_NUMBER", "4111 1111 1111 1111"),
        ("CREDIT_DEBIT_NUMBER", "4111-1111-1111-1111"),
        ("CREDIT_DEBIT_NUMBER", "378282246310005"),
        ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", "DE89 3704 0044 0532 0130 00"),
        ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", "GB82WEST12345698765432"),
        ("INTERNATIONAL_BANK_ACCOUNT_NUMBER", "no9386011117947"),
        ("IP_ADDRESS", "192.168.1.254"),
        ("IP_ADDRESS", "2001:db8::8a2e:370:7334"),
        ("IP_ADDRESS", "fe80:0:0:0:204:61ff:fe9d:f156"),
        ("SSN", "078-05-1120"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "It is {}.", "({})", "a: {}, b", "say {}\nand more", "“{}”", "x={};"])
def test_personal_data_is_masked_and_what_is_around_it_stays(kind: str, text: str, around: str) -> None:
    assert masked(around.format(text)) == around.format(f"[{kind}]")


@pytest.mark.parametrize(
    "text",
    [
        "I fly on 2026-05-03 at 12:30:45 with flight LH1234.",
        "3.14159, 1,000,000 and 65536 are numbers; version 3.37.0 is one, too.",
        "4111 1111 1111 1112 has a wrong check digit, 1234567890123456 too.",
        "GB82 WEST 1234 5698 7654 33 has wrong check digits.",
        "000-12-3456, 666-12-3456, 900-12-3456 and 123-00-4567 are nobody's.",
        "256.1.1.1 and 1.2.3 and std::vector are no addresses.",
        "@ada, ada@, ada@host and a @ b are no e-mail addresses.",
        "[EMAIL] and [PHONE] are labels already.",
        "msg-001, conv-0123456789abcdef, mem:lisbon:1, 2026-05-03T10:00:00.000Z",
        "",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert masked(text) == text


def test_a_number_is_found_among_other_numbers() -> None:
    text = "Order 12345 4111 1111 1111 1111 12/29, then DE89 3704 0044 0532 0130 00 AND MORE"
    expected = "Order 12345 [CREDIT_DEBIT_NUMBER] 12/29, then [INTERNATIONAL_BANK_ACCOUNT_NUMBER] AND MORE"
    assert masked(text) == expected


def test_several_are_replaced_each_by_its_own_label() -> None:
    assert masked("ada@example.org or 555-010-9999, ada@example.org") == "[EMAIL] or [PHONE], [EMAIL]"


def test_of_matches_that_overlap_nothing_is_left() -> None:
    assert mask_matches("0123456789", [PiiMatch(2, 6, "A"), PiiMatch(4, 8, "B"), PiiMatch(3, 4, "C")]) == "01[A]89"


@given(st.text())
def test_masking_again_changes_nothing(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@pytest.mark.parametrize("piece", ["a", "1", "1 ", "a.", "a@", "0", "::", ":", "AB12 ", "+1", "555-", "9999 ", "é"])
def test_a_text_that_begins_like_personal_data_again_and_again_comes_to_an_end(piece: str) -> None:
    text = piece * (350_000 // len(piece))
    assert masked(text) == text
