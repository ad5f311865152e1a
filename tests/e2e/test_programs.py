"""Reading a repository never runs programs that its own config names."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from projects import CHURN, Project, copy_project, git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc

COMMANDS = {
    "list": ["models", "list"],
    "status": ["models", "status", "churn@v1.0.0"],
    "pull": ["models", "pull", "churn@v1.0.0", "--source", "remote"],
}


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """A program that creates a file next to it when it runs."""
    path = tmp_path / "trap"
    path.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{tmp_path}/ran'\nexit 1\n")
    path.chmod(0o755)
    return path


def ran(trap: Path) -> list[str]:
    mark = trap.with_name("ran")
    return mark.read_text().splitlines() if mark.exists() else []


def all_hooks(clone: Path, trap: Path) -> None:
    names = (
        *("applypatch-msg", "commit-msg", "fsmonitor-watchman", "post-checkout"),
        *("post-index-change", "post-merge", "post-update", "pre-auto-gc"),
        *("pre-commit", "pre-push", "pre-receive", "proc-receive", "push-to-checkout"),
        *("reference-transaction", "sendemail-validate", "update"),
    )
    hooks = clone / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in names:
        (hooks / name).unlink(missing_ok=True)
        (hooks / name).symlink_to(trap)


def hooks_path(clone: Path, trap: Path) -> None:
    all_hooks(clone, trap)
    shutil.move(clone / ".git" / "hooks", clone / ".git" / "mine")
    git(clone, "config", "core.hooksPath", str(clone / ".git" / "mine"))


def filters(clone: Path, trap: Path) -> None:
    (clone / ".git" / "info").mkdir(exist_ok=True)
    (clone / ".git" / "info" / "attributes").write_text("* filter=x diff=x merge=x\n")
    for kind in ("filter.x.smudge", "filter.x.clean", "filter.x.process"):
        git(clone, "config", kind, str(trap))
    for kind in ("diff.x.textconv", "diff.x.command", "merge.x.driver"):
        git(clone, "config", kind, str(trap))
    git(clone, "config", "filter.x.required", "true")


def included(clone: Path, trap: Path) -> None:
    (clone / ".git" / "more").write_text(
        f"[core]\n\tsshCommand = {trap}\n\tfsmonitor = {trap}\n"
        f'[remote "origin"]\n\tuploadpack = {trap}\n'
    )
    git(clone, "config", "include.path", "more")


def of_the_worktree(clone: Path, trap: Path) -> None:
    git(clone, "config", "extensions.worktreeConfig", "true")
    for key in ("core.sshCommand", "core.fsmonitor", "remote.origin.uploadpack"):
        git(clone, "config", "--worktree", key, str(trap))


def by_remote_helper(scheme: str) -> Callable[[Path, Path], None]:
    def set_up(clone: Path, trap: Path) -> None:
        git(clone, "config", "protocol.allow", "always")
        git(clone, "config", f"protocol.{scheme}.allow", "always")
        git(clone, "remote", "set-url", "origin", f"{scheme}::{trap} x")

    return set_up


def instead(clone: Path, trap: Path) -> None:
    git(clone, "config", "protocol.ext.allow", "always")
    url = git(clone, "remote", "get-url", "origin").strip()
    git(clone, "config", f"url.ext::{trap} .insteadOf", url)


def setting(key: str, url: str | None = None) -> Callable[[Path, Path], None]:
    def set_up(clone: Path, trap: Path) -> None:
        git(clone, "config", key, str(trap))
        if url:
            git(clone, "remote", "set-url", "origin", url)

    return set_up


SSH = "ssh://git@127.0.0.1:9/acme/models.git"
HTTP = "http://127.0.0.1:9/acme/models.git"
WAYS: dict[str, Callable[[Path, Path], None]] = {
    "core.fsmonitor": setting("core.fsmonitor"),
    "hooks": all_hooks,
    "core.hooksPath": hooks_path,
    "core.sshCommand": setting("core.sshCommand", SSH),
    "core.askPass": setting("core.askPass", HTTP),
    "core.gitProxy": setting("core.gitProxy", "git://127.0.0.1:9/acme/models.git"),
    "core.alternateRefsCommand": setting("core.alternateRefsCommand"),
    "core.pager": setting("core.pager"),
    "core.editor": setting("core.editor"),
    "remote.X.uploadpack": setting("remote.origin.uploadpack"),
    "remote.X.vcs": setting("remote.origin.vcs"),
    "credential.helper": setting("credential.helper", HTTP),
    "credential.URL.helper": setting("credential.http://127.0.0.1:9.helper", HTTP),
    "uploadpack.packObjectsHook": setting("uploadpack.packObjectsHook"),
    "gpg.program": setting("gpg.program"),
    "diff.external": setting("diff.external"),
    "alias": setting("alias.cat-file"),
    "an ext:: URL": by_remote_helper("ext"),
    "an fd:: URL": by_remote_helper("fd"),
    "insteadOf": instead,
    "filters": filters,
    "an included file": included,
    "the worktree's config": of_the_worktree,
}


def partial(project: Project, to: Path) -> Path:
    """Clone without the blobs of v1.0.0, which a pull of v1.0.0 must read."""
    git(project.repo, "config", "uploadpack.allowFilter", "true")
    allow = ("-c", "protocol.file.allow=always")
    url = project.repo.resolve().as_uri()
    git(to.parent, *allow, "clone", "--quiet", "--filter=blob:none", url, str(to))
    return to


@pytest.mark.parametrize("way", WAYS)
def test_no_program_of_a_partial_clone_is_run(
    run_dvc: RunDvc, project: Project, trap: Path, way: str
) -> None:
    clone = partial(project, project.root / "clone")
    WAYS[way](clone, trap)
    trap.with_name("ran").unlink(missing_ok=True)  # by the setting up

    for command in ("list", "pull"):
        done = run_dvc(*COMMANDS[command], cwd=clone)

        assert ran(trap) == []
        assert done.returncode in {0, 253}
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_no_program_of_a_clone_is_run_whatever_its_config_names(
    run_dvc: RunDvc, project: Project, trap: Path, command: str
) -> None:
    clone = project.clone(project.root / "clone")
    for set_up in WAYS.values():
        set_up(clone, trap)
    trap.with_name("ran").unlink(missing_ok=True)

    done = run_dvc(*COMMANDS[command], cwd=clone)

    assert ran(trap) == []
    assert "Traceback" not in done.stderr
    if command == "pull":
        assert done.returncode == 0
        assert (clone / "models" / "churn.pkl").read_bytes() == CHURN["v1.0.0"]


def test_what_is_missing_comes_from_the_remote_where_no_program_is_named(
    run_dvc: RunDvc, project: Project, trap: Path
) -> None:
    clone = partial(project, project.root / "clone")

    done = run_dvc(*COMMANDS["pull"], cwd=clone)

    assert done.returncode == 0
    assert (clone / "models" / "churn.pkl").read_bytes() == CHURN["v1.0.0"]
    assert ran(trap) == []
