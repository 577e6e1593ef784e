"""How the runner of the adapters' tests reads what came of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import integrations
from scripts.framework_environments import Environment, Suite
from scripts.integrations import Counts, Outcome, Runner, counts_of, skips_of, table

REPORT = """<testsuites><testsuite>
<testcase name="a"/>
<testcase name="b"><failure/></testcase>
<testcase name="b"><error/></testcase>
<testcase classname="tests.test_c" name="c"><skipped message="no PortAudio here"/></testcase>
<testcase name="d"><failure/><error/></testcase>
</testsuite></testsuites>"""


SUITE = Suite("strands-agents==1.62.0", "0" * 64, ("tests",), passes=2)


def test_a_report_is_counted_by_how_its_tests_ended(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    assert counts_of(tmp_path / "report.xml") == Counts(passed=1, failed=3, skipped=1)
    assert skips_of(tmp_path / "report.xml") == ["tests.test_c::c: no PortAudio here"]


@pytest.mark.parametrize("passed", [0, 1, 3])
def test_a_suite_of_which_another_number_passes_is_a_problem(monkeypatch: pytest.MonkeyPatch, passed: int) -> None:
    monkeypatch.setattr(Runner, "_pytest", lambda *_: (Counts(passed=passed), "printed"))
    outcome = Outcome(Environment("strands", ("strands",)))
    Runner("unix:///socket", "key")._suite(SUITE, outcome)
    assert outcome.problems == [
        f"strands-agents==1.62.0: {Counts(passed=passed)}; 2 should have passed\nprinted",
    ]


def test_an_environment_in_which_no_test_runs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "_pytest", lambda *_: (Counts(), "no tests ran"))
    outcome = Outcome(Environment("strands", ("strands",)))
    Runner("unix:///socket", "key")._tests(outcome)
    assert outcome.problems


def test_a_run_that_breaks_off_has_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "_run", lambda *_, **__: (2, "ImportError"))
    outcome = Outcome(Environment("strands", ("strands",)))
    counts, printed = Runner("unix:///socket", "key")._pytest(outcome, [], Path())
    assert (counts, printed) == (Counts(failed=1), "ImportError")


def test_what_a_machine_lacks_is_named_with_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = Environment("agno", ("agno",), needs_python=(99, 1))
    outcome = integrations.prepared(environment)
    assert outcome is not None
    assert outcome.lacks == "needs Python 99.1"
    assert not outcome.problems


def test_an_environment_that_cannot_be_installed_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Environment) -> None:
        raise integrations.NotPrepared("no such version")

    monkeypatch.setattr(integrations, "prepare", fail)
    outcome = integrations.prepared(Environment("agno", ("agno",)))
    assert outcome is not None
    assert outcome.problems == ["agno: no such version"]


def test_the_table_has_its_columns_below_each_other() -> None:
    row = ("agno", "agno 3.1.10", "49 passed", "8 passed", "passed", "12")
    heading, line = table([row]).splitlines()
    assert [heading.index(name) for name in ("versions", "mypy")] == [line.index("agno 3"), line.rindex("passed")]
