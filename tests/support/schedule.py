"""The order in which the workers of ``pytest -n`` get the test files: those that take longest first.

Otherwise a long one is begun last, and the other workers have nothing to do until it ends.
"""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

OPENSEARCH = "the files with OpenSearch"
LONGEST = (
    OPENSEARCH,
    "tests/integration/test_user_erasure_faults.py",
    "tests/integration/test_redaction_races.py",
    "tests/integration/test_distribution.py",
    "tests/integration/test_erasure_faults.py",
    "tests/integration/test_lost_replies.py",
    "tests/integration/test_answer_sizes.py",
    "tests/integration/test_erasure_handover.py",
    "tests/e2e/test_crashes.py",
)
"""What takes longest, beginning with the longest; the others follow by their number of tests."""
WITH_OPENSEARCH = (
    "tests/contract/",
    "tests/integration/test_rebuild_while_serving.py",
    "tests/integration/test_sam.py",
    "tests/integration/test_sam_local.py",
)
"""One worker runs all of them, so that OpenSearch is started once, and the template built once."""


class LongestFirst(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives each worker whole files, as ``--dist loadfile`` does, but these in this order."""

    def _split_scope(self, nodeid: str) -> str:
        return OPENSEARCH if nodeid.startswith(WITH_OPENSEARCH) else str(super()._split_scope(nodeid))

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = next((file for file in LONGEST if file in self.workqueue), None)
        if longest:
            self.workqueue.move_to_end(longest, last=False)
        super()._assign_work_unit(node)
