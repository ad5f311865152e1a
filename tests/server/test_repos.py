"""A request names a served repo by any of its URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from projects import (
    CHURN,
    ORIGIN_URL,
    Project,
    git,
    serving,
)

from dvc_studio_models.server.repos.identity import Identity
from tests.server.api import (
    ask,
    fetch,
    links,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "spelled",
    [
        "git@git.example.com:acme/models.git",
        "git@git.example.com:acme/models",
        "https://git.example.com/acme/models",
        "https://GIT.example.COM/acme/models.git/",
        "https://oauth2:secret@git.example.com/acme/models.git",
        "ssh://git@git.example.com:2222/acme/models.git",
        "acme/models",
        "git.example.com/acme/models",
        "GIT.example.com/acme/models.git",
    ],
)
def test_a_repo_is_known_by_any_spelling_of_its_remote(
    server: str, spelled: str
) -> None:
    assert ask(server, repo=spelled, name="churn").status_code == 200


def test_a_repo_is_known_by_what_git_makes_of_its_remote(project: Project) -> None:
    git(project.repo, "remote", "set-url", "origin", "work:models.git")
    git(project.repo, "config", "url.https://git.corp/acme/.insteadOf", "work:")

    with serving(project.repo) as url:
        for spelled in ("git@git.corp:acme/models.git", "work:models"):
            assert ask(url, repo=spelled, name="churn").status_code == 200


def test_a_repo_is_known_by_its_own_path(project: Project, own_server: str) -> None:
    for spelled in (project.repo, project.repo / ".git", project.repo.as_uri()):
        assert ask(own_server, repo=str(spelled), name="churn").status_code == 200


def test_a_bare_repo_is_known_without_its_suffix(project: Project) -> None:
    with serving(project.bare) as url:
        spelled = str(project.bare).removesuffix(".git")

        assert ask(url, repo=spelled, name="churn").status_code == 200


def test_a_repo_is_known_through_the_symlink_it_was_given_by(
    project: Project, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(project.repo)

    with serving(link) as url:
        assert ask(url, repo=str(link), name="churn").status_code == 200


@pytest.mark.parametrize(
    "name", ["git@github.com:o/r.git", "o/r"], ids=["URL", "owner/name"]
)
def test_a_repo_is_known_by_the_name_it_was_given(project: Project, name: str) -> None:
    with serving(f"{name}={project.repo}") as url:
        for spelled in ("https://github.com/o/r", "o/r"):
            assert ask(url, repo=spelled, name="churn").status_code == 200


@pytest.mark.parametrize(
    "spelled",
    [
        "git@github.com:acme/models.git",
        "git@git.example.com:acme/other.git",
        "other/models",
        "models",
        "github.com/acme/models",
        "git.example.com/git.example.com/acme/models",
        "https://[",
        "",
    ],
)
def test_another_repo_is_not_served(server: str, spelled: str) -> None:
    reply = ask(server, repo=spelled or " ", name="churn")

    assert reply.status_code == 404
    assert reply.json()["detail"].endswith("served: git.example.com/acme/models")


def test_no_repo_is_opened_because_a_request_names_it(
    project: Project, own_server: str
) -> None:
    reply = ask(own_server, repo=str(project.bare), name="churn")

    assert reply.status_code == 404


def test_a_path_is_not_an_owner_and_name(project: Project, own_server: str) -> None:
    reply = ask(own_server, repo=str(project.repo).lstrip("/"), name="churn")

    assert reply.status_code == 404


def test_a_fork_does_not_hide_the_repo_it_was_forked_from(project: Project) -> None:
    # Its DVC remote is a folder beside it.
    fork = project.clone(
        project.root / "fork", origin="git@git.example.com:me/models.git"
    )
    git(fork, "remote", "add", "upstream", ORIGIN_URL)
    git(fork, "tag", "--delete", "churn@v2.0.0", "churn#prod#3")

    with serving(fork, project.repo) as url:
        link = links(url, "churn")["models/churn.pkl"]
        assert fetch(link).content == CHURN["v2.0.0"]

        mine = ask(url, repo="me/models", name="churn").json()["models/churn.pkl"]
        assert "/objects/models/" in mine
        assert "/objects/models-2/" in link


def test_an_ambiguous_name_is_not_served(project: Project, tmp_path: Path) -> None:
    other = project.clone(tmp_path / "other", origin="git@github.com:acme/models.git")

    with serving(project.repo, other) as url:
        assert ask(url, repo="acme/models", name="churn").status_code == 404
        assert ask(url, repo=ORIGIN_URL, name="churn").status_code == 200


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("git@H:o/r.git", Identity("h", "o/r")),
        ("h:o/r", Identity("h", "o/r")),
        ("git@h:/srv/r.git", Identity("h", "srv/r")),
        ("ssh://git@h/srv/r.git", Identity("h", "srv/r")),
        ("git@[::1]:o/r", Identity("::1", "o/r")),
        ("ssh://git@[::1]:22/o/r", Identity("::1", "o/r")),
        ("u:secret@h:o/r", Identity("h", "o/r")),
        ("ssh://u@H:22//o//r.git/", Identity("h", "o/r")),
        ("https://h/a%20b/r", Identity("h", "a b/r")),
        ("file:///srv/r.git", Identity("file:", "srv/r")),
        ("/srv/r/.git", Identity("file:", "srv/r")),
        ("o/r", Identity("", "o/r")),
    ],
)
def test_an_identity_is_what_spellings_have_in_common(
    url: str, identity: Identity
) -> None:
    assert Identity.of(url) == identity
