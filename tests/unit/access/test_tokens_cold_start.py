"""What tokens cost where none comes: nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from annals.errors import ConfigurationError
from annals.settings import Settings
from local.template import ROOT

CODE = """
import sys
sys.path.insert(0, "functions/authorizer")
import app
event = {"methodArn": "arn:aws:execute-api:eu-west-1:0:a/prod/GET/v1", "headers": {"x-api-key": "the-root-key"}}
app.handler(event, None)
print(*(name for name in ("jwt", "cryptography", "annals.access.bearer_tokens") if name in sys.modules))
"""

ISSUER = {"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCE": "annals"}


def test_a_key_loads_nothing_of_what_tokens_need() -> None:
    env = {**ISSUER, "PYTHONPATH": "layers/annals", "ROOT_KEY": "the-root-key"}
    done = subprocess.run(  # noqa: S603 - written above
        [sys.executable, "-c", CODE], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"JWT_AUDIENCE": ""}, "JWT_AUDIENCE"),
        ({"JWT_ISSUER": "http://issuer.example"}, "JWT_ISSUER"),
        ({"JWT_ISSUER": "issuer.example"}, "JWT_ISSUER"),
        ({"JWT_JWKS_URL": "http://issuer.example/keys"}, "JWT_JWKS_URL"),
    ],
)
def test_a_setting_that_would_take_tokens_of_anybody_stops_the_start(changed: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_env({**ISSUER, **changed})
