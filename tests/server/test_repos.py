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
from servers import wait_until

from dvc_studio_models.server.config.values import RepoConfig
from dvc_studio_models.server.errors.requests import (
    RepoNotOpenError,
    RepoNotServedError,
)
from dvc_studio_models.server.repos.identity import Identity
from dvc_studio_models.server.repos.repos import Catalog
from dvc_studio_models.server.site.site import Site
from tests.server.api import (
    ask,
    config_of,
    fetch,
    links,
)

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.server.repos.repos import ServedRepo


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


AZURE = [
    "git@ssh.dev.azure.com:v3/acme/My%20ML/models",
    "ssh://git@ssh.dev.azure.com/v3/acme/My%20ML/models",
    "https://acme@dev.azure.com/acme/My%20ML/_git/models",
    "https://dev.azure.com/acme/My%20ML/_git/models",
    "https://acme.visualstudio.com/My%20ML/_git/models",
    "https://acme.visualstudio.com/DefaultCollection/my%20ml/_git/Models",
    "acme@vs-ssh.visualstudio.com:v3/acme/My%20ML/models",
    "acme/my ml/models",
]
AZURE_SHORT = [
    "https://dev.azure.com/acme/_git/models",
    "https://acme.visualstudio.com/_git/models",
    "git@ssh.dev.azure.com:v3/acme/models/models",
]
BITBUCKET = [
    "https://git.corp/scm/ACME/models.git",
    "https://git.corp/bitbucket/scm/acme/models.git",
    "ssh://git@git.corp:7999/acme/models.git",
    "[git@git.corp:7999]:acme/models.git",
    "acme/models",
]
CODECOMMIT = [
    "codecommit::eu-west-1://profile@models",
    "codecommit::eu-west-1://models",
    "codecommit://profile@models",
    "codecommit://models",
    "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/models",
    "ssh://KEY@git-codecommit.eu-west-1.amazonaws.com/v1/repos/models",
    "https://git-codecommit-fips.eu-west-1.amazonaws.com/v1/repos/models",
]
GITHUB = [
    "git@github.com:Acme/Models.git",
    "https://github.com/acme/models",
    "ssh://git@ssh.github.com:443/acme/models.git",
    "ACME/models",
]


def find(catalog_of: str, wanted: str, project: Project) -> ServedRepo:
    """Find the repo of this alias by another URL, as a server does."""
    config = RepoConfig(str(project.bare), aliases=(catalog_of,))
    return Catalog([config]).find(wanted, lambda _: True)


@pytest.mark.parametrize(
    "spellings",
    [AZURE, AZURE_SHORT, BITBUCKET, CODECOMMIT, GITHUB],
    ids=["Azure", "Azure short", "Bitbucket Server", "CodeCommit", "GitHub"],
)
def test_all_spellings_of_a_host_are_one_repo(
    project: Project, spellings: list[str]
) -> None:
    for served in spellings:
        for wanted in spellings:
            assert find(served, wanted, project).key, (served, wanted)


@pytest.mark.parametrize(
    ("served", "wanted"),
    [
        ("git@h:o/r", "[git@h:2222]:o/r"),
        ("ssh://git@[::1]/o/r", "[git@[::1]:2222]:o/r"),
        ("git@github.com:Acme/models", "GitHub.com/acme/Models"),
        ("https://gitlab.corp/Team/Models", "git@gitlab.corp:team/models.git"),
    ],
)
def test_ports_and_case_do_not_matter(
    project: Project, served: str, wanted: str
) -> None:
    assert find(served, wanted, project).key


@pytest.mark.parametrize(
    ("served", "wanted"),
    [
        ("git@h:o/R", "git@h:o/r"),
        ("codecommit::eu-west-1://r", "codecommit::us-east-1://r"),
        ("codecommit::eu-west-1://R", "codecommit::eu-west-1://r"),
        ("https://h/scm/p/r", "https://h/p/r"),
        ("https://h/a/scm/p/r", "https://h/b/scm/p/r"),
        ("https://dev.azure.com/o/p/_git/r", "https://dev.azure.com/o/q/_git/r"),
        ("https://dev.azure.com/o/p/_git/r", "https://x.visualstudio.com/p/_git/r"),
        ("https://github.com/o/r", "https://github.com.evil.com/o/r"),
    ],
)
def test_what_may_be_another_repo_is_not_found(
    project: Project, served: str, wanted: str
) -> None:
    with pytest.raises(RepoNotServedError):
        find(served, wanted, project)


def test_a_name_that_fits_two_repos_is_not_guessed(project: Project) -> None:
    regions = ("codecommit::eu-west-1://r", "codecommit::us-east-1://r")
    configs = [RepoConfig(str(project.bare), aliases=(each,)) for each in regions]
    catalog = Catalog(configs)

    with pytest.raises(RepoNotServedError):
        catalog.find("codecommit://r", lambda _: True)
    assert catalog.find("codecommit://r", lambda name: name == "r-2").key == "r-2"


def test_the_name_of_a_repo_keeps_its_case(project: Project) -> None:
    assert (
        find("git@github.com:Acme/Models.git", "acme/models", project).key == "Models"
    )


def test_a_hidden_repo_does_not_stand_before_one_with_the_same_url(
    project: Project,
) -> None:
    url = "git@h:o/r"
    configs = [
        RepoConfig(str(project.bare), name=name, aliases=(url,)) for name in ("a", "b")
    ]
    catalog = Catalog(configs)

    assert catalog.find(url, lambda _: True).key == "a"
    assert catalog.find(url, lambda name: name == "b").key == "b"


def test_a_repo_that_is_not_open_shows_no_password() -> None:
    url = "https://user:hunter2@h/o/r"
    catalog = Catalog([RepoConfig("/nothing", aliases=(url,))])

    with pytest.raises(RepoNotOpenError, match="'h/o/r'") as refused:
        catalog.find("https://h/o/r", lambda _: True)

    assert "hunter2" not in str(refused.value)
    catalog.close()


def test_only_the_repo_that_was_asked_for_is_said_to_be_left_out() -> None:
    configs = [RepoConfig("/nothing", name=name) for name in ("a", "b")]
    catalog = Catalog(configs)

    with pytest.raises(RepoNotOpenError) as refused:
        catalog.find("b", lambda _: True)

    assert refused.value.repos == ("b",)
    catalog.close()


def test_a_repo_that_is_not_open_is_hidden_from_who_may_not_see_it() -> None:
    catalog = Catalog([RepoConfig("/nothing", name="secret")])

    with pytest.raises(RepoNotServedError) as refused:
        catalog.find("secret", lambda _: False)

    assert str(refused.value) == (
        "repo 'secret' is not served; no repo is served that you may see"
    )
    catalog.close()


def test_a_new_url_makes_another_repo_of_it(project: Project) -> None:
    git(project.bare, "remote", "add", "origin", "git@h:team/old.git")
    config = RepoConfig(str(project.bare), name="models")
    before = Catalog([config])
    same = Catalog([config], previous=before)
    git(project.bare, "remote", "set-url", "origin", "git@h:team/new.git")
    after = Catalog([config], previous=same)

    first, second, third = (each.get("models") for each in (before, same, after))
    assert first is second
    assert third
    assert {str(home) for home in third.homes} == {"h/team/new"}


def test_a_repo_that_was_opened_late_has_links(
    project: Project, tmp_path: Path
) -> None:
    late = tmp_path / "late.git"
    site = Site(config_of(RepoConfig(str(late), name="late")))
    assert site.find_key("late") is None

    project.bare.rename(late)
    wait_until(lambda: not site.left_out(), timeout_s=20)

    assert site.find_key("late")
