"""The JSON Schema in the docs is that of the server, and agrees with it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from dvc_studio_models.server.config.schema import SERVE, json_schema
from tests.server.config.test_file import FULL, OIDC, REPOS, TOKENS, sections

SCHEMA = Path(__file__).parents[3] / "docs/serve.schema.json"


def check(text: str) -> None:
    value = YAML(typ="safe").load(text)
    # A date, as editors and check-jsonschema see it.
    plain = json.loads(json.dumps(value, default=str))
    jsonschema.Draft202012Validator(json_schema()).validate(plain)


def test_the_schema_in_the_docs_is_up_to_date() -> None:
    assert json.loads(SCHEMA.read_text()) == json_schema(), (
        "write it anew: json.dumps(json_schema(), indent=2)"
    )


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("text", [FULL, REPOS + TOKENS])
def test_a_valid_config_is_valid_by_the_schema(text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    "text",
    [
        TOKENS,
        f"repos: []\n{TOKENS}",
        f"{REPOS}  fetch: soon\n",
        f"{REPOS}  nobody: knows\n",
        f"{REPOS}  name: a b\n",
        f"{REPOS}  credentials: {{password: {{text: x}}}}\n",
        f"{REPOS}listen: 8501\n",
        f"{REPOS}- url: 'ext::sh -c id'\n",
        f"{REPOS}tokens: [{{name: ci}}]\n",
        f"{REPOS}tokens: [{{name: ci, sha256: abc}}]\n",
        REPOS + OIDC.replace("{}", "{sub: []}"),
    ],
)
def test_a_mistake_is_one_by_the_schema_too(text: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(text)


def test_every_key_says_what_it_means() -> None:
    keys = [each for section in sections(SERVE) for each in section.keys.values()]

    assert len(keys) > 20
    assert all(key.about.endswith(".") for key in keys)
