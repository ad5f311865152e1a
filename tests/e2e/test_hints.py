"""The commands in messages: each one, run as it is printed, solves the problem."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import (
    CHURN,
    TOKEN,
    commit_all,
    copy_project,
    git,
    serving,
    track,
    write,
)

from tests.e2e.test_names import point_at, release
from tests.e2e.test_pins import PATH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project

REMOTE = ("models", "pull", "--source", "remote")
_COMMAND = re.compile(r"'((?:git|dvc|gto) .*)'")


@dataclass(frozen=True)
class User:
    """A user who pulls in a clone with a working Git remote."""

    project: Project
    clone: Path
    dvc: RunDvc
    url: str

    @property
    def env(self) -> dict[str, str]:
        return {
            "DVC_STUDIO_URL": self.url,
            "DVC_STUDIO_TOKEN": TOKEN,
            "DVC_STUDIO_REPO_URL": f"{self.project.repo}",
        }

    def pull(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return self.dvc(
            "models",
            "pull",
            *args,
            cwd=cwd or self.clone,
            env={**self.env, **(env or {})},
        )

    def run(self, command: str, cwd: Path | None = None, **env: str) -> str:
        """Run a command as printed; it must succeed."""
        path = f"{DVC.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=cwd or self.clone,
            env={**os.environ, **self.env, "PATH": path, **env},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout


def command_in(text: str) -> str:
    """Return the one command that a message says to run."""
    (found,) = [match for line in text.splitlines() for match in _COMMAND.findall(line)]
    return found.partition("' to ")[0].partition("', then ")[0].partition("': ")[0]


@pytest.fixture
def user(own_project: Project, tmp_path: Path, run_dvc: RunDvc) -> Iterator[User]:
    project = own_project
    clone = project.clone(tmp_path / "clone", origin=f"{project.repo}")
    point_at(clone, project)
    with serving(project.repo, no_auth=True) as url:
        yield User(project, clone, run_dvc, url)


@pytest.fixture
def own_project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


def new_version(project: Project, content: bytes = b"the third") -> None:
    write(project.repo, {PATH: content})
    track(project.repo, PATH)
    commit_all(project, "Train again")


# -- tags


def test_a_version_that_the_clone_does_not_know_yet(user: User) -> None:
    new_version(user.project)
    user.project.tag("churn@v3.0.0")

    refused = user.pull("churn@v3.0.0", "--source", "remote")
    user.run(command_in(refused.stderr))
    done = user.pull("churn@v3.0.0", "--source", "remote")

    assert refused.returncode == 4
    assert done.returncode == 0, done.stderr
    assert (user.clone / PATH).read_bytes() == b"the third"


def test_a_version_that_was_registered_anew(user: User) -> None:
    new_version(user.project)
    git(user.project.repo, "tag", "--delete", "churn@v2.0.0")
    user.project.tag("churn@v2.0.0")

    refused = user.pull("churn@v2.0.0")
    user.run(command_in(refused.stderr))
    done = user.pull("churn@v2.0.0")

    assert refused.returncode == 6, refused.stderr
    assert done.returncode == 0, done.stderr
    assert "verified against Git" in done.stdout


def test_a_stage_that_moved(user: User) -> None:
    new_version(user.project)
    user.project.tag("churn@v3.0.0")
    user.project.tag("churn#prod#4")

    warned = user.pull("churn#prod")
    user.run(command_in(warned.stderr))
    done = user.pull("churn#prod")

    assert warned.returncode == 0
    assert "verified against Git" not in warned.stdout
    assert "verified against Git" in done.stdout
    assert done.stderr == ""


def test_a_tag_that_is_lightweight_in_the_clone(user: User) -> None:
    commit = git(user.clone, "rev-parse", "churn#prod#3^{commit}").strip()
    git(user.clone, "tag", "--force", "churn#prod#3", commit)

    refused = user.pull("churn#prod", "--source", "remote")
    user.run(command_in(refused.stderr))
    done = user.pull("churn#prod", "--source", "remote")

    assert refused.returncode == 4
    assert done.returncode == 0, done.stderr
    assert (user.clone / PATH).read_bytes() == CHURN["v2.0.0"]


def test_a_tag_whose_object_the_clone_lacks(user: User) -> None:
    oid = git(user.clone, "rev-parse", "churn#prod#3").strip()
    (user.clone / ".git/objects" / oid[:2] / oid[2:]).unlink()

    refused = user.pull("churn#prod", "--source", "remote")
    user.run(command_in(refused.stderr))
    done = user.pull("churn#prod", "--source", "remote")

    assert refused.returncode == 4
    assert done.returncode == 0, done.stderr
    assert (user.clone / PATH).read_bytes() == CHURN["v2.0.0"]


def test_a_pin_that_no_local_tag_tells(user: User) -> None:
    new_version(user.project)
    user.project.tag("churn@v3.0.0")

    refused = user.pull("churn", "--lock")
    user.run(command_in(refused.stderr.splitlines()[-1]))
    done = user.pull("churn", "--lock")

    assert done.returncode == 0, done.stderr
    assert "v3.0.0" in (user.clone / "models.lock").read_text()


def test_a_stage_on_a_commit_without_a_version_is_registered(user: User) -> None:
    new_version(user.project)
    user.project.tag("churn#dev#9")
    git(user.clone, "fetch", "--quiet", "--tags")

    refused = user.pull("churn#dev", "--lock")
    free = user.pull("churn#dev")
    user.run(command_in(refused.stderr).partition("', or")[0])
    done = user.pull("churn#dev", "--lock")

    assert refused.returncode == 4
    assert free.returncode == 0, free.stderr
    assert done.returncode == 0, done.stderr


# -- files of Git, from any folder


def folder_of_both(user: User) -> None:
    """Register a folder with one file stored in Git."""
    repo = user.project.repo
    write(repo, {"both/it's [a].json": b"{}\n", "both/w.bin": b"weights"})
    release(user.project, {"artifacts": {"both": {"path": "both"}}}, "both/w.bin")
    user.project.tag("both@v1.0.0")
    git(user.clone, "fetch", "--quiet", "--tags")


def test_a_model_that_git_keeps(user: User) -> None:
    write(user.project.repo, {"m/it's a *.json": b"{}\n"})
    release(user.project, {"artifacts": {"plain": {"path": "m/it's a *.json"}}})
    user.project.tag("plain@v1.0.0")
    git(user.clone, "fetch", "--quiet", "--tags")
    folder = user.clone / "services"

    for args in (("plain",), ("plain", "--source", "remote")):
        refused = user.pull(*args, cwd=folder)
        user.run(command_in(refused.stderr).removesuffix("' in a clone"), folder)

        assert refused.returncode == 4, refused.stderr
        assert (user.clone / "m/it's a *.json").read_bytes() == b"{}\n"
        git(user.clone, "rm", "--quiet", "-f", "-r", "m")


def test_files_of_git_that_differ(user: User) -> None:
    folder_of_both(user)
    write(user.clone, {"both/it's [a].json": b"mine\n"})
    folder = user.clone / "services"

    refused = user.pull("both", "--source", "remote", cwd=folder)
    user.run(command_in(refused.stderr), folder)
    done = user.pull("both", "--source", "remote", cwd=folder)

    assert refused.returncode == 7, refused.stderr
    assert done.returncode == 0, done.stderr
    assert (user.clone / "both/it's [a].json").read_bytes() == b"{}\n"


def test_a_pinned_file_of_git_that_the_clone_lacks(user: User, tmp_path: Path) -> None:
    folder_of_both(user)
    assert user.pull("both", "--lock", "--source", "remote").returncode == 0
    other = tmp_path / "other"
    options = ("--quiet", "--no-tags", "--single-branch", "--branch", "old")
    git(user.project.repo, "branch", "old", "churn@v1.0.0")
    git(tmp_path, "clone", *options, f"file://{user.project.repo}", f"{other}")
    point_at(other, user.project)
    shutil.copy(user.clone / "models.lock", other)

    refused = user.pull("--locked", "--source", "remote", cwd=other)
    user.run(command_in(refused.stderr), other)
    done = user.pull("--locked", "--source", "remote", cwd=other)

    assert refused.returncode == 4, refused.stderr
    assert done.returncode == 0, done.stderr
    assert (other / "both/it's [a].json").read_bytes() == b"{}\n"


# -- the clone


def test_a_repo_that_is_another_users(user: User) -> None:
    other = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}

    refused = user.pull("churn", env=other)
    user.run(command_in(refused.stderr))
    done = user.pull("churn", env=other)

    assert refused.returncode != 0
    assert done.returncode == 0, done.stderr


def test_outside_of_a_clone(user: User, tmp_path: Path) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()

    refused = user.pull("churn", cwd=folder)
    done = user.pull(
        *("churn", "--repo", f"{user.project.repo}", "--out", "o"), cwd=folder
    )

    assert "Or use '--repo URL --out DIR'" in refused.stderr
    assert done.returncode == 0, done.stderr
    assert (folder / "o" / PATH).read_bytes() == CHURN["v2.0.0"]


@pytest.mark.parametrize("way", ["--repo URL", "--git-remote NAME", "dvc config"])
def test_a_repo_that_no_git_remote_tells(user: User, way: str) -> None:
    git(user.clone, "remote", "rename", "origin", "one")
    git(user.clone, "remote", "add", "two", "git@git.example.com:a/b.git")
    git(user.clone, "config", "--unset", "branch.main.remote")
    env = {"DVC_STUDIO_REPO_URL": None}
    url = f"{user.project.repo}"

    refused = user.pull("churn", env=env)
    args: tuple[str, ...] = ()
    if way == "dvc config":
        user.run(command_in(_last(refused.stderr)).replace("URL", url))
    else:
        args = (way.split(maxsplit=1)[0], url if "URL" in way else "one")
    done = user.pull("churn", *args, env=env)

    assert refused.returncode == 251
    assert way in refused.stderr
    assert done.returncode == 0, done.stderr


def _last(text: str) -> str:
    """Return the last quoted text in a message."""
    return "'" + text.rstrip().rpartition(" '")[2]


# -- Studio


@pytest.mark.parametrize("way", ["DVC_STUDIO_TOKEN", "dvc config"])
def test_a_missing_token(user: User, way: str) -> None:
    env: dict[str, str | None] = {"DVC_STUDIO_TOKEN": None}

    refused = user.pull("churn", env=env)
    line = refused.stderr.splitlines()[1]
    assert way in line
    if way == "dvc config":
        user.run(command_in(_last(line)).replace("<token>", TOKEN))
    done = user.pull("churn", env={} if way == "DVC_STUDIO_TOKEN" else env)

    assert refused.returncode == 3
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["DVC_STUDIO_URL", "dvc config studio.url"])
def test_a_studio_that_is_not_there(user: User, way: str) -> None:
    nowhere = "http://127.0.0.1:9"

    refused = user.pull("churn", env={"DVC_STUDIO_URL": nowhere})
    env: dict[str, str | None] = {}
    if way.startswith("dvc"):
        user.run(f"{way} {user.url}")
        env = {"DVC_STUDIO_URL": None}
    done = user.pull("churn", env=env)

    assert refused.returncode == 5
    assert way in refused.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", ["remote", "cache"])
def test_another_source_where_studio_fails(user: User, source: str) -> None:
    if source == "cache":
        assert user.pull("churn").returncode == 0
        (user.clone / PATH).unlink()

    refused = user.pull("churn", env={"DVC_STUDIO_TOKEN": None})
    option = _last(refused.stderr).strip("'")
    done = user.pull("churn", *option.split(), env={"DVC_STUDIO_TOKEN": None})

    assert option == f"--source {source}"
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("args", [("--source", "studio"), ("--urls",)])
def test_offline(user: User, args: tuple[str, ...]) -> None:
    env = {"DVC_STUDIO_OFFLINE": "true"}
    assert user.pull("churn").returncode == 0

    refused = user.pull("churn", *args, env=env)
    unset = user.pull("churn", *args)
    without = user.pull("churn", env=env)

    assert "Unset it to use Studio, or leave out" in refused.stderr
    assert unset.returncode == 0, unset.stderr
    assert without.returncode == 0, without.stderr


# -- the cache and the remotes


@pytest.mark.parametrize("source", ["remote", "studio"])
def test_what_the_cache_lacks(user: User, source: str) -> None:
    refused = user.pull("churn", "--source", "cache")
    done = user.pull("churn", "--source", source)

    assert refused.returncode == 5
    assert f"'--source {source}'" in refused.stderr
    assert done.returncode == 0, done.stderr


def test_what_was_never_pushed(user: User) -> None:
    shutil.rmtree(user.project.storage / "files")

    refused = user.pull("churn", "--source", "remote")
    user.run(command_in(refused.stderr), user.project.repo)
    done = user.pull("churn", "--source", "remote")

    assert refused.returncode == 5
    assert done.returncode == 0, done.stderr


def test_a_config_without_a_default_remote(user: User) -> None:
    config = user.clone / ".dvc/config"
    config.write_text(config.read_text().replace("remote = storage\n", "\n", 1))

    refused = user.pull("churn", "--source", "remote")
    see, sets = re.findall(r"'(dvc remote .*?)'", refused.stderr)
    name = user.run(see).split()[0]
    user.run(sets.replace("NAME", name))
    done = user.pull("churn", "--source", "remote")

    assert refused.returncode == 251
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["git checkout", "without"])
def test_a_clone_without_a_dvc_project(user: User, way: str) -> None:
    shutil.rmtree(user.clone / ".dvc")

    refused = user.pull("churn", "--source", "remote")
    args: tuple[str, ...] = ()
    if way == "git checkout":
        user.run(command_in(refused.stderr.partition(", or")[0]))
        point_at(user.clone, user.project)
        args = ("--source", "remote")
    done = user.pull("churn", *args)

    assert refused.returncode == 253
    assert "or leave out '--source'" in refused.stderr
    assert done.returncode == 0, done.stderr


# -- the workspace, and lock files


def test_content_that_would_be_lost(user: User) -> None:
    (user.clone / PATH).write_bytes(b"mine")

    refused = user.pull("churn")
    done = user.pull("churn", _last(refused.stderr).strip("'"))

    assert refused.returncode == 7
    assert done.returncode == 0, done.stderr


def test_globs_that_leave_nothing(user: User) -> None:
    refused = user.pull("churn", "--include", "nothing*")
    shown = user.pull("churn", _last(refused.stderr).strip("'"))

    assert refused.returncode == 254
    assert PATH in shown.stdout


def test_a_model_that_is_not_locked(user: User) -> None:
    assert user.pull("churn", "--lock").returncode == 0

    refused = user.pull("bert", "--locked")
    user.run(command_in(refused.stderr))
    done = user.pull("bert", "--locked")

    assert refused.returncode == 4
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["models.lock", "it's mine.lock"])
def test_a_lock_file_that_cannot_be_read(user: User, name: str) -> None:
    lock = user.clone / name
    lock.write_text("<<<<<<<")

    refused = user.pull("--locked", name)
    lock.unlink()
    command = refused.stderr.rpartition("again with '")[2].strip().removesuffix("'")
    user.run(command.replace("NAME", "churn"))
    done = user.pull("--locked", name)

    assert refused.returncode == 251
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["models.lock", "it's mine.lock"])
def test_other_content_than_is_locked(user: User, name: str) -> None:
    assert user.pull("churn@v1.0.0", "--lock", name).returncode == 0
    git(user.project.repo, "tag", "--delete", "churn@v1.0.0")
    user.project.tag("churn@v1.0.0", "churn@v2.0.0")
    git(user.clone, "fetch", "--quiet", "--force", "--tags")

    refused = user.pull("--locked", name)
    command = refused.stderr.rpartition("lock it with '")[2].strip()
    user.run(command.removesuffix("'"))
    done = user.pull("--locked", name)

    assert refused.returncode == 1, refused.stderr
    assert done.returncode == 0, done.stderr
    assert (user.clone / PATH).read_bytes() == CHURN["v2.0.0"]


# -- this machine


def test_too_many_open_files(user: User) -> None:
    files = {f"models/bert/{n:03}.bin": b"%d" % n * 4096 for n in range(200)}
    write(user.project.repo, files)
    track(user.project.repo, "models/bert")
    commit_all(user.project, "More files")
    user.project.tag("bert@v3.0.0")
    pull = "ulimit -n 24; dvc models pull bert@v3.0.0"

    told = user.run(f"{pull} 2>&1 || echo exit $?")
    user.run(f"{pull} -j 1")

    assert "too many open files\nRaise the limit ('ulimit -n'), or " in told
    assert told.endswith("exit 8\n")
    assert (user.clone / "models/bert/199.bin").read_bytes() == b"199" * 4096
