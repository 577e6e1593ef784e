"""Test the adapters to agents' frameworks, each in an environment of its own: ``make test-integrations``.

Of each environment (``scripts/framework_environments.py``) it runs the framework's own suites with our classes in them,
our tests in ``tests/frameworks``, and mypy --strict on the adapters and on those tests. All share one server, an Annals
in memory. ``ONLY=agno,strands`` chooses environments, ``ARGS='-k pop -x'`` are pytest's for our tests alone.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from annals_client.testing import Sandbox
from local.template import ROOT
from scripts.framework_environments import TESTS, Environment, NotPrepared, Suite, environments, pin, prepare

RUN_TIMEOUT_S = 900
COLUMNS = ("environment", "versions", "own suite", "our tests", "mypy", "seconds")


@dataclass(frozen=True)
class Counts:
    """How many tests came to which end."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Outcome:
    """What came of an environment.

    ``problems`` are the parts that failed, with what they printed; ``skips`` are tests with the reason.
    """

    environment: Environment
    lacks: str | None = None
    suites: Counts = field(default_factory=Counts)
    tests: Counts = field(default_factory=Counts)
    mypy: str = "–"
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """Its row in the table."""
        if self.lacks:
            return (self.environment.name, self.environment.versions, f"skipped: {self.lacks}", "", "", "")
        counts = (str(counts) if counts != Counts() else "–" for counts in (self.suites, self.tests))
        return (self.environment.name, self.environment.versions, *counts, self.mypy, f"{self.seconds:.0f}")


@dataclass(frozen=True)
class Runner:
    """Runs what belongs to an environment, against one server."""

    url: str
    key: str
    args: Sequence[str] = ()
    """Arguments of pytest: with any, our tests are run, and nothing else."""

    def outcome(self, environment: Environment) -> Outcome:
        """Run all of an environment that is prepared."""
        outcome = Outcome(environment)
        begun = time.monotonic()
        if not self.args:
            for suite in environment.suites:
                self._suite(suite, outcome)
        self._tests(outcome)
        if not self.args:
            self._mypy(outcome)
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _suite(self, suite: Suite, outcome: Outcome) -> None:
        counts, printed = self._pytest(outcome, suite.args, suite.folder)
        outcome.suites += counts
        if counts.failed or counts.passed != suite.passes:
            title = f"{suite.sdist}: {counts}; {suite.passes} should have passed"
            outcome.problems.append(f"{title}\n{printed}")

    def _tests(self, outcome: Outcome) -> None:
        own = ["-c", str(TESTS / "pytest.ini"), "--rootdir", str(ROOT), str(outcome.environment.tests)]
        counts, printed = self._pytest(outcome, [*own, *self.args], ROOT)
        outcome.tests += counts
        if counts.failed or not counts.passed:
            outcome.problems.append(f"tests/frameworks/{outcome.environment.name}: {counts}\n{printed}")

    def _pytest(self, outcome: Outcome, args: Sequence[str], folder: Path) -> tuple[Counts, str]:
        """Run tests in an environment: how they ended, and what was printed. A run that breaks off has a failure."""
        environment = outcome.environment
        with TemporaryDirectory() as temporary:
            report = Path(temporary, "report.xml")
            options = ["-p", "no:cacheprovider", f"--basetemp={temporary}/tests", f"--junitxml={report}"]
            code, printed = self._run(
                [environment.python, "-m", "pytest", *options, *args],
                folder,
                PYTHONPATH=environment.import_path,
                ANNALS_URL=self.url,
                ANNALS_KEY=self.key,
            )
            counts = counts_of(report) if report.exists() else Counts()
            outcome.skips += skips_of(report) if report.exists() else []
        return counts if code == 0 or counts.failed else counts + Counts(failed=1), printed

    def _mypy(self, outcome: Outcome) -> None:
        environment = outcome.environment
        files = [*environment.adapter_files(), *sorted(environment.tests.rglob("*.py"))]
        code, printed = self._run(
            [
                *(sys.executable, "-m", "mypy", "--config-file", TESTS / "mypy.ini"),
                *("--python-executable", environment.python, "--cache-dir", environment.folder / ".mypy_cache"),
                *files,
            ],
            ROOT,
            MYPYPATH=environment.import_path,
        )
        outcome.mypy = "failed" if code else "passed"
        if code:
            outcome.problems.append(f"mypy --strict in {environment.name}:\n{printed}")

    def _run(self, command: Sequence[str | Path], folder: Path, **variables: str) -> tuple[int, str]:
        """Run a program: its exit code, and what it printed. One that does not end is ended, and has failed."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | variables
        try:
            done = subprocess.run(  # noqa: S603 - pytest and mypy
                command,
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=RUN_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as failure:
            printed = failure.stdout.decode(errors="replace") if isinstance(failure.stdout, bytes) else ""
            return 1, f"{printed}\nIt did not end within {RUN_TIMEOUT_S} s."
        return done.returncode, done.stdout


def counts_of(report: Path) -> Counts:
    """How the tests of a JUnit report ended; a test that failed and whose teardown failed counts once."""
    ends = Counter(_end(case) for case in ElementTree.parse(report).iter("testcase"))  # noqa: S314 - pytest's own
    return Counts(ends["passed"], ends["failed"], ends["skipped"])


def skips_of(report: Path) -> list[str]:
    """The tests of a JUnit report that were skipped, each with the reason."""
    cases = ElementTree.parse(report).iter("testcase")  # noqa: S314 - pytest's own
    found = [(case, skip) for case in cases if (skip := case.find("skipped")) is not None]
    return [f"{case.get('classname')}::{case.get('name')}: {skip.get('message')}" for case, skip in found]


def _end(case: ElementTree.Element) -> str:
    found = {child.tag for child in case}
    if found & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in found else "passed"


def prepared(environment: Environment) -> Outcome | None:
    """Prepare an environment; what came of it where that failed, or the machine lacks something."""
    if environment.lacks:
        return Outcome(environment, lacks=environment.lacks)
    begun = time.monotonic()
    try:
        prepare(environment)
    except NotPrepared as failure:
        return Outcome(environment, seconds=time.monotonic() - begun, problems=[f"{environment.name}: {failure}"])
    print(f"{environment.name} is prepared ({time.monotonic() - begun:.0f} s)", flush=True)
    return None


def run_all(chosen: Sequence[Environment], args: Sequence[str], jobs: int) -> list[Outcome]:
    """Prepare and run environments, ``jobs`` at a time."""
    with ThreadPoolExecutor(jobs) as pool:
        given_up = dict(zip(chosen, pool.map(prepared, chosen), strict=True))
        with Sandbox() as sandbox:
            runner = Runner(sandbox.url, sandbox.root_key, args)
            run: Callable[[Environment], Outcome] = lambda environment: report(  # noqa: E731
                given_up[environment] or runner.outcome(environment)
            )
            outcomes = list(pool.map(run, chosen))
            if any(outcome.problems for outcome in outcomes) and sandbox.log:
                print(f"\n── the server said last\n{sandbox.log}")
            return outcomes


def report(outcome: Outcome) -> Outcome:
    """Print what came of an environment, as soon as it is known."""
    print("  ".join(cell for cell in outcome.row() if cell), flush=True)
    if outcome.skips:
        print("\n".join([f"\n── skipped in {outcome.environment.name}", *outcome.skips]), flush=True)
    for problem in outcome.problems:
        print(f"\n── {problem}", flush=True)
    return outcome


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows as text, in columns."""
    lines = [COLUMNS, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def main() -> None:
    """Run the environments that were asked for; exit with 1 if any of them failed."""
    known = {environment.name: environment for environment in environments()}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"some of: {', '.join(known)}; with commas between them")
    parser.add_argument("--jobs", type=int, default=2, help="how many environments at a time")
    parser.add_argument("--args", default="", help="pytest's arguments, for our own tests alone")
    parser.add_argument("--pin", action="store_true", help="compile requirements/integrations/*.txt, and do no more")
    options = parser.parse_args()
    names = [name for name in options.only.split(",") if name] or [*known]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"There is no environment {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in names]
    if options.pin:
        for environment in chosen:
            pin(environment)
        return
    outcomes = run_all(chosen, shlex.split(options.args), options.jobs)
    print(f"\n{table(outcome.row() for outcome in outcomes)}\n")
    total = sum((outcome.suites + outcome.tests for outcome in outcomes), Counts())
    print(f"integrations: {total}")
    if failed := [outcome.environment.name for outcome in outcomes if outcome.problems]:
        sys.exit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
