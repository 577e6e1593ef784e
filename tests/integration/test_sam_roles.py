"""What SAM adds to the functions' own statements: read from the roles that it makes of the template."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local.emulator import CREDENTIALS

ROOT = Path(__file__).parents[2]
PYTHON = Path(sys.executable).parent.parent / "sam/bin/python"

pytestmark = [
    pytest.mark.sam,
    pytest.mark.skipif(not PYTHON.exists(), reason="the SAM CLI is not installed: run `make setup`"),
]

TRANSFORM = """
import json
from samcli.lib.translate.sam_template_validator import SamTemplateValidator
from samcli.yamlhelper import yaml_parse

class NoPolicies:
    def load(self):
        return {}

validator = SamTemplateValidator(yaml_parse(open("template.yaml").read()), NoPolicies(), region="us-east-1")
print(json.dumps(yaml_parse(validator.get_translated_template_if_valid())))
"""

MANAGED = {
    # Each function's own log streams; the groups that they may write are not named in it.
    "service-role/AWSLambdaBasicExecutionRole",
    # X-Ray's calls have no resource that a statement could name.
    "AWSXrayWriteOnlyAccess",
    # For those that read a stream. It opens all streams of the account; ours carry keys and no words.
    "service-role/AWSLambdaDynamoDBExecutionRole",
    # For the one that reads a queue. It opens all queues of the account.
    "service-role/AWSLambdaSQSQueueExecutionRole",
}
"""What SAM adds to a role by itself, whatever the template says."""


@pytest.fixture(scope="module")
def roles() -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - the SAM translator of this checkout
        [PYTHON, "-c", TRANSFORM], cwd=ROOT, env=CREDENTIALS, capture_output=True, text=True, timeout=60, check=True
    )
    resources = json.loads(done.stdout)["Resources"]
    return {name: part["Properties"] for name, part in resources.items() if part["Type"] == "AWS::IAM::Role"}


def test_a_role_holds_no_managed_policy_but_those_that_sam_gives(roles: dict[str, Any]) -> None:
    names = {arn.split(":policy/")[1] for role in roles.values() for arn in role["ManagedPolicyArns"]}
    assert names == MANAGED


def test_only_what_reads_a_stream_may_read_streams(roles: dict[str, Any]) -> None:
    readers = {name for name, role in roles.items() if "DynamoDBExecutionRole" in json.dumps(role["ManagedPolicyArns"])}
    assert readers == {"ProjectFunctionRole", "IndexFunctionRole", "FinishErasureFunctionRole"}


def test_a_role_is_for_lambda_and_nobody_else(roles: dict[str, Any]) -> None:
    for role in roles.values():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": ["lambda.amazonaws.com"]}


def test_only_what_ingests_may_read_queues(roles: dict[str, Any]) -> None:
    readers = [name for name, role in roles.items() if "SQSQueueExecutionRole" in json.dumps(role["ManagedPolicyArns"])]
    assert readers == ["IngestFunctionRole"]


def test_beside_its_statements_a_role_may_send_what_it_failed_at_to_a_queue_of_its_own(roles: dict[str, Any]) -> None:
    added = [
        statement
        for name, role in roles.items()
        for policy in role.get("Policies", [])
        if policy["PolicyName"] != f"{name}Policy0"
        for statement in policy["PolicyDocument"]["Statement"]
    ]
    assert added
    for statement in added:
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"]["Fn::GetAtt"][0] in ("StreamFailures", "IngestFailures")
