"""``annals cost``: prices and measures in, a month's bill out."""

from __future__ import annotations

import json

import pytest

from annals.cli.main import main


def bill(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, float]]:
    """What the command computes."""
    assert main(["cost", "--json", *arguments]) == 0
    tables: dict[str, dict[str, float]] = json.loads(capsys.readouterr().out)
    return tables


def test_a_million_turns_write_as_many_units_as_they_have_kilobytes(capsys: pytest.CaptureFixture[str]) -> None:
    one = bill(capsys)["A turn of 1 KB, a million times"]
    three = bill(capsys, "--turn-kb", "3")["A turn of 3 KB, a million times"]
    assert one["ledger, written"] == pytest.approx(0.625)
    assert three["ledger, written"] == pytest.approx(3 * 0.625)
    assert three["heads and lists, written"] == one["heads and lists, written"]


def test_the_month_is_the_sum_of_its_turns_searches_gigabytes_and_idling(capsys: pytest.CaptureFixture[str]) -> None:
    tables = bill(capsys, "--turns", "2e6", "--searches", "5e5", "--stored-gb", "7")
    in_all = {name: sum(lines.values()) for name, lines in tables.items()}
    month = tables["This month"]
    assert month["turns"] == pytest.approx(2 * in_all["A turn of 1 KB, a million times"])
    assert month["searches"] == pytest.approx(in_all["A search, a million times"] / 2)
    assert month["stored"] == pytest.approx(7 * in_all["A gigabyte for a month"])
    assert month["idle"] == pytest.approx(in_all["An idle month"])


def test_an_index_that_sleeps_costs_nothing_and_one_that_runs_by_the_hour(capsys: pytest.CaptureFixture[str]) -> None:
    assert bill(capsys)["An idle month"]["index, running"] == 0
    assert bill(capsys, "--ocus", "2")["An idle month"]["index, running"] == pytest.approx(2 * 730 * 0.24)


def test_each_time_that_the_index_is_woken_costs_its_capacity_until_it_sleeps_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert bill(capsys, "--wakes", "60")["An idle month"]["index, woken"] == pytest.approx(60 * 2 * 11 / 60 * 0.24)


def test_prices_and_measures_can_be_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    tables = bill(capsys, "--set", "million_wcu=1.25", "--set", "project_wcu=4")
    assert tables["A turn of 1 KB, a million times"]["heads and lists, written"] == pytest.approx(5)


@pytest.mark.parametrize("setting", ["nothing=1", "million_wcu", "million_wcu=dear"])
def test_a_setting_that_is_none_is_refused_by_name(capsys: pytest.CaptureFixture[str], setting: str) -> None:
    assert main(["cost", "--set", setting]) == 1
    assert setting.partition("=")[0] in capsys.readouterr().err


def test_the_tables_are_read_by_people_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost"]) == 0
    assert "An idle month, USD" in capsys.readouterr().out
