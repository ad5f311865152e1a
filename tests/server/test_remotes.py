"""The DVC remotes of a served repo, as its config has them while the server runs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from projects import (
    CHURN,
    ORIGIN_URL,
    Project,
    age,
    commit_all,
    serving,
    serving_config,
    write,
)

from dvc_studio_models.server.config.values import RepoConfig, ServeConfig
from tests.server.api import (
    annotate,
    ask,
    config_of,
    fetch,
    links,
    refusal,
)


def with_roots(
    project: Project, *folders: str, repo: Path | None = None
) -> ServeConfig:
    """Allow a repo more folders than its default remote's."""
    roots = tuple(str(project.root / folder) for folder in folders)
    path = str(repo or project.repo)
    return config_of(RepoConfig(path, aliases=(ORIGIN_URL,), roots=roots))


@pytest.mark.parametrize("where", ["config", "config.local"])
def test_a_remote_that_cannot_be_signed_is_refused_with_its_kind(
    project: Project, where: str
) -> None:
    (project.repo / ".dvc" / where).write_text(
        "[core]\nremote = cloud\n['remote \"cloud\"']\nurl = ssh://host/path\n"
    )

    with serving(project.repo) as url:
        reply = ask(url, repo=ORIGIN_URL, name="churn")

    assert refusal(reply) == (
        500,
        (
            "the DVC remote 'cloud' is of type 'ssh', for which this server cannot "
            "sign links; it can for: local, azure, gs, http, https, s3"
        ),
    )


def test_a_remote_in_the_home_of_nobody_is_not_there(project: Project) -> None:
    (project.repo / ".dvc" / "config").write_text(
        "[core]\nremote = r\n['remote \"r\"']\nurl = ~no-such-user/x\n"
    )

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert status == 502
    assert "'r' is a folder that this server does not have" in detail


def test_a_remote_whose_package_is_missing_is_refused_with_its_kind(
    project: Project,
) -> None:
    (project.repo / ".dvc" / "config").write_text(
        "[core]\nremote = cloud\n['remote \"cloud\"']\nurl = hdfs://host/path\n"
    )

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert (status, "is of type 'hdfs'" in detail) == (500, True)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            "",
            (
                "it has no default one; run 'dvc remote default NAME' in it, "
                "or serve it with '--remote NAME'"
            ),
        ),
        (
            "[core]\nremote = gone\n",
            "config file error: remote 'gone' doesn't exist",
        ),
    ],
    ids=["no default", "unknown"],
)
def test_a_repo_without_its_remote_is_refused(
    project: Project, config: str, reason: str
) -> None:
    (project.repo / ".dvc" / "config").write_text(config)
    detail = f"no DVC remote to serve 'models' from: {reason}"

    with serving(project.repo) as url:
        assert refusal(ask(url, repo=ORIGIN_URL, name="churn")) == (500, detail)


def test_a_remote_may_be_chosen_by_name(project: Project) -> None:
    project.storage.rename(project.root / "other")
    with (project.repo / ".dvc" / "config").open("a") as file:
        file.write("['remote \"second one\"']\nurl = ../../other\n")

    with serving(project.repo, remote="second one") as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]


def test_an_output_may_name_a_remote_of_its_own(project: Project) -> None:
    config = with_roots(project, "storage", "own")
    shutil.copytree(project.storage, project.root / "own")
    with (project.repo / ".dvc" / "config").open("a") as file:
        file.write("['remote \"own\"']\nurl = ../../own\n")
    with (project.repo / "models" / "churn.pkl.dvc").open("a") as file:
        file.write("  remote: own\n")
    annotate(project, "models/churn.pkl")

    with serving_config(config) as url:
        link = links(url, "m")["models/churn.pkl"]
        shutil.rmtree(project.storage)

        assert "/objects/models/own/" in link
        assert fetch(link).content == CHURN["v2.0.0"]


def test_a_bare_repo_may_have_a_remote_with_an_absolute_path(project: Project) -> None:
    config = project.repo / ".dvc" / "config"
    absolute = config.read_text().replace("../../storage", str(project.storage))
    config.write_text(absolute)
    commit_all(project, "Name the storage's whole path")
    project.mirror()
    moved = project.bare.rename(project.root.parent / "models.git")

    with serving(f"acme/models={moved}") as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize("name", ["config", "config.local"])
def test_a_change_of_the_remote_is_seen_while_the_server_runs(
    project: Project, name: str
) -> None:
    age(project.repo)
    with serving_config(with_roots(project, "storage", "moved")) as url:
        for _ in range(3):
            links(url, "churn")

        project.storage.rename(project.root / "moved")
        config = (project.repo / ".dvc" / "config").read_text()
        moved = config.replace("../../storage", "../../moved")
        (project.repo / ".dvc" / name).write_text(moved)

        link = links(url, "churn")["models/churn.pkl"]
        assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize("level", ["GLOBAL", "SYSTEM"])
@pytest.mark.parametrize("kind", ["repo", "bare"])
def test_a_change_of_the_servers_own_config_is_seen(
    project: Project, level: str, kind: str
) -> None:
    folder = Path(os.environ[f"DVC_{level}_CONFIG_DIR"])
    repo = getattr(project, kind)
    age(repo)

    def change(host: str) -> None:
        config = f"['remote \"far\"']\nurl = http://{host}/folder\n"
        write(folder, {"config": config.encode()})

    change("one")
    with serving(f"acme/models={repo}", remote="far") as url:
        before = links(url, "churn")["models/churn.pkl"]
        change("another")
        after = links(url, "churn")["models/churn.pkl"]

    assert (urlsplit(before).hostname, urlsplit(after).hostname) == ("one", "another")


def test_a_change_of_the_remote_is_seen_in_a_bare_repo(project: Project) -> None:
    age(project.bare)
    config = with_roots(project, "storage", "moved", repo=project.bare)
    with serving_config(config) as url:
        for _ in range(3):
            links(url, "churn")

        project.storage.rename(project.root / "moved")
        file = project.repo / ".dvc" / "config"
        file.write_text(file.read_text().replace("../../storage", "../../moved"))
        commit_all(project, "Move the storage")
        project.mirror()

        link = links(url, "churn")["models/churn.pkl"]
        assert fetch(link).content == CHURN["v2.0.0"]
