"""What protects the stack from outside: the customer's key, throttling, a web ACL, and who else may write to it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from local import template

DOCUMENT = template.document_of(template.ROOT / "template.yaml")
RESOURCES: dict[str, Any] = DOCUMENT["Resources"]
PARAMETERS: dict[str, Any] = DOCUMENT["Parameters"]
CONDITIONS: dict[str, Any] = DOCUMENT["Conditions"]

NOTHING = {"Ref": "AWS::NoValue"}
OWN_KEY = {"Fn::If": ["UsesOwnKey", {"Ref": "KmsKeyArn"}, NOTHING]}

KEY_OF: dict[str, Callable[[dict[str, Any]], Any]] = {
    "AWS::DynamoDB::Table": lambda table: table["SSESpecification"]["KMSMasterKeyId"],
    "AWS::Events::EventBus": lambda bus: bus["KmsKeyIdentifier"],
    "AWS::Logs::LogGroup": lambda group: group["KmsKeyId"],
    "AWS::S3::Bucket": lambda bucket: bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0][
        "ServerSideEncryptionByDefault"
    ]["KMSMasterKeyID"],
    "AWS::SecretsManager::Secret": lambda secret: secret["KmsKeyId"],
    "AWS::SNS::Topic": lambda topic: topic["KmsMasterKeyId"],
    "AWS::SQS::Queue": lambda queue: queue["KmsMasterKeyId"],
}
"""Where each kind of what stores something has its key."""

STORING_NOTHING = (
    "AWS::ApiGateway::", "AWS::CloudFormation::Stack", "AWS::CloudWatch::", "AWS::Events::Rule", "AWS::IAM::Policy",
    "AWS::Lambda::", "AWS::Scheduler::", "AWS::OpenSearchServerless::", "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy", "AWS::Serverless::", "AWS::WAFv2::",
)  # fmt: skip
"""What stores nothing, or, as the search collection and the functions' settings, has a test of its own."""

EVERYTHING: dict[str, Any] = {**RESOURCES, **template.document_of(template.ROOT / "operations.yaml")["Resources"]}
STORING = {name: part for name, part in EVERYTHING.items() if part["Type"] in KEY_OF}


@pytest.mark.parametrize("name", STORING)
def test_what_is_stored_is_encrypted_with_the_customer_s_key_where_there_is_one(name: str) -> None:
    part = EVERYTHING[name]
    assert KEY_OF[part["Type"]](part["Properties"]) == OWN_KEY


@pytest.mark.parametrize("name", sorted(EVERYTHING.keys() - STORING.keys()))
def test_nothing_else_stores_anything(name: str) -> None:
    assert EVERYTHING[name]["Type"].startswith(STORING_NOTHING), "say in KEY_OF where its key is"


def of_type(kind: str) -> dict[str, Any]:
    """The properties of all resources of a type; there is one at least."""
    found = {name: part["Properties"] for name, part in EVERYTHING.items() if part["Type"] == kind}
    assert found, kind
    return found


@pytest.mark.parametrize("queue", of_type("AWS::SQS::Queue").values(), ids=of_type("AWS::SQS::Queue"))
def test_a_queue_has_one_kind_of_encryption_or_the_other(queue: dict[str, Any]) -> None:
    assert queue["SqsManagedSseEnabled"] == {"Fn::If": ["UsesOwnKey", NOTHING, True]}


@pytest.mark.parametrize("table", of_type("AWS::DynamoDB::Table").values(), ids=of_type("AWS::DynamoDB::Table"))
def test_a_table_is_encrypted_without_a_key_of_the_customer_too(table: dict[str, Any]) -> None:
    assert table["SSESpecification"]["SSEEnabled"] is True


@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket").values(), ids=of_type("AWS::S3::Bucket"))
def test_a_bucket_is_encrypted_without_a_key_of_the_customer_too(bucket: dict[str, Any]) -> None:
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == {"Fn::If": ["UsesOwnKey", "aws:kms", "AES256"]}


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_a_bucket_is_private_and_refuses_plain_http(name: str) -> None:
    access = EVERYTHING[name]["Properties"]["PublicAccessBlockConfiguration"]
    assert set(access) == {"BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"}
    assert all(access.values())
    (policy,) = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": name}]
    (refusal,) = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Deny"]
    assert (refusal["Principal"], refusal["Action"]) == ("*", "s3:*")
    assert refusal["Condition"] == {"Bool": {"aws:SecureTransport": False}}


def test_nothing_that_is_erased_stays_as_a_version_and_what_nobody_names_goes_after_a_day() -> None:
    bucket = RESOURCES["BlobsBucket"]["Properties"]
    assert "VersioningConfiguration" not in bucket
    assert bucket["LifecycleConfiguration"]["Rules"] == [
        {"Id": "uploads-that-nobody-names-go", "Status": "Enabled", "Prefix": "uploads/", "ExpirationInDays": 1}
    ]
    assert RESOURCES["BlobsBucket"]["DeletionPolicy"] == "Retain"


def test_the_collection_and_the_functions_settings_are_encrypted_with_it() -> None:
    condition, own, other = RESOURCES["CollectionEncryption"]["Properties"]["Policy"]["Fn::If"]
    assert condition == "UsesOwnKey"
    assert '"AWSOwnedKey": false, "KmsARN": "${KmsKeyArn}"' in own["Fn::Sub"]
    assert '"AWSOwnedKey": true' in other["Fn::Sub"]
    assert DOCUMENT["Globals"]["Function"]["KmsKeyArn"] == OWN_KEY


def test_every_function_may_use_that_key_and_no_other() -> None:
    part = RESOURCES["UseOfKey"]
    functions = [name for name, each in RESOURCES.items() if each["Type"] == "AWS::Serverless::Function"]
    assert part["Condition"] == "UsesOwnKey"
    assert part["Properties"]["Roles"] == [{"Ref": f"{name}Role"} for name in functions]
    (statement,) = part["Properties"]["PolicyDocument"]["Statement"]
    assert (statement["Effect"], statement["Resource"]) == ("Allow", {"Ref": "KmsKeyArn"})
    assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert "kms:" not in json.dumps({name: RESOURCES[name] for name in functions})


def test_what_is_empty_is_off() -> None:
    for condition, parameter in (("UsesOwnKey", "KmsKeyArn"), ("HasWebAcl", "WebAclArn")):
        assert PARAMETERS[parameter]["Default"] == ""
        assert CONDITIONS[condition] == {"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}


def test_every_method_is_throttled() -> None:
    (settings,) = RESOURCES["Api"]["Properties"]["MethodSettings"]
    assert (settings["HttpMethod"], settings["ResourcePath"]) == ("*", "/*")
    assert settings["ThrottlingRateLimit"] == {"Ref": "ThrottleRate"}
    assert settings["ThrottlingBurstLimit"] == {"Ref": "ThrottleBurst"}


def test_a_web_acl_stands_in_front_of_the_api_s_stage() -> None:
    part = RESOURCES["WebAcl"]
    assert (part["Type"], part["Condition"]) == ("AWS::WAFv2::WebACLAssociation", "HasWebAcl")
    assert part["Properties"]["WebACLArn"] == {"Ref": "WebAclArn"}
    assert part["Properties"]["ResourceArn"]["Fn::Sub"].endswith("::/restapis/${Api}/stages/${Api.Stage}")


POLICIES = {
    name: statement
    for name, part in RESOURCES.items()
    if part["Type"].endswith(("QueuePolicy", "BucketPolicy", "TopicPolicy", "EventBusPolicy"))
    for statement in part["Properties"]["PolicyDocument"]["Statement"]
    if statement["Effect"] == "Allow"
}


@pytest.mark.parametrize("name", POLICIES)
def test_from_outside_only_services_and_own_roles_are_let_in_and_services_only_for_this_stack(name: str) -> None:
    statement = POLICIES[name]
    assert statement["Principal"] != "*"
    if "Service" in statement["Principal"]:
        assert "aws:SourceA" in json.dumps(statement["Condition"])
    else:
        assert "Role" in json.dumps(statement["Principal"]["AWS"])


@pytest.mark.parametrize("name", of_type("AWS::S3::Bucket"))
def test_a_bucket_is_nobody_else_s_and_takes_no_plain_http(name: str) -> None:
    assert set(RESOURCES[name]["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    policies = of_type("AWS::S3::BucketPolicy").values()
    (policy,) = (each["PolicyDocument"] for each in policies if each["Bucket"] == {"Ref": name})
    assert any(each["Effect"] == "Deny" and "SecureTransport" in str(each) for each in policy["Statement"])
