"""``--require-signed``: real keys, real tags, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from projects import CHURN, ORIGIN_URL, git
from signing import Key, gpg_key, set_globally, ssh_key, trust

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project

    from tests.e2e.conftest import Registry

SIGNED = ("--require-signed", "--json")

Pull = "Callable[..., subprocess.CompletedProcess[str]]"


@pytest.fixture
def key(tmp_path: Path) -> Key:
    """An SSH key that the user trusts."""
    made = ssh_key(tmp_path)
    trust(made)
    return made


@pytest.fixture
def signed(own_registry: Registry, key: Key) -> Project:
    """The project, in which the tags of churn's v2.0.0 are signed."""
    project = own_registry.project
    key.tag(project, "churn@v2.0.0", "churn@v2.0.0")
    key.tag(project, "churn#prod#3", "churn@v2.0.0")
    return project


@pytest.fixture
def pull(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Pull with ``--require-signed`` in a clone, made at the first pull."""
    folder = tmp_path / "clone"

    def run(*names: str) -> subprocess.CompletedProcess[str]:
        if not folder.exists():
            own_registry.project.clone(folder)
        args = ("models", "pull", *names, *SIGNED)
        return run_dvc(*args, cwd=folder, env=own_registry.environ)

    return run


def verified(done: subprocess.CompletedProcess[str]) -> set[str]:
    assert done.returncode == 0, done.stderr
    models = json.loads(done.stdout)["models"]
    return {file["verified_by"] for model in models for file in model["files"]}


def refused(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 6, done.stderr
    error: dict[str, Any] = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("SignatureError", 6)
    return str(error["message"])


@pytest.mark.cold
@pytest.mark.usefixtures("signed")
def test_what_signed_tags_vouch_for_is_pulled(
    pull: Any, run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    for name in ("churn", "churn@v2.0.0", "churn#prod"):
        assert verified(pull(name)) == {"git+signature"}
    clone = tmp_path / "clone"
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]

    again = ("models", "pull", "churn", "--require-signed")
    done = run_dvc(*again, cwd=clone, env=own_registry.environ)

    assert "verified against Git by signed tags" in done.stdout
    plain = run_dvc("models", "pull", "churn", cwd=clone, env=own_registry.environ)
    assert "signed" not in plain.stdout


@pytest.mark.usefixtures("signed")
def test_an_unsigned_tag_is_refused_before_anything_changes(
    pull: Any, tmp_path: Path
) -> None:
    for name, tag in (
        ("churn@v1.0.0", "churn@v1.0.0"),
        ("churn#dev", "churn@v1.0.0"),
        ("bert", "bert@v2.0.0"),
    ):
        message = refused(pull(name))

        assert f"no signature verifies '{name}': tag '{tag}': it is not signed" in (
            message
        )
        assert not list((tmp_path / "clone/models").glob("*.pkl"))


def test_a_stage_needs_its_own_signature(
    pull: Any, own_registry: Registry, key: Key
) -> None:
    key.tag(own_registry.project, "churn@v2.0.0", "churn@v2.0.0")

    assert "tag 'churn#prod#3': it is not signed" in refused(pull("churn#prod"))
    assert verified(pull("churn@v2.0.0")) == {"git+signature"}


def test_a_key_that_the_user_does_not_name_is_refused(
    pull: Any, signed: Project, tmp_path: Path
) -> None:
    other = ssh_key(tmp_path, "other")
    other.tag(signed, "churn@v2.0.0", "churn@v2.0.0")

    reason = "its key is not in gpg.ssh.allowedSignersFile"
    assert f"tag 'churn@v2.0.0': {reason}" in refused(pull("churn"))


def test_a_tag_that_was_changed_after_signing_is_refused(
    pull: Any, signed: Project
) -> None:
    raw = git(signed.repo, "cat-file", "tag", "churn@v2.0.0")
    changed = raw.replace("\n\nchurn@v2.0.0", "\n\nchurn@v2.0.0 ")
    oid = subprocess.run(
        ["git", "hash-object", "-t", "tag", "-w", "--stdin"],
        cwd=signed.repo,
        input=changed,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    git(signed.repo, "update-ref", "refs/tags/churn@v2.0.0", oid)

    assert "its signature is not valid" in refused(pull("churn"))


def test_the_signature_of_another_tag_does_not_count(
    pull: Any, signed: Project, key: Key, tmp_path: Path
) -> None:
    key.tag(signed, "other", "churn@v1.0.0")
    clone = signed.clone(tmp_path / "clone")
    oid = git(clone, "rev-parse", "other").strip()
    git(clone, "update-ref", "refs/tags/churn@v1.0.0", oid)

    assert "this clone has no tag for it" in refused(pull("churn@v1.0.0"))


@pytest.mark.usefixtures("signed")
def test_keys_and_programs_of_the_repo_s_own_config_do_not_count(
    pull: Any, tmp_path: Path, own_registry: Registry
) -> None:
    clone = own_registry.project.clone(tmp_path / "clone")
    other = ssh_key(tmp_path, "other")
    other.tag(own_registry.project, "churn@v1.0.0", "churn@v1.0.0")
    git(
        clone,
        "fetch",
        "--force",
        str(own_registry.project.repo),
        "+refs/tags/*:refs/tags/*",
    )
    liar = tmp_path / "liar"
    ran = tmp_path / "ran"
    liar.write_text(f"#!/bin/sh\ntouch {ran}\necho 'Good \"git\" signature'\n")
    liar.chmod(0o755)
    signers = tmp_path / "signers"
    signers.write_text(f"ada@example.com {other.public}")
    for name, value in (
        ("gpg.ssh.allowedSignersFile", signers),
        ("gpg.ssh.program", liar),
        ("gpg.program", liar),
        ("gpg.openpgp.program", liar),
        ("gpg.minTrustLevel", "never"),
    ):
        git(clone, "config", name, str(value))

    assert "its key is not in gpg.ssh.allowedSignersFile" in refused(
        pull("churn@v1.0.0")
    )
    assert verified(pull("churn")) == {"git+signature"}
    assert not ran.exists()


@pytest.mark.usefixtures("signed")
def test_without_allowed_signers_the_setting_is_named(pull: Any) -> None:
    subprocess.run(
        ["git", "config", "--global", "--unset", "gpg.ssh.allowedSignersFile"],
        check=True,
    )

    reason = "gpg.ssh.allowedSignersFile is not set in your own Git config"
    assert reason in refused(pull("churn"))


def test_unsigned_tags_that_bring_an_older_version_back_are_refused(
    pull: Any, signed: Project, key: Key
) -> None:
    key.tag(signed, "churn@v1.0.0", "churn@v1.0.0")
    key.tag(signed, "churn#prod#2", "churn@v1.0.0")
    key.tag(signed, "churn#prod#3", "churn@v2.0.0")
    signed.tag("churn#prod!#4", "churn@v2.0.0")
    signed.tag("churn@v2.0.0!", "churn@v2.0.0")

    cancels = "which cancels another: it is not signed"
    assert cancels in refused(pull("churn#prod"))
    assert f"tag 'churn@v2.0.0!', {cancels}" in refused(pull("churn"))
    assert verified(pull("churn@v1.0.0")) == {"git+signature"}


def test_a_gpg_signature_is_verified_with_the_user_s_keyring(
    pull: Any, own_registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with gpg_key() as key:
        key.tag(own_registry.project, "churn@v2.0.0", "churn@v2.0.0")

    assert verified(pull("churn")) == {"git+signature"}
    assert "it is not signed" in refused(pull("churn@v1.0.0"))

    empty = tmp_path / "gnupg"
    empty.mkdir(mode=0o700)
    monkeypatch.setenv("GNUPGHOME", str(empty))
    assert "its key is not in your GPG keyring" in refused(pull("churn"))
    set_globally("gpg.program", str(tmp_path / "no-such-program"))
    assert "no-such-program" in refused(pull("churn"))


def test_what_no_tag_of_the_clone_can_vouch_for_is_refused(
    pull: Any, signed: Project, run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    assert verified(pull("churn")) == {"git+signature"}
    clone = tmp_path / "clone"
    signed.tag("churn@v9.0.0", "churn@v1.0.0")

    assert "could not be verified against Git" in refused(pull("churn"))
    git(clone, "tag", "--delete", *git(clone, "tag").split())
    assert "this clone has no tag for it" in refused(pull("churn@v2.0.0"))
    other = ("--repo", ORIGIN_URL, "--out", "o")
    done = run_dvc(
        *("models", "pull", "churn", *other, *SIGNED),
        cwd=tmp_path,
        env=own_registry.environ,
    )
    assert "it is of another repo" in refused(done)
    done = run_dvc("models", "pull", "churn", "--urls", "--require-signed", cwd=clone)
    assert done.returncode == 254


@pytest.mark.usefixtures("signed")
def test_a_lock_is_verified_by_the_tag_of_the_version_that_it_pins(
    pull: Any, run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    assert verified(pull("churn#prod", "--lock")) == {"git+signature"}
    clone, env = tmp_path / "clone", own_registry.environ
    assert verified(pull("--locked")) == {"git+signature"}

    git(clone, "tag", "--delete", "churn#prod#3")
    assert verified(pull("--locked")) == {"git+signature"}
    assert verified(pull("--locked", "--source", "cache")) == {"git+signature"}

    run_dvc("models", "pull", "churn@v1.0.0", "--lock", cwd=clone, env=env)
    assert "tag 'churn@v1.0.0': it is not signed" in refused(pull("--locked"))
    shutil.rmtree(clone)


def test_an_unsigned_deregistration_rolls_no_stage_back_whatever_its_date(
    pull: Any, own_registry: Registry, key: Key
) -> None:
    project = own_registry.project
    for name, version in (
        ("churn@v1.0.0", "v1.0.0"),
        ("churn@v2.0.0", "v2.0.0"),
    ):
        key.tag(project, name, f"churn@{version}")
    project.tag("churn@v2.0.0!", "churn@v2.0.0")  # before any stage is assigned
    key.tag(project, "churn#prod#2", "churn@v1.0.0")
    key.tag(project, "churn#prod#3", "churn@v2.0.0")

    message = refused(pull("churn#prod"))

    assert "tag 'churn@v2.0.0!', which cancels another: it is not signed" in message


def test_an_unsigned_tag_that_changes_nothing_does_not_matter(
    pull: Any, signed: Project
) -> None:
    signed.tag("churn#dev!#9", "churn@v1.0.0")
    signed.tag("churn@v1.0.0!", "churn@v1.0.0")

    assert verified(pull("churn")) == {"git+signature"}
    assert verified(pull("churn#prod")) == {"git+signature"}
