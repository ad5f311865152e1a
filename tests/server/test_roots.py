"""A repo's DVC remotes may only be where its operator allows it."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import need_package
from projects import (
    CHURN,
    ORIGIN_URL,
    Project,
    commit_all,
    copy_project,
    git,
    serving,
    serving_config,
    write,
)

from dvc_studio_models.server.config.values import RepoConfig
from dvc_studio_models.server.stores.credentials import merge
from dvc_studio_models.server.stores.places import Place
from tests.server.api import ask, config_of, fetch, links, refusal

if TYPE_CHECKING:
    import requests

pytestmark = pytest.mark.reliability("The server: where remotes may be")


@pytest.fixture
def other(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repo of another team, on the same machine."""
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "other")


@pytest.fixture(params=["clone", "bare"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def place_of(project: Project, kind: str) -> str:
    return str(project.bare if kind == "bare" else project.repo)


def commit_config(project: Project, url: Path | str, *, own: bool = False) -> None:
    """Commit another default remote, or one that only churn names."""
    config = project.repo / ".dvc/config"
    if own:
        with config.open("a") as file:
            file.write(f"['remote \"theirs\"']\nurl = {url}\n")
        with (project.repo / "models/churn.pkl.dvc").open("a") as file:
            file.write("  remote: theirs\n")
    else:
        config.write_text(
            f"[core]\nremote = storage\n['remote \"storage\"']\nurl = {url}\n"
        )
    commit_all(project, "Name another place")
    project.tag("churn@v3.0.0")
    project.mirror()


def assert_is_outside(reply: requests.Response) -> None:
    status, detail = refusal(reply)
    assert (status, "a place that this server does not allow" in detail) == (500, True)


@pytest.mark.parametrize("own", [False, True], ids=["default", "of one output"])
def test_a_commit_cannot_lead_to_the_folder_of_another_team(
    project: Project,
    other: Project,
    kind: str,
    own: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with serving(f"acme/models={place_of(project, kind)}") as url:
        assert links(url, "churn")
        commit_config(project, other.storage, own=own)

        assert_is_outside(reply := ask(url, repo=ORIGIN_URL, name="churn"))
    assert str(other.storage) not in reply.text
    assert f"is at {other.storage}, which is not in its roots" in caplog.text


def test_a_remote_that_is_not_the_default_must_be_in_it_at_the_start_too(
    project: Project, other: Project, kind: str
) -> None:
    commit_config(project, other.storage, own=True)

    with serving(f"acme/models={place_of(project, kind)}") as url:
        assert_is_outside(ask(url, repo=ORIGIN_URL, name="churn"))
        assert links(url, "bert")


def test_roots_name_where_remotes_may_be(
    project: Project, other: Project, kind: str
) -> None:
    roots = (str(project.storage), str(other.root))
    repo = RepoConfig(place_of(project, kind), aliases=(ORIGIN_URL,), roots=roots)
    with serving_config(config_of(repo)) as url:
        commit_config(project, other.storage)

        link = links(url, "churn")["models/churn.pkl"]
        assert fetch(link).content == CHURN["v2.0.0"]


def test_with_roots_the_default_remote_must_be_in_them_from_the_start(
    project: Project, other: Project, kind: str
) -> None:
    roots = (str(other.storage),)
    repo = RepoConfig(place_of(project, kind), aliases=(ORIGIN_URL,), roots=roots)

    with serving_config(config_of(repo)) as url:
        assert_is_outside(ask(url, repo=ORIGIN_URL, name="churn"))


@pytest.mark.parametrize("which", ["folder", "link on the way"])
def test_a_committed_symlink_leads_nowhere_else(
    project: Project, other: Project, which: str
) -> None:
    inside = project.repo / "data"
    shutil.copytree(project.storage, inside / "storage")
    (project.repo / ".dvc/config").write_text(
        "[core]\nremote = storage\n['remote \"storage\"']\nurl = ../data/storage\n"
    )
    with serving(project.repo) as url:
        link = links(url, "churn")["models/churn.pkl"]
        shutil.rmtree(inside / "storage" if which == "folder" else inside)
        if which == "folder":
            (inside / "storage").symlink_to(other.storage)
        else:
            inside.symlink_to(other.root)

        assert fetch(link).status_code == 502
        project.tag("churn@v4.0.0", "churn@v2.0.0")
        assert_is_outside(ask(url, repo=ORIGIN_URL, name="churn"))


def test_a_new_project_in_a_repo_must_be_where_the_repo_is(
    project: Project, other: Project, kind: str
) -> None:
    with serving(f"acme/models={place_of(project, kind)}") as url:
        assert links(url, "churn")
        config = "[core]\nremote = storage\n['remote \"storage\"']\nurl = {}\n"
        folder = "services/fraud"
        write(
            project.repo,
            {f"{folder}/.dvc/config": config.format(other.storage).encode()},
        )
        commit_all(project, "Make a project of a folder")
        project.tag("services/fraud=fraud@v2.0.0")
        project.mirror()

        assert_is_outside(ask(url, repo=ORIGIN_URL, name=f"{folder}:fraud"))


def test_a_remote_of_the_servers_own_config_is_no_ones_because_of_its_name(
    project: Project, other: Project, kind: str
) -> None:
    folder = Path(os.environ["DVC_GLOBAL_CONFIG_DIR"])
    config = f"['remote \"theirs\"']\nurl = {other.storage}\n"
    write(folder, {"config": config.encode()})
    with serving(f"acme/models={place_of(project, kind)}") as url:
        assert links(url, "churn")
        (project.repo / ".dvc/config").write_text("[core]\nremote = theirs\n")
        commit_all(project, "Use the remote of others")
        project.mirror()

        assert_is_outside(ask(url, repo=ORIGIN_URL, name="churn"))


def test_a_remote_that_refers_to_another_does_not_leave_it(
    project: Project, kind: str
) -> None:
    with serving(f"acme/models={place_of(project, kind)}") as url:
        assert links(url, "churn")
        with (project.repo / ".dvc/config").open("a") as file:
            up = "../../other/storage"
            file.write(f"['remote \"up\"']\nurl = remote://storage/{up}\n")
        with (project.repo / "models/churn.pkl.dvc").open("a") as file:
            file.write("  remote: up\n")
        commit_all(project, "Go up")
        project.tag("churn@v3.0.0")
        project.mirror()

        assert_is_outside(ask(url, repo=ORIGIN_URL, name="churn"))


def test_a_new_tag_without_a_branch_names_no_other_place(
    project: Project, other: Project
) -> None:
    git(project.bare, "branch", "--quiet", "--delete", "--force", "main")
    with serving(f"acme/models={project.bare}") as url:
        assert links(url, "churn")
        commit_config(project, other.storage)
        git(project.bare, "branch", "--quiet", "--delete", "--force", "main")

        assert_is_outside(ask(url, repo=ORIGIN_URL, name="churn"))
        assert links(url, "churn", version="v2.0.0")


S3 = "[core]\nremote = s\n['remote \"s\"']\nurl = s3://models/x\nregion = eu-west-1\n"
KEYS = {"access_key_id": "KEY", "secret_access_key": "secret", "session_token": "SES"}


@pytest.mark.parametrize(
    ("roots", "before"),
    [
        (None, ""),
        (None, "endpointurl = http://127.0.0.1:9\n"),
        (("s3://models/x",), ""),
    ],
    ids=["own", "own service", "given"],
)
def test_a_commit_sends_no_signed_request_to_another_service(
    project: Project, kind: str, roots: tuple[str, ...] | None, before: str
) -> None:
    need_package("dvc_s3")
    config = project.repo / ".dvc/config"
    config.write_text(S3 + before)
    commit_all(project, "Store at S3")
    project.mirror()
    place = place_of(project, kind)
    repo = RepoConfig(place, aliases=(ORIGIN_URL,), roots=roots, credentials=KEYS)

    with serving_config(config_of(repo)) as url:
        assert links(url, "churn")
        with socket.create_server(("127.0.0.1", 0)) as other:
            other.settimeout(0)
            port = other.getsockname()[1]
            config.write_text(f"{S3}endpointurl = http://127.0.0.1:{port}/bucket\n")
            commit_all(project, "Send it elsewhere")
            project.tag("churn@v9.0.0")
            project.tag("bert@v9.0.0")
            project.mirror()

            for name in ("churn", "bert"):
                assert_is_outside(ask(url, repo=ORIGIN_URL, name=name))
            with pytest.raises(BlockingIOError):
                other.accept()


def test_with_roots_a_commit_names_no_service_even_before_the_start(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    need_package("dvc_s3")
    (project.repo / ".dvc/config").write_text(f"{S3}endpointurl = http://h:1/api\n")
    commit_all(project, "Store at S3")
    place, roots = str(project.repo), ("s3://models/x",)
    repo = RepoConfig(place, roots=roots, credentials=KEYS)

    with serving_config(config_of(repo)) as url:
        assert_is_outside(reply := ask(url, repo=ORIGIN_URL, name="churn"))
    assert "allow it with 'credentials.endpointurl'" in reply.text
    assert "add that to its 'credentials.endpointurl' in serve.yaml" in caplog.text

    allowed = RepoConfig(
        place, roots=roots, credentials={**KEYS, "endpointurl": "http://h:1/api"}
    )
    with serving_config(config_of(allowed)) as url:
        assert links(url, "churn")["models/churn.pkl"].startswith("http://h:1/api/")


def test_a_service_alone_leaves_the_credentials_as_they_are() -> None:
    settings = {"profile": "team"}

    merged = merge(settings, {"endpointurl": "http://h:1"}, "s3")

    assert merged == {"profile": "team", "endpointurl": "http://h:1"}


@pytest.mark.parametrize("where", ["credentials", "config.local"])
def test_the_operator_names_any_service(project: Project, where: str) -> None:
    need_package("dvc_s3")
    (project.repo / ".dvc/config").write_text(f"{S3}endpointurl = http://h:1\n")
    commit_all(project, "Store at S3")
    own = {**KEYS, "endpointurl": "http://h:2"}
    repo = RepoConfig(str(project.repo), credentials=own)
    if where == "config.local":
        lines = "".join(f"{key} = {value}\n" for key, value in own.items())
        local = f"['remote \"s\"']\n{lines}"
        (project.repo / ".dvc/config.local").write_text(local)
        repo = RepoConfig(str(project.repo))

    with serving_config(config_of(repo)) as url:
        assert links(url, "churn")["models/churn.pkl"].startswith("http://h:2/models/")


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("s3://bucket/models", "s3://bucket"),
        ("s3://bucket/models", "s3://bucket/models/"),
        ("s3://bucket/models/a", "s3://bucket/models"),
        ("https://HOST/a/b", "https://host/a"),
        ("azure://container/a", "azure://container"),
        ("/srv/a/b", "/srv/a"),
        ("/srv/a/b", "/"),
    ],
)
def test_a_place_is_in_a_root(place: str, root: str) -> None:
    assert Place.of_url(place).is_in([Place.of_url(root)])


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (None, "http://minio:9000"),
        ("http://minio:9000", "http://MINIO:9000/"),
        ("http://localhost:9000", "http://127.0.0.1:9000"),
    ],
)
def test_a_place_may_be_known_by_two_names_of_its_service(
    one: str | None, two: str
) -> None:
    place = Place.of_url("s3://bucket/models")
    inside = Place.of_url("s3://bucket/models/a")

    assert replace(place, service=one).overlaps(replace(inside, service=two))


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("s3://bucket/models-b", "s3://bucket/models"),
        ("s3://bucket-b/models", "s3://bucket"),
        ("s3://bucket", "s3://bucket/models"),
        ("s3://bucket/models/../b", "s3://bucket/models"),
        ("s3://bucket//models", "s3://bucket/models"),
        ("gs://bucket/models", "s3://bucket/models"),
        ("http://host/a", "https://host/a"),
        ("https://host/a/%2E%2e/b", "https://host/a"),
        ("https://host:8/a", "https://host/a"),
        ("https://host.example/a", "https://host"),
        ("azure://container/a?versionid=1", "azure://container"),
        ("/srv/ab", "/srv/a"),
        ("/srv/a/../b", "/srv/a"),
    ],
)
def test_a_place_is_not_in_a_root(place: str, root: str) -> None:
    assert not Place.of_url(place).is_in([Place.of_url(root)])
