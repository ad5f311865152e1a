"""Checks against Git before the download, and the state of ``dvc`` after a pull."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from fetching import md5
from projects import BERT, CHURN, git, read_tree, write

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from servers import FileServer, StudioServer

    from tests.e2e.conftest import Registry

OTHER = b"what Git never saw"


def bert(**changes: bytes | None) -> dict[str, bytes]:
    """Return the files of the second version, with some changed or left out."""
    files = {
        **BERT["v2.0.0"],
        **{f"{name}.json": data for name, data in changes.items()},
    }
    return {f"models/bert/{name}": data for name, data in files.items() if data}


@pytest.mark.parametrize(
    ("ref", "files"),
    [
        pytest.param("churn@v2.0.0", {"models/churn.pkl": OTHER}, id="a file"),
        pytest.param("bert@v2.0.0", bert(config=OTHER), id="a file of a directory"),
        pytest.param("bert@v2.0.0", bert(config=None), id="one too few"),
        pytest.param("bert@v2.0.0", bert(more=OTHER), id="one too many"),
    ],
)
def test_what_git_denies_is_refused_before_the_first_byte(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    ref: str,
    files: dict[str, bytes],
) -> None:
    name, _, version = ref.partition("@")
    studio.serve(name, file_server.publish(files), version=version)

    done = run_dvc("models", "pull", ref, cwd=clone, env=studio.environ)

    assert done.returncode == 6
    assert f"Git, at {ref}, says" in done.stderr
    assert file_server.requests == []
    assert not (clone / "models/churn.pkl").exists()
    assert not (clone / "models/bert").exists()


@pytest.mark.parametrize(
    ("tag", "ref", "head"),
    [
        pytest.param("churn@v2.0.0!", "churn", "churn = v1.0.0 (", id="deregistered"),
        pytest.param(
            "churn#prod!#9", "churn#prod", "churn#prod from ", id="unassigned"
        ),
        pytest.param("churn@deprecated", "churn", "churn from ", id="deprecated"),
    ],
)
def test_what_no_longer_counts_is_not_what_it_was(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    tag: str,
    ref: str,
    head: str,
) -> None:
    commit = git(clone, "rev-parse", "churn@v2.0.0^{commit}").strip()
    git(clone, "tag", "-a", "-m", tag, tag, commit)
    name, _, stage = ref.partition("#")
    content = CHURN["v1.0.0"] if tag.endswith("v2.0.0!") else CHURN["v2.0.0"]
    files = file_server.publish({"models/churn.pkl": content})
    studio.serve(name, files, stage=stage or None)

    done = run_dvc("models", "pull", ref, cwd=clone, env=studio.environ)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(head)


@pytest.mark.parametrize(
    ("tags", "vouches"),
    [pytest.param("new", "git", id="Git knows"), pytest.param("old", "size", id="no")],
)
def test_an_object_that_was_pulled_is_known_again_though_its_link_tells_no_hash(
    run_dvc: RunDvc,
    studio: StudioServer,
    file_server: FileServer,
    clone: Path,
    tags: str,
    vouches: str,
) -> None:
    """This happens on cloud-versioned remotes."""
    env, names = studio.environ, list(BERT["v2.0.0"])
    if tags == "old":
        git(clone, "tag", "--delete", "bert@v2.0.0")
    for name in names:
        file_server.objects[f"/{name}"] = BERT["v2.0.0"][name]
    where = {
        f"models/bert/{name}": file_server.url(quote(f"/{name}")) for name in names
    }
    studio.serve("bert", {path: f"{url}?versionId=1" for path, url in where.items()})
    run_dvc("models", "pull", "bert", cwd=clone, env=env)
    before = len(file_server.requests)

    check = run_dvc("models", "pull", "bert", "--check", cwd=clone, env=env)
    status = run_dvc("models", "status", "bert", cwd=clone, env=env)
    (clone / "models/bert/config.json").unlink()
    again = run_dvc("models", "pull", "bert", "--json", cwd=clone, env=env)
    after = len(file_server.requests)
    studio.serve("bert", {path: f"{url}?versionId=2" for path, url in where.items()})
    newer = run_dvc("models", "pull", "bert", "--check", cwd=clone, env=env)

    files = json.loads(again.stdout)["models"][0]["files"]
    assert (check.returncode, status.returncode, after) == (0, 0, before)
    assert {file["verified_by"] for file in files} == {vouches}
    assert sorted({file["action"] for file in files}) == ["linked", "unchanged"]
    assert newer.returncode == 1


def test_a_directory_is_checked_out_offline_after_a_pull(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    files = {f"models/bert/{name}": data for name, data in BERT["v1.0.0"].items()}
    studio.serve("bert", file_server.publish(files), version="v1.0.0")
    run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=studio.environ)
    shutil.rmtree(clone / "models/bert")
    git(clone, "checkout", "--quiet", "bert@v1.0.0")
    asked = len(studio.requests), len(file_server.requests)

    done = run_dvc("checkout", "models/bert.dvc", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "models/bert") == BERT["v1.0.0"]
    assert (len(studio.requests), len(file_server.requests)) == asked


def test_dvcs_own_checkout_needs_no_server_after_a_pull(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", "churn", cwd=clone, env=registry.environ)
    shutil.rmtree(clone / "models/bert")
    (clone / "models/churn.pkl").unlink()
    (clone / ".dvc/config").write_text("")

    done = run_dvc("checkout", "models/bert.dvc", "models/churn.pkl.dvc", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_a_commit_cannot_bring_a_cache_of_what_git_says(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    pull = ("models", "pull", "churn@v2.0.0")
    right = {"models/churn.pkl": CHURN["v2.0.0"]}
    studio.serve("churn", file_server.publish(right), version="v2.0.0")
    run_dvc(*pull, cwd=clone, env=studio.environ)
    cache = clone / ".git/dvc-models/registry.json"
    forged = cache.read_text().replace(md5(CHURN["v2.0.0"]), md5(OTHER))
    assert md5(OTHER) in forged
    cache.unlink()
    (clone / "models/churn.pkl").unlink()
    write(clone, {".dvc/tmp/models/registry.json": forged.encode()})
    git(clone, "add", "--force", ".dvc/tmp/models/registry.json")
    git(clone, "commit", "--quiet", "--message", "Forge")
    wrong = {"models/churn.pkl": OTHER}
    studio.serve("churn", file_server.publish(wrong), version="v2.0.0")

    done = run_dvc(*pull, cwd=clone, env=studio.environ)

    assert done.returncode == 6
    assert "Git, at churn@v2.0.0, says" in done.stderr
