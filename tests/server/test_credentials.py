"""Each repo signs with its own credentials, as they are now."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from needs import need_package
from projects import TOKEN, Project, commit_all, copy_project, serving, serving_config

from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    known_tokens,
)
from tests.server.api import ask, refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

S3 = "url = s3://models/{name}\nregion = eu-central-1\n"
AZURE = "url = azure://models/{name}\n"
SECRET = "c2VjcmV0LWtleQ=="


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with the credentials of somebody else."""
    for name in [*os.environ]:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))


def make(root: Path, name: str, settings: str, template: Path) -> Project:
    project = copy_project(template, root / name)
    config = f"[core]\nremote = storage\n['remote \"storage\"']\n{settings}"
    (project.repo / ".dvc/config").write_text(config.format(name=name))
    commit_all(project, "Store elsewhere")
    project.mirror()
    return project


@pytest.fixture
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.getbasetemp() / "template"


def served(projects: Mapping[str, Project], **own: Mapping[str, str]) -> ServeConfig:
    """Serve mirrors, each with its credentials."""
    repos = (
        RepoConfig(str(project.bare), name=name, credentials=own.get(name, {}))
        for name, project in projects.items()
    )
    return ServeConfig(tuple(repos), known_tokens({TOKEN: "tests"}))


def credentials_file(path: Path, key: str, profile: str = "default") -> dict[str, str]:
    path.write_text(
        f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = secret\n"
    )
    return {"credentialpath": str(path)}


def program(path: Path, key: str) -> dict[str, str]:
    """An AWS config whose program returns a key."""
    found = {"Version": 1, "AccessKeyId": key, "SecretAccessKey": "secret"}
    path.with_suffix(".json").write_text(json.dumps(found))
    path.write_text(f"[default]\ncredential_process = cat {path}.json\n")
    shutil.move(path.with_suffix(".json"), f"{path}.json")
    return {"configpath": str(path)}


def signed_by(url: str, repo: str) -> str:
    """Return the id of the key that signed a link."""
    reply = ask(url, repo=repo, name="churn")
    assert reply.status_code == 200, reply.text
    (link,) = reply.json().values()
    query = parse_qs(urlsplit(link).query)
    return query["X-Amz-Credential"][0].partition("/")[0]


def key_of(how: str, folder: Path, key: str) -> dict[str, str]:
    """Return credentials of a kind with this key."""
    if how == "file":
        return credentials_file(folder / key, key)
    if how == "profile":
        return {**credentials_file(folder / key, key, "mine"), "profile": "mine"}
    if how == "program":
        return program(folder / key, key)
    return {"access_key_id": key, "secret_access_key": "secret"}


@pytest.mark.parametrize("how", ["file", "profile", "program", "options"])
@pytest.mark.parametrize("where", ["serve.yaml", "config.local"])
def test_each_repo_signs_with_its_own_key(
    tmp_path: Path,
    template: Path,
    how: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OF-THE-SERVER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    before = dict(os.environ)
    projects = {name: make(tmp_path, name, S3, template) for name in ("one", "two")}
    own = {name: key_of(how, tmp_path, name.upper()) for name in projects}
    if where == "config.local":
        config = ServeConfig(
            tuple(RepoConfig(str(p.repo), name=n) for n, p in projects.items()),
            known_tokens({TOKEN: "tests"}),
        )
        for name, project in projects.items():
            lines = (f"{option} = {value}\n" for option, value in own[name].items())
            local = f"['remote \"storage\"']\n{''.join(lines)}"
            (project.repo / ".dvc/config.local").write_text(local)
    else:
        config = served(projects, **own)

    with serving_config(config) as url:
        signers = [signed_by(url, name) for name in ("one", "two", "one")]

    assert signers == ["ONE", "TWO", "ONE"]
    assert dict(os.environ) == before


def test_a_repo_without_credentials_signs_with_the_servers(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OF-THE-SERVER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    projects = {name: make(tmp_path, name, S3, template) for name in ("one", "two")}
    own = key_of("file", tmp_path, "ONE")

    with serving_config(served(projects, one=own)) as url:
        assert signed_by(url, "one") == "ONE"
        assert signed_by(url, "two") == "OF-THE-SERVER"


def test_no_key_of_a_remote_of_the_same_name_is_used(
    tmp_path: Path, template: Path
) -> None:
    need_package("dvc_s3")
    projects = {"one": make(tmp_path, "one", S3, template)}
    folder = Path(os.environ["DVC_GLOBAL_CONFIG_DIR"])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(
        "['remote \"storage\"']\nurl = s3://x/y\nsession_token = OTHERS\n"
        "access_key_id = OTHERS\nsecret_access_key = secret\n"
    )

    with serving_config(served(projects, one=key_of("", tmp_path, "ONE"))) as url:
        (link,) = ask(url, repo="one", name="churn").json().values()

    assert "X-Amz-Credential=ONE" in link
    assert "OTHERS" not in link


@pytest.mark.parametrize("missing", ["file", "profile"])
def test_no_other_key_takes_the_place_of_a_missing_one(
    tmp_path: Path, template: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "OF-THE-SERVER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    projects = {"one": make(tmp_path, "one", S3, template)}
    own = credentials_file(tmp_path / "keys", "ONE", "mine")
    if missing == "file":
        own = {"credentialpath": str(tmp_path / "none")}

    with serving_config(served(projects, one=own)) as url:
        status, detail = refusal(ask(url, repo="one", name="churn"))

    assert status == 500
    assert detail.startswith("cannot sign links for the DVC remote 'storage': ")


@pytest.mark.parametrize("where", ["credentialpath", "home", "configpath"])
def test_a_rotated_key_is_used_at_once(
    tmp_path: Path, template: Path, where: str
) -> None:
    need_package("dvc_s3")
    projects = {"one": make(tmp_path, "one", S3, template)}
    path = tmp_path / ".aws/credentials" if where == "home" else tmp_path / "keys"
    path.parent.mkdir(exist_ok=True)
    write = program if where == "configpath" else credentials_file
    own = {} if where == "home" else write(path, "OLD")
    if where == "home":
        write(path, "OLD")

    with serving_config(served(projects, one=own)) as url:
        before = signed_by(url, "one")
        write(path, "NEW-ONE")
        after = signed_by(url, "one")

    assert (before, after) == ("OLD", "NEW-ONE")


def test_links_to_s3_are_signed_by_version_4_unless_the_operator_says_otherwise(
    tmp_path: Path, template: Path
) -> None:
    need_package("dvc_s3")
    settings = S3.replace("eu-central-1", "us-east-1")
    projects = {"one": make(tmp_path, "one", settings, template)}
    own = key_of("", tmp_path, "ONE")
    old = tmp_path / "old"
    old.write_text("[default]\ns3 =\n    signature_version = s3\n")

    with serving_config(served(projects, one=own)) as url:
        (new_link,) = ask(url, repo="one", name="churn").json().values()
    with serving_config(served(projects, one={**own, "configpath": str(old)})) as url:
        (old_link,) = ask(url, repo="one", name="churn").json().values()

    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in new_link
    assert "?AWSAccessKeyId=ONE&Signature=" in old_link


@pytest.mark.parametrize("how", ["key", "connection string"])
def test_an_azure_account_of_the_environment_does_not_sign_for_a_repo(
    tmp_path: Path, template: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package("dvc_azure")
    form = "DefaultEndpointsProtocol=https;AccountName={};AccountKey={}"
    others = form.format("others", SECRET)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", others)
    projects = {"one": make(tmp_path, "one", AZURE, template)}
    own = {"account_name": "mine", "account_key": SECRET}
    if how == "connection string":
        own = {"connection_string": form.format("mine", SECRET)}

    with serving_config(served(projects, one=own)) as url:
        reply = ask(url, repo="one", name="churn")

    assert reply.status_code == 200, reply.text
    (link,) = reply.json().values()
    assert link.startswith("https://mine.blob.core.windows.net/models/one/files/")
    assert SECRET not in reply.text


def test_credentials_that_dvc_does_not_accept_are_the_servers_fault(
    tmp_path: Path, template: Path, caplog: pytest.LogCaptureFixture
) -> None:
    projects = {"one": make(tmp_path, "one", S3, template)}
    own = {"use_ssl": "SECRET-perhaps"}

    with serving_config(served(projects, one=own)) as url:
        status, detail = refusal(ask(url, repo="one", name="churn"))

    assert status == 500
    assert "SECRET" not in detail + caplog.text


def test_a_committed_account_is_a_name_and_no_address(
    tmp_path: Path, template: Path
) -> None:
    """It becomes a part of the host to which requests are sent."""
    need_package("dvc_azure")
    settings = f"{AZURE}account_name = evil.example/x?\n"
    project = make(tmp_path, "one", settings, template)
    (project.repo / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\naccount_key = {SECRET}\n"
    )

    with serving(project.repo) as url:
        reply = ask(url, repo=str(project.repo), name="churn")

    assert reply.status_code == 500
    assert "evil" not in reply.text
