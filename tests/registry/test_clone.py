"""The clone, on real repositories; ``git remote get-url`` is the judge of URLs."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from projects import git, write
from spies import SpyGit, replace_git

from dvc_studio_models.errors import (
    GitRemoteError,
    NotGitRepoError,
    UnreadableRepoError,
)
from dvc_studio_models.model import ModelRef
from dvc_studio_models.registry.clone import Clone
from dvc_studio_models.registry.git.program import ProgramReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIGIN = "git@git.example.com:acme/models.git"
FORK = "https://git.example.com/ada/models.git"
SECRET = "PLANTED_SECRET_KEY"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """One commit on main, a tracked file and folder, no remote."""
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    write(folder, {"README.md": b"x", "src/app.py": b"y"})
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "one")
    return folder


@pytest.fixture(params=["git", "scmrepo"])
def url_by_tool(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], str]:
    """Return a clone's URL, read by Git or, without it, by scmrepo."""

    def url_by_tool(folder: Path) -> str:
        if request.param == "scmrepo":
            monkeypatch.setenv("PATH", str(tmp_path))
        return url_of(folder)

    return url_by_tool


def url_of(
    folder: Path, *, remote: str | None = None, preferred: str | None = None
) -> str:
    clone = Clone.find(folder)
    return clone.remote_url(remote=remote, preferred=preferred)


def tracked(folder: Path, *paths: str) -> list[str]:
    clone = Clone.find(folder)
    return list(clone.tracked(paths))


def add_remotes(repo: Path, **urls: str) -> None:
    for name, url in urls.items():
        git(repo, "remote", "add", name, url)


def get_url(folder: Path, name: str) -> str:
    """Ask Git, with this test's own environment."""
    command = ["git", "remote", "get-url", name]
    done = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


# -- where the clone is


@pytest.mark.parametrize(
    "inner",
    [
        pytest.param(".", id="root"),
        pytest.param("src", id="folder"),
    ],
)
def test_the_root_is_found_from_every_folder(repo: Path, inner: str) -> None:
    clone = Clone.find(repo / inner)
    assert repo.resolve() == clone.root


@pytest.mark.parametrize("inner", [".git", ".git/refs"])
def test_in_gits_own_folder_there_is_no_working_tree(repo: Path, inner: str) -> None:
    with pytest.raises(NotGitRepoError, match="inside the folder") as caught:
        Clone.find(repo / inner)

    assert caught.value.exit_code == 253


def test_a_worktree_has_a_root_of_its_own(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "--quiet", "../tree", "-b", "other")

    clone = Clone.find(tmp_path / "tree" / "src")
    assert (tmp_path / "tree").resolve() == clone.root


def test_a_submodule_is_a_clone_of_its_own(repo: Path, tmp_path: Path) -> None:
    outer = submodule(tmp_path, repo)

    clone = Clone.find(outer / "sub" / "src")
    assert (outer / "sub").resolve() == clone.root


@pytest.mark.parametrize("target", ["repo", "repo/src"])
def test_a_link_into_a_clone_leads_to_its_real_root(
    repo: Path, tmp_path: Path, target: str
) -> None:
    link = tmp_path / "elsewhere" / "link"
    link.parent.mkdir()
    link.symlink_to(tmp_path / target)

    clone = Clone.find(link)
    assert repo.resolve() == clone.root


@pytest.mark.parametrize("folder", [".", "no/such/folder"])
def test_outside_any_clone_the_error_says_so(tmp_path: Path, folder: str) -> None:
    with pytest.raises(NotGitRepoError, match="not in a Git repository") as caught:
        Clone.find(tmp_path / folder)

    assert caught.value.exit_code == 253


@pytest.mark.parametrize("inner", [".", "refs"])
def test_a_bare_repository_is_refused_by_name(tmp_path: Path, inner: str) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "bare.git")

    with pytest.raises(NotGitRepoError, match="a bare Git repository") as caught:
        Clone.find(tmp_path / "bare.git" / inner)

    assert caught.value.exit_code == 253


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        pytest.param(
            "[core]\nrepositoryformatversion = 9\n", "version <= 1", id="version"
        ),
        pytest.param(
            "[core]\nrepositoryformatversion = 1\n[extensions]\nnew = 1\n",
            "unknown repository extension found: new",
            id="extension",
        ),
        pytest.param(f"[x]\nurl https://u:{SECRET}@h [\n", "bad config", id="broken"),
    ],
)
def test_a_repository_that_cannot_be_read_is_an_error_of_ours(
    repo: Path, lines: str, reason: str
) -> None:
    with (repo / ".git" / "config").open("a") as config:
        config.write(lines)

    with pytest.raises(UnreadableRepoError, match=reason) as caught:
        Clone.find(repo)

    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 253


def test_a_repository_with_sha256_is_read_like_any_other(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--object-format=sha256")
    add_remotes(tmp_path, origin=ORIGIN)

    assert url_of(tmp_path) == ORIGIN


# -- which remote


def test_a_remote_that_is_named_counts(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)

    assert url_of(repo, remote="fork") == FORK


def test_a_remote_that_is_named_wins_over_the_preferred_one(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)

    assert url_of(repo, remote="fork", preferred="origin") == FORK


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("upstream", id="unknown"),
        pytest.param("", id="empty-variable-of-a-script"),
    ],
)
def test_a_remote_that_is_not_there_is_refused_with_those_that_are(
    repo: Path, name: str
) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)

    with pytest.raises(GitRemoteError, match=f"'{name}' .existing: fork, origin"):
        url_of(repo, remote=name)


def test_a_url_is_no_remotes_name_and_not_shown_with_its_password(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)

    with pytest.raises(GitRemoteError, match="no Git remote 'https://h/r'") as caught:
        url_of(repo, remote=f"https://u:{SECRET}@h/r")

    assert SECRET not in str(caught.value)


def test_a_preferred_name_counts_before_the_upstream(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)
    git(repo, "config", "branch.main.remote", "origin")

    assert url_of(repo, preferred="fork") == FORK


def test_a_preferred_url_is_taken_without_its_password(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)

    assert url_of(repo, preferred=f"https://u:{SECRET}@h/o/r") == "https://h/o/r"


def test_a_preferred_name_that_is_not_there_is_no_url(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)

    with pytest.raises(GitRemoteError, match="no Git remote 'nosuch'"):
        url_of(repo, preferred="nosuch")


def test_the_upstream_of_the_branch_counts_before_origin(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)
    git(repo, "config", "branch.main.remote", "fork")
    git(repo, "config", "branch.main.merge", "refs/heads/main")

    assert url_of(repo) == FORK


def test_the_upstream_of_another_branch_does_not_count(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)
    git(repo, "config", "branch.other.remote", "fork")

    assert url_of(repo) == ORIGIN


def test_an_upstream_that_is_a_url_counts(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)
    git(repo, "config", "branch.main.remote", f"https://u:{SECRET}@h/o/r.git")

    assert url_of(repo) == "https://h/o/r.git"


def test_an_upstream_in_the_repository_itself_does_not_count(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)
    git(repo, "config", "branch.main.remote", ".")

    assert url_of(repo) == ORIGIN


def test_the_upstream_counts_before_the_first_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    add_remotes(tmp_path, origin=ORIGIN, fork=FORK)
    git(tmp_path, "config", "branch.main.remote", "fork")

    assert url_of(tmp_path) == FORK


def test_on_a_detached_head_origin_counts(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)
    git(repo, "config", "branch.main.remote", "fork")
    git(repo, "checkout", "--quiet", "--detach")

    assert url_of(repo) == ORIGIN


def test_the_only_remote_counts_whatever_its_name(repo: Path) -> None:
    add_remotes(repo, fork=FORK)

    assert url_of(repo) == FORK


def test_of_several_remotes_without_upstream_origin_counts(repo: Path) -> None:
    add_remotes(repo, fork=FORK, origin=ORIGIN)

    assert url_of(repo) == ORIGIN


def test_several_remotes_and_none_to_prefer_are_listed(repo: Path) -> None:
    add_remotes(repo, fork=FORK, mirror=ORIGIN)

    with pytest.raises(GitRemoteError, match="fork, mirror") as caught:
        url_of(repo)

    assert caught.value.exit_code == 251


def test_without_any_remote_the_error_says_so(repo: Path) -> None:
    with pytest.raises(GitRemoteError, match=r"there is no Git remote\n.*--repo URL"):
        url_of(repo)


def test_a_remote_that_can_only_be_pushed_to_has_no_url(repo: Path) -> None:
    git(repo, "config", "remote.origin.pushurl", ORIGIN)

    with pytest.raises(GitRemoteError, match="'origin' has no URL"):
        url_of(repo)


def test_a_broken_head_has_no_upstream_without_git(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remotes(repo, origin=ORIGIN)
    (repo / ".git" / "HEAD").write_text("garbage\n")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert url_of(repo) == ORIGIN
    with pytest.raises(UnreadableRepoError, match="cannot read the commit of HEAD"):
        Clone.find(repo).reader.head()


def test_what_git_does_not_take_for_a_repository_is_none(repo: Path) -> None:
    (repo / ".git" / "HEAD").write_text("garbage\n")

    with pytest.raises(NotGitRepoError, match="not in a Git repository"):
        Clone.find(repo)


# -- in every kind of clone


def test_a_subfolder_knows_the_remote(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)

    assert url_of(repo / "src") == ORIGIN


def test_a_worktree_goes_by_its_own_branch(repo: Path, tmp_path: Path) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)
    git(repo, "worktree", "add", "--quiet", "../tree", "-b", "other")
    git(repo, "config", "branch.other.remote", "fork")

    assert [url_of(repo), url_of(tmp_path / "tree")] == [ORIGIN, FORK]


def test_a_submodule_has_a_remote_of_its_own(repo: Path, tmp_path: Path) -> None:
    outer = submodule(tmp_path, repo)
    add_remotes(outer, origin=ORIGIN)
    git(outer / "sub", "remote", "set-url", "origin", FORK)

    assert [url_of(outer), url_of(outer / "sub")] == [ORIGIN, FORK]


def test_a_shallow_clone_knows_the_remote(repo: Path, tmp_path: Path) -> None:
    url = repo.resolve().as_uri()
    git(tmp_path, "clone", "--quiet", "--depth", "1", url, "shallow")

    assert url == url_of(tmp_path / "shallow")


def test_a_hooks_environment_does_not_lead_to_its_repository(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remotes(repo, origin=ORIGIN)
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    add_remotes(other, origin=FORK)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    assert url_of(repo) == ORIGIN


def submodule(folder: Path, inner: Path) -> Path:
    """Make a repository whose ``sub`` is ``inner``."""
    outer = folder / "outer"
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch", "main")
    allow = ("-c", "protocol.file.allow=always")
    git(outer, *allow, "submodule", "--quiet", "add", str(inner), "sub")
    git(outer, "commit", "--quiet", "--message", "one")
    return outer


# -- insteadOf and other settings


@pytest.mark.parametrize("level", ["repository", "global"])
@pytest.mark.parametrize(
    ("configured", "rewrites"),
    [
        pytest.param(
            "gh:acme/models",
            {"url.git@git.example.com:.insteadOf": "gh:"},
            id="abbreviation",
        ),
        pytest.param(
            "https://git.example.com/acme/models",
            {"url.ssh://git@git.example.com/.insteadOf": "https://git.example.com/"},
            id="https-to-ssh",
        ),
        pytest.param(
            "gh:acme/models",
            {
                "url.https://short.example.com/.insteadOf": "gh:",
                "url.https://long.example.com/.insteadOf": "gh:acme/",
            },
            id="longest-match",
        ),
        pytest.param(
            ORIGIN,
            {"url.https://push.example.com/.pushInsteadOf": "git@git.example.com:"},
            id="only-for-push",
        ),
    ],
)
def test_the_url_is_what_git_makes_of_it(
    url_by_tool: Callable[[Path], str],
    repo: Path,
    home: Path,
    level: str,
    configured: str,
    rewrites: dict[str, str],
) -> None:
    add_remotes(repo, origin=configured)
    file = repo / ".git" / "config" if level == "repository" else home / ".gitconfig"
    for key, value in rewrites.items():
        git_config(repo, file, key, value)

    expected = get_url(repo, "origin")

    assert expected == url_by_tool(repo)


def test_the_first_of_several_urls_counts(repo: Path) -> None:
    add_remotes(repo, origin=ORIGIN)
    git(repo, "remote", "set-url", "--add", "origin", FORK)

    assert url_of(repo) == ORIGIN


def test_settings_of_an_included_file_count(
    url_by_tool: Callable[[Path], str], repo: Path, tmp_path: Path
) -> None:
    git_config(repo, tmp_path / "more", f"url.{FORK}.insteadOf", ORIGIN)
    git(repo, "config", "include.path", str(tmp_path / "more"))
    add_remotes(repo, origin=ORIGIN)

    assert url_by_tool(repo) == FORK


def test_a_global_config_named_by_the_environment_counts(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remotes(repo, origin=ORIGIN)
    git_config(repo, tmp_path / "config", f"url.{FORK}.insteadOf", ORIGIN)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))

    assert url_of(repo) == FORK


def test_settings_in_the_environment_count(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remotes(repo, origin=ORIGIN)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", f"url.{FORK}.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", ORIGIN)

    assert url_of(repo) == FORK


def test_a_token_that_insteadof_adds_is_removed(
    url_by_tool: Callable[[Path], str], repo: Path
) -> None:
    add_remotes(repo, origin=FORK)
    secret = f"url.https://oauth2:{SECRET}@git.example.com/.insteadOf"
    git(repo, "config", secret, "https://git.example.com/")

    assert url_by_tool(repo) == FORK


@pytest.mark.parametrize("inner", [".", "src"])
def test_a_relative_remote_is_relative_to_the_root(
    url_by_tool: Callable[[Path], str], repo: Path, inner: str
) -> None:
    add_remotes(repo, origin="../models.git")

    assert str(repo.resolve().parent / "models.git") == url_by_tool(repo / inner)


def git_config(repo: Path, file: Path, key: str, value: str) -> None:
    git(repo, "config", "--file", str(file), key, value)


# -- secrets in URLs


def test_a_remotes_password_never_leaves(
    url_by_tool: Callable[[Path], str], repo: Path
) -> None:
    add_remotes(
        repo, origin=f"https://gitlab-ci-token:{SECRET}@git.example.com/o/r.git"
    )

    assert url_by_tool(repo) == "https://git.example.com/o/r.git"


# -- is it this repo


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("git@git.example.com:acme/models.git", id="same"),
        pytest.param("https://git.example.com/acme/models", id="https"),
        pytest.param("https://Git.Example.com/acme/models.git/", id="case-and-slash"),
        pytest.param("ssh://git@git.example.com:2222/acme/models.git", id="ssh-port"),
        pytest.param("acme/models", id="owner-and-name"),
        pytest.param(FORK, id="the-other-remote"),
    ],
)
def test_a_remote_is_recognised_in_every_spelling(repo: Path, url: str) -> None:
    add_remotes(repo, origin=ORIGIN, fork=FORK)

    clone = Clone.find(repo)
    assert clone.has_remote(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("git@git.example.com:acme/other.git", id="name"),
        pytest.param("git@git.example.com:ada/models.git", id="owner"),
        pytest.param("https://example.com/acme/models", id="host"),
        pytest.param("models", id="name-alone"),
    ],
)
def test_another_repo_is_no_remote(repo: Path, url: str) -> None:
    add_remotes(repo, origin=ORIGIN)

    clone = Clone.find(repo)
    assert not clone.has_remote(url)


def test_a_remote_without_url_is_no_repo(repo: Path) -> None:
    git(repo, "config", "remote.origin.pushurl", ORIGIN)

    clone = Clone.find(repo)
    assert not clone.has_remote(ORIGIN)


# -- what Git tracks


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("README.md", True, id="file"),
        pytest.param("src/app.py", True, id="file-in-folder"),
        pytest.param("README.md/model.bin", True, id="parent-is-a-file"),
        pytest.param("src/app.py/a/b", True, id="grandparent-is-a-file"),
        pytest.param("src/model.bin", False, id="beside"),
        pytest.param("readme", False, id="other-name"),
        pytest.param("models/größe 模型.bin", False, id="non-ascii"),
    ],
)
@pytest.mark.parametrize("index", ["plain", "split", "sparse"])
def test_a_path_is_tracked_if_it_or_a_parent_is_a_file_in_the_index(
    repo: Path, path: str, expected: bool, index: str
) -> None:
    if index == "split":
        git(repo, "update-index", "--split-index")
    if index == "sparse":
        git(repo, "sparse-checkout", "set", "--cone", "--sparse-index", "docs")

    assert tracked(repo, path) == [path] * expected


def test_only_the_tracked_of_many_paths_are_returned(repo: Path) -> None:
    paths = ["models/a", "src/app.py", "models/b", "README.md"]

    assert tracked(repo, *paths) == ["src/app.py", "README.md"]


def test_a_path_in_a_submodule_is_tracked(repo: Path, tmp_path: Path) -> None:
    outer = submodule(tmp_path, repo)

    assert tracked(outer, "sub", "sub/model.bin", "model.bin") == [
        "sub",
        "sub/model.bin",
    ]


def test_a_file_that_is_staged_but_not_committed_is_tracked(repo: Path) -> None:
    write(repo, {"new": b""})
    git(repo, "add", "new")

    assert tracked(repo, "new") == ["new"]


def test_a_committed_file_that_is_deleted_here_is_tracked(repo: Path) -> None:
    (repo / "README.md").unlink()

    assert tracked(repo, "README.md") == ["README.md"]


def test_a_repository_without_commits_tracks_nothing(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")

    assert tracked(tmp_path, "README.md") == []


def test_an_index_that_nobody_can_read_is_an_error_of_ours(repo: Path) -> None:
    (repo / ".git" / "index").write_bytes(b"garbage")

    with pytest.raises(UnreadableRepoError):
        tracked(repo, "README.md")


def test_a_split_index_without_git_is_an_error_of_ours(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repo, "update-index", "--split-index")
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnreadableRepoError, match="git is not installed"):
        tracked(repo, "README.md")


# -- the model of a folder


@pytest.fixture
def monorepo(repo: Path) -> Path:
    dvc_yaml = b"artifacts:\n  churn:\n    path: model.bin\n    type: model\n"
    write(repo, {"services/churn/dvc.yaml": dvc_yaml, "dvc.yaml": dvc_yaml})
    return repo


def qualified(repo: Path, folder: Path, name: str = "churn") -> str:
    clone = Clone.find(repo)
    return str(clone.qualify(ModelRef(name, stage="prod"), folder))


def test_a_bare_name_means_the_model_of_the_folder(monorepo: Path) -> None:
    folder = monorepo / "services" / "churn"

    assert qualified(monorepo, folder) == "services/churn:churn#prod"


@pytest.mark.parametrize(
    ("inner", "name"),
    [
        pytest.param(".", "churn", id="root"),
        pytest.param("services", "churn", id="folder-without-dvc.yaml"),
        pytest.param("services/churn", "fraud", id="not-annotated"),
        pytest.param("services/churn", "src:churn", id="with-a-folder-of-its-own"),
    ],
)
def test_any_other_name_is_kept(monorepo: Path, inner: str, name: str) -> None:
    assert qualified(monorepo, monorepo / inner, name) == f"{name}#prod"


def test_a_folder_behind_a_link_is_known_by_its_real_path(
    monorepo: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(monorepo / "services")
    folder = tmp_path / "link" / "churn"

    assert qualified(monorepo, folder) == "services/churn:churn#prod"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"- churn\n", id="a-list"),
        pytest.param(b"artifacts: churn\n", id="no-mapping"),
        pytest.param(b"artifacts: [churn\n", id="broken"),
        pytest.param(b"artifacts:\n  churn: \xff\n", id="not-utf-8"),
    ],
)
def test_a_dvc_yaml_that_dvc_cannot_read_annotates_nothing(
    monorepo: Path, content: bytes
) -> None:
    folder = monorepo / "services" / "churn"
    (folder / "dvc.yaml").write_bytes(content)

    assert qualified(monorepo, folder) == "churn#prod"


# -- settings, read at once


URLS = {
    "one": ("origin", "url = a:b/c.git"),
    "several": ("origin", "url = a:b/c.git\n\turl = d:e/f.git"),
    "emptied": ("origin", "url = a:b/c.git\n\turl =\n\turl = d:e/f.git"),
    "rewritten": ("origin", 'url = gh:o/r\n[url "https://x/"]\n\tinsteadOf = gh:'),
    "of another case": ("Origin", "URL = a:b/c.git"),
    "with a comment": ("origin", "url = 'a:b c' # no"),
    "with a line break": ("origin", 'url = "a:b\\nc"'),
    "for pushes too": ("origin", "url = a:b/c.git\n\tpushurl = d:e/f.git"),
}


@pytest.mark.parametrize(("name", "lines"), URLS.values(), ids=URLS)
def test_the_url_of_a_remote_is_that_of_git(repo: Path, name: str, lines: str) -> None:
    with (repo / ".git/config").open("a") as config:
        config.write(f'[remote "{name}"]\n\t{lines}\n')

    assert url_of(repo, remote=name) == get_url(repo, name).partition("\n")[0]


def test_a_clone_with_one_remote_asks_git_only_for_the_settings(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remotes(repo, origin=ORIGIN)
    git(repo, "config", "branch.main.remote", "origin")
    spy = SpyGit.install(tmp_path / "spy", monkeypatch)

    clone = Clone.find(repo)

    assert clone.remote_url(remote=None, preferred=None) == ORIGIN
    assert clone.has_remote(ORIGIN)
    assert clone.other_remote(None) is None
    assert list(clone.tracked(["README.md"])) == ["README.md"]
    assert (spy.count("config"), spy.count()) == (1, 3)


@pytest.fixture
def old_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git before 2.26."""
    script = 'case "$*" in *--show-scope*) exit 129;; esac; exec "$GIT" "$@"'
    replace_git(tmp_path / "old", monkeypatch, script)


def configure_all_scopes(repo: Path, home: Path) -> None:
    """Set a value everywhere, and include a file."""
    with (home / ".gitconfig").open("a") as config:
        config.write("[credential]\n\thelper = of-the-user\n")
    git(repo, "config", "extensions.worktreeConfig", "true")
    git(repo, "config", "--worktree", "core.askPass", "of-the-worktree")
    write(home, {"included": b"[core]\n\tsshCommand = included\n"})
    git(repo, "config", "include.path", str(home / "included"))
    git(repo, "config", "remote.origin.promisor", "true")


@pytest.mark.parametrize("reads_config", [True, False])
def test_the_clones_own_settings_are_those_that_git_lists(
    repo: Path, home: Path, reads_config: bool
) -> None:
    configure_all_scopes(repo, home)
    reader = ProgramReader.find(str(shutil.which("git")), repo, trusted=False)

    listed = reader.config() if reads_config else []

    own = dict(reader._own_config)
    assert own["core.askpass"] == "of-the-worktree"
    assert own["core.sshcommand"] == "included"
    assert "credential.helper" not in own
    assert reader._is_partial
    assert not listed or dict(listed) == {**own, **dict(listed)}
    assert not listed or dict(listed)["credential.helper"] == "of-the-user"


@pytest.mark.usefixtures("old_git")
def test_an_old_git_lists_the_same(repo: Path, home: Path) -> None:
    configure_all_scopes(repo, home)
    git(repo, "config", "remote.origin.url", ORIGIN)
    path = os.environ["PATH"].partition(os.pathsep)[2]
    old, new = (
        ProgramReader.find(str(shutil.which("git", path=at)), repo, trusted=False)
        for at in (None, path)
    )

    assert dict(old._own_config) == dict(new._own_config)
    assert old.config() == new.config()
    assert url_of(repo) == ORIGIN


# -- names that are one to the file system


@pytest.fixture(params=["git", "library"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Git's own program reads the index, or scmrepo where there is none."""
    if request.param == "library":
        monkeypatch.setattr(shutil, "which", lambda _: None)
    return str(request.param)


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("setting", "one"),
    [
        ("ignorecase", {"SRC/Main.py", "src/main.py/x"}),
        ("precomposeunicode", {"src/main.py/x"}),
        (None, {"src/main.py/x"}),
    ],
)
def test_what_git_tracks_by_another_name_of_one_file_is_tracked(
    repo: Path, setting: str | None, one: set[str]
) -> None:
    """Git has found out whether case counts, and Unicode's forms, as on macOS."""
    write(repo, {"src/main.py": b"", "mod\u00e8le/a": b""})
    git(repo, "add", "--all")
    if setting:
        git(repo, "config", f"core.{setting}", "true")
    decomposed = {"mode\u0300le/a"} if setting else set()
    paths = ["SRC/Main.py", "src/main.py/x", "mode\u0300le/a", "SRC/other.py"]

    clone = Clone.find(repo)

    assert set(clone.tracked(paths)) == one | decomposed
    assert clone.tracks_below("Src") == (setting == "ignorecase")
    assert clone.tracks_below("src")
    assert not clone.tracks_below("SR")
