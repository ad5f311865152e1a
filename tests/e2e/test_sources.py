"""``--source remote|cache``, offline, and the hints about them in Studio's errors."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from counted_pull import counted_pull
from projects import BERT, CHURN, commit_all, git, read_tree, track, write
from servers import free_port

from dvc_studio_models.model import SOURCES
from tests.e2e.test_pins import PATH, md5
from tests.files.test_workspace import frozen

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project
    from servers import StudioServer

    from tests.e2e.conftest import Registry


def stored(project: Project, content: bytes) -> Path:
    name = md5(content)
    return project.storage / "files/md5" / name[:2] / name[2:]


@pytest.fixture
def clone(served_project: Project, tmp_path: Path) -> Path:
    """A clone with tags, without a Git remote and without a token."""
    clone = served_project.clone(tmp_path / "clone")
    point_at(clone, served_project)
    git(clone, "remote", "remove", "origin")
    return clone


def point_at(clone: Path, project: Project) -> None:
    """Configure the project's storage in the clone's config.local."""
    (clone / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\n    url = {project.storage}\n"
    )


# -- the user's own DVC remote


@pytest.mark.cold
def test_the_dvc_remote_needs_neither_token_nor_git_remote(
    run_dvc: RunDvc, clone: Path
) -> None:
    pull = ("models", "pull", "churn#prod", "bert@v1.0.0", "--source", "remote")

    done = run_dvc(*pull, "--json", cwd=clone)

    result = json.loads(done.stdout)
    sizes = sum(map(len, {*BERT["v1.0.0"].values(), CHURN["v2.0.0"]}))
    assert (done.returncode, done.stderr) == (0, "")
    assert (result["repo"], result["bytes_downloaded"]) == (f"{clone}", sizes)
    files = [file for model in result["models"] for file in model["files"]]
    assert {(file["action"], file["verified_by"]) for file in files} == {
        ("downloaded", "git")
    }
    assert [model["version"] for model in result["models"]] == ["v2.0.0", "v1.0.0"]
    assert (clone / PATH).read_bytes() == CHURN["v2.0.0"]
    assert read_tree(clone / "models/bert") == BERT["v1.0.0"]


@pytest.mark.cold
def test_a_pull_from_the_remote_is_known_to_dvc_and_to_the_next_pull(
    run_dvc: RunDvc, clone: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", "--source", "remote", cwd=clone)

    done = run_dvc("models", "pull", "bert", "--source", "remote", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert "bert = v2.0.0 (" in done.stdout
    assert "from the DVC remote\n" in done.stdout
    assert "models/bert/vocab.txt" in done.stdout
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]
    assert run_dvc("status", "models/bert.dvc", cwd=clone).stdout == (
        "Data and pipelines are up to date.\n"
    )


def test_a_dry_run_of_the_remote_changes_nothing(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc("models", "pull", "bert", "--source=remote", "--dry-run", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert "models/bert/config.json" in done.stdout
    assert "nothing was changed" in done.stdout
    assert not (clone / "models/bert").exists()
    assert not (clone / ".dvc/cache/files").exists()


def test_a_conflict_stops_a_pull_from_the_remote(run_dvc: RunDvc, clone: Path) -> None:
    (clone / PATH).write_bytes(b"mine")

    done = run_dvc("models", "pull", "churn", "--source", "remote", cwd=clone)

    assert done.returncode == 7
    assert (clone / PATH).read_bytes() == b"mine"
    assert not (clone / ".dvc/cache/files").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(None, "was it pushed with 'dvc push'?", id="missing"),
        pytest.param(b"wrong", "its hash is different there", id="damaged"),
    ],
)
def test_what_the_remote_lacks_or_has_damaged_is_told(
    run_dvc: RunDvc,
    own_registry: Registry,
    tmp_path: Path,
    content: bytes | None,
    reason: str,
) -> None:
    project = own_registry.project
    clone = project.clone(tmp_path / "clone")
    point_at(clone, project)
    kept = stored(project, CHURN["v2.0.0"])
    kept.chmod(0o644)
    kept.unlink()
    if content:
        kept.write_bytes(content)

    done = run_dvc("models", "pull", "churn", "bert", "--source", "remote", cwd=clone)

    assert done.returncode == 5
    assert "failed to download from the DVC remote 'storage':" in done.stderr
    assert f"{PATH}: " in done.stderr
    assert reason in done.stderr
    assert not (clone / PATH).exists()
    assert not (clone / "models/bert").exists()


@pytest.mark.parametrize(
    "content",
    [pytest.param(None, id="missing"), pytest.param(b"wrong", id="damaged")],
)
def test_a_damaged_object_stays_until_the_remote_has_delivered(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path, content: bytes | None
) -> None:
    """It may be the only copy of an edit that was made through a link."""
    project = own_registry.project
    clone = project.clone(tmp_path / "clone")
    point_at(clone, project)
    pull = ("models", "pull", "churn", "--source", "remote")
    run_dvc(*pull, cwd=clone)
    name = md5(CHURN["v2.0.0"])
    cached = clone / ".dvc/cache/files/md5" / name[:2] / name[2:]
    cached.chmod(0o644)
    cached.write_bytes(b"an edit")
    (clone / PATH).unlink()
    kept = stored(project, CHURN["v2.0.0"])
    kept.rename(tmp_path / "kept")
    if content:
        kept.write_bytes(content)

    refused = run_dvc(*pull, cwd=clone)
    after = cached.read_bytes()
    (tmp_path / "kept").replace(kept)
    done = run_dvc(*pull, cwd=clone)

    assert (refused.returncode, after) == (5, b"an edit")
    assert (done.returncode, cached.read_bytes()) == (0, CHURN["v2.0.0"])
    assert (clone / PATH).read_bytes() == CHURN["v2.0.0"]


@pytest.fixture
def kept_elsewhere(own_registry: Registry, tmp_path: Path) -> Path:
    """A clone whose churn is on another remote than the default one."""
    project = own_registry.project
    other = tmp_path / "other"
    with (project.repo / ".dvc/config").open("a") as config:
        config.write(f"['remote \"other\"']\n    url = {other}\n")
    write(project.repo, {"models/churn.pkl": b"the third"})
    track(project.repo, "models/churn.pkl")
    dvc_file = project.repo / "models/churn.pkl.dvc"
    dvc_file.write_text(dvc_file.read_text() + "  remote: other\n")
    commit_all(project, "Keep it elsewhere")
    project.tag("churn@v3.0.0")
    kept = stored(project, b"the third")
    (other / "files/md5" / kept.parent.name).mkdir(parents=True)
    kept.rename(other / "files/md5" / kept.parent.name / kept.name)
    clone = project.clone(tmp_path / "clone")
    point_at(clone, project)
    return clone


def test_the_remote_that_an_output_names_is_asked(
    run_dvc: RunDvc, kept_elsewhere: Path
) -> None:
    clone = kept_elsewhere

    done = run_dvc("models", "pull", "churn", "--source", "remote", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert (clone / PATH).read_bytes() == b"the third"


def test_the_remote_that_an_output_names_is_asked_for_a_pinned_model(
    run_dvc: RunDvc, kept_elsewhere: Path
) -> None:
    clone = kept_elsewhere
    pull = ("models", "pull", "--source", "remote")
    run_dvc(*pull, "churn", "bert", "--lock", cwd=clone)
    for tag in git(clone, "tag").split():
        git(clone, "tag", "--delete", tag)
    shutil.rmtree(clone / "models/bert")
    (clone / PATH).unlink()
    shutil.rmtree(clone / ".dvc/cache")

    hint = run_dvc("models", "pull", "churn", "--locked", cwd=clone)
    done = run_dvc(*pull, "--locked", cwd=clone)

    assert "The DVC remote 'other' may have churn@v3.0.0" in hint.stderr
    assert done.returncode == 0, done.stderr
    assert (clone / PATH).read_bytes() == b"the third"
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


@pytest.mark.parametrize("models", [["churn"], ["churn", "bert"]], ids=["one", "more"])
@pytest.mark.parametrize("kind", ["folder", "inner folder", "file"])
def test_a_cache_that_cannot_be_written_is_not_the_remotes_fault(
    run_dvc: RunDvc, clone: Path, kind: str, models: list[str]
) -> None:
    folder = clone / ".dvc/cache/files/md5"
    inner = folder / md5(CHURN["v2.0.0"])[:2]
    with contextlib.ExitStack() as stack:
        if kind == "file":
            write(folder, {inner.name: b"in the way"})
        else:
            frozen_one = inner if kind == "inner folder" else folder
            frozen_one.mkdir(parents=True)
            stack.enter_context(frozen(frozen_one))

        done = run_dvc("models", "pull", *models, "--source", "remote", cwd=clone)

    assert done.returncode == 8, done.stderr
    assert f"cannot write '{folder}': " in done.stderr
    assert not (clone / PATH).exists()


def test_a_project_without_remote_is_told(run_dvc: RunDvc, clone: Path) -> None:
    (clone / ".dvc/config").write_text("")
    (clone / ".dvc/config.local").unlink()

    done = run_dvc("models", "pull", "churn", "--source", "remote", cwd=clone)

    assert done.returncode == 251
    assert "cannot use a DVC remote: DVC's config has no default remote" in done.stderr
    assert "dvc remote default NAME" in done.stderr


# -- many models


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_read_from_git_is_saved_once_however_many_models_are_pulled(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path, source: str
) -> None:
    names = ["churn", "bert", "services/fraud:fraud"]
    saves = []
    for count in (1, len(names)):
        clone = registry.project.clone(tmp_path / f"clone-{count}")
        point_at(clone, registry.project)
        if source == "cache":
            fill = ("models", "pull", *names, "--source", "remote")
            assert run_dvc(*fill, cwd=clone).returncode == 0
            (clone / ".git/dvc-models/registry.json").unlink()

        env = registry.environ
        counted = counted_pull(*names[:count], folder=clone, env=env, source=source)
        assert counted.error == ""
        saves.append(counted.saved[".git/dvc-models/registry.json"])

    assert saves == [1, 1]  # what commits hold


# -- the DVC cache alone


def test_the_cache_needs_no_network(run_dvc: RunDvc, clone: Path) -> None:
    run_dvc("models", "pull", "bert", "churn", "--source", "remote", cwd=clone)
    shutil.rmtree(clone / "models/bert")
    (clone / ".dvc/config.local").unlink()

    done = run_dvc("models", "pull", "bert", "--source", "cache", "--json", cwd=clone)

    files = json.loads(done.stdout)["models"][0]["files"]
    assert {(f["action"], f["verified_by"]) for f in files} == {("linked", "git")}
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


@pytest.mark.parametrize("mode", [(), ("--dry-run",), ("--check",)])
def test_what_the_cache_lacks_is_listed(
    run_dvc: RunDvc, clone: Path, mode: tuple[str, ...]
) -> None:
    run_dvc("models", "pull", "bert", "--source", "remote", cwd=clone)
    shutil.rmtree(clone / "models/bert")
    name = md5(BERT["v2.0.0"]["config.json"])
    cached = clone / ".dvc/cache/files/md5" / name[:2] / name[2:]
    cached.unlink()

    done = run_dvc("models", "pull", "bert", "--source", "cache", *mode, cwd=clone)

    assert (done.returncode, done.stdout) == (5, "")
    assert (
        "these files are not in the DVC cache:\n  models/bert/config.json\n"
        in done.stderr
    )
    assert "'--source remote'" in done.stderr
    assert not (clone / "models/bert").exists()


def test_a_directory_whose_list_the_cache_lacks_is_told(
    run_dvc: RunDvc, clone: Path
) -> None:
    done = run_dvc("models", "pull", "bert", "--source", "cache", cwd=clone)

    assert done.returncode == 5
    assert "models/bert (which files it has)" in done.stderr


def test_another_folder_is_filled_from_the_clones_cache(
    run_dvc: RunDvc, clone: Path, tmp_path: Path
) -> None:
    run_dvc("models", "pull", "churn", "--source", "remote", cwd=clone)

    done = run_dvc(
        *("models", "pull", "churn", "--source", "cache", "--out", tmp_path / "out"),
        cwd=clone,
    )

    assert done.returncode == 0, done.stderr
    assert read_tree(tmp_path / "out") == {PATH: CHURN["v2.0.0"]}


@pytest.mark.parametrize("spelled", ["../out", "../link", "sub/../../link/."])
def test_another_folder_is_the_same_however_it_is_spelled(
    run_dvc: RunDvc, clone: Path, spelled: str
) -> None:
    pull = ("models", "pull", "--source", "remote")
    folder = clone / "sub"
    (folder / "sub").mkdir(parents=True)
    (clone / "link").symlink_to("out")
    run_dvc(*pull, "bert@v1.0.0", "--out", "out", cwd=clone)

    done = run_dvc(*pull, "bert@v2.0.0", "--out", spelled, cwd=folder)

    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "out/models/bert") == BERT["v2.0.0"]
    assert "removed" in done.stdout


# -- offline


@pytest.fixture(params=["environment", "config"])
def offline(
    request: pytest.FixtureRequest, run_dvc: RunDvc, clone: Path
) -> dict[str, str]:
    run_dvc("models", "pull", "churn@v1.0.0", "--source", "remote", cwd=clone)
    (clone / PATH).unlink()
    if request.param == "environment":
        return {"DVC_STUDIO_OFFLINE": "true"}
    run_dvc("config", "--local", "studio.offline", "true", cwd=clone)
    return {}


def test_offline_means_the_cache(
    run_dvc: RunDvc, clone: Path, offline: dict[str, str]
) -> None:
    done = run_dvc("models", "pull", "churn@v1.0.0", cwd=clone, env=offline)
    status = run_dvc("models", "status", cwd=clone, env=offline)

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / PATH).read_bytes() == CHURN["v1.0.0"]
    assert (status.returncode, status.stderr) == (0, "")


def test_offline_allows_the_remote_and_refuses_studio(
    run_dvc: RunDvc, clone: Path, offline: dict[str, str]
) -> None:
    pull = ("models", "pull", "churn", "--source")
    git(clone, "remote", "add", "origin", "https://git.example.com/acme/models")

    remote = run_dvc(*pull, "remote", cwd=clone, env=offline)
    studio = run_dvc(*pull, "studio", cwd=clone, env=offline)

    assert (remote.returncode, remote.stderr) == (0, "")
    assert studio.returncode == 251
    assert "Studio is disabled" in studio.stderr
    assert "All files of churn@v2.0.0 are in the DVC cache" in studio.stderr


# -- what makes no sense, or cannot be known


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--source", "remote", "--no-cache"), id="no cache"),
        pytest.param(("--source", "cache", "--no-cache"), id="no cache at all"),
        pytest.param(("--source", "remote", "--urls"), id="urls"),
        pytest.param(("--source", "cache", "--urls"), id="urls of the cache"),
        pytest.param(("--source", "cache", "--repo", "acme/other"), id="another repo"),
        pytest.param(("--source", "elsewhere"), id="no such source"),
    ],
)
def test_what_a_source_cannot_do_is_refused(
    run_dvc: RunDvc, clone: Path, options: tuple[str, ...]
) -> None:
    done = run_dvc("models", "pull", "churn", *options, cwd=clone)

    assert done.returncode == 254, done.stderr
    assert not (clone / PATH).exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        pytest.param("churn@v9.0.0", "known versions: v2.0.0, v1.0.0", id="version"),
        pytest.param("churn#qa", "known stages: dev, prod", id="stage"),
        pytest.param("nosuch", "registered models: bert, churn", id="model"),
    ],
)
def test_what_the_tags_do_not_know_is_told(
    run_dvc: RunDvc, clone: Path, name: str, words: str
) -> None:
    done = run_dvc("models", "pull", name, "--source", "remote", cwd=clone)

    assert done.returncode == 4
    assert words in done.stderr
    assert "Run 'git fetch --tags'" in done.stderr


def test_a_clone_without_a_dvc_project_is_told(
    run_dvc: RunDvc, served_project: Project, tmp_path: Path
) -> None:
    clone = served_project.clone(tmp_path / "clone")
    shutil.rmtree(clone / ".dvc")

    done = run_dvc("models", "pull", "churn", "--source", "cache", cwd=clone)

    assert done.returncode == 253
    assert "not in a DVC project" in done.stderr


def test_outside_of_a_clone_there_is_only_studio(
    run_dvc: RunDvc, tmp_path: Path
) -> None:
    done = run_dvc(
        "models", "pull", "churn", "--source", "cache", "--out", ".", cwd=tmp_path
    )

    assert done.returncode == 253
    assert "not in a Git repository" in done.stderr


@pytest.mark.parametrize(
    ("pull", "who"),
    [
        pytest.param(("churn",), "Git", id="tags"),
        pytest.param(("--locked",), "the lock file", id="lock"),
    ],
)
def test_who_names_what_must_not_be_written_is_told(
    run_dvc: RunDvc, clone: Path, pull: tuple[str, ...], who: str
) -> None:
    run_dvc("models", "pull", "churn", "--source", "remote", "--lock", cwd=clone)
    (clone / PATH).unlink()
    (clone / PATH).mkdir()

    done = run_dvc("models", "pull", *pull, "--source", "cache", cwd=clone)

    assert done.returncode == 7
    assert (
        f"refusing to write these paths from {who}:\n  '{PATH}': a folder"
        in done.stderr
    )


def test_a_folder_of_our_own_that_is_a_link_is_told_by_its_path(
    run_dvc: RunDvc, clone: Path, tmp_path: Path
) -> None:
    own = clone / ".dvc/tmp/models"
    own.parent.mkdir(exist_ok=True)
    own.symlink_to(tmp_path)

    done = run_dvc("models", "pull", "churn", "--source", "remote", cwd=clone)

    assert done.returncode == 7
    assert (
        f"refusing to write these paths:\n  '{own}': it is a symlink or not a folder"
        in done.stderr
    )
    assert not (clone / PATH).exists()


# -- what DVC 2 stored


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_dvc_2_stored_is_pulled_pinned_and_pulled_again(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path, kind: str
) -> None:
    """Its hash treats CRLF as LF, and its objects are outside ``files/md5``."""
    project, content = own_registry.project, b"one\r\ntwo\r\n"
    digest = md5(content.replace(b"\r\n", b"\n"))
    objects = {digest: content}
    path, recorded = "models/churn.pkl", digest
    if kind == "directory":
        path = "models/churn.pkl/a.txt"
        listed = json.dumps([{"md5": digest, "relpath": "a.txt"}], sort_keys=True)
        recorded = f"{md5(listed.encode())}.dir"
        objects[recorded] = listed.encode()
    stored_as = {f"{name[:2]}/{name[2:]}": data for name, data in objects.items()}
    write(project.storage, stored_as)
    dvc_file = f"outs:\n- md5: {recorded}\n  path: churn.pkl\n"
    write(project.repo, {"models/churn.pkl.dvc": dvc_file.encode()})
    commit_all(project, "As DVC 2 did")
    project.tag("churn@v3.0.0")
    clone = project.clone(tmp_path / "clone")
    point_at(clone, project)

    first = run_dvc(
        "models", "pull", "churn", "--source", "remote", "--lock", cwd=clone
    )
    there = (clone / path).read_bytes()
    (clone / path).unlink()
    again = run_dvc("models", "pull", "--source=cache", "--locked", cwd=clone)

    assert (first.returncode, first.stderr) == (0, "")
    assert "verified against Git" in first.stdout
    assert (
        f"hash: md5-dos2unix\n      md5: {digest}\n"
        in (clone / "models.lock").read_text()
    )
    assert (again.returncode, again.stderr) == (0, "")
    assert there == (clone / path).read_bytes() == content


# -- a remote that lies


def test_a_list_that_leads_out_of_the_cache_is_refused(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    """The list of files matches Git, but its author is not trusted."""
    project, clone = own_registry.project, tmp_path / "clone"
    victim = tmp_path / "victim"
    victim.write_text("mine")
    cache = clone / ".dvc/cache/files/md5"
    above = os.path.relpath(victim, cache)
    hostile = f"{above[:2]}{above[3:]}"  # DVC puts a slash after two letters
    listed = json.dumps([{"md5": hostile, "relpath": "w.bin"}]).encode()
    digest = md5(listed)
    write(project.storage, {f"files/md5/{digest[:2]}/{digest[2:]}.dir": listed})
    dvc_file = f"outs:\n- md5: {digest}.dir\n  hash: md5\n  path: evil\n"
    write(project.repo, {"models/evil.dvc": dvc_file.encode()})
    dvc_yaml = project.repo / "dvc.yaml"
    dvc_yaml.write_text(dvc_yaml.read_text().replace("models/churn.pkl", "models/evil"))
    commit_all(project, "Somebody's directory")
    project.tag("churn@v3.0.0")
    point_at(project.clone(clone), project)

    done = run_dvc("models", "pull", "churn", "--source", "remote", cwd=clone)

    assert (done.returncode, done.stdout) == (6, "")
    assert "no list of files" in done.stderr
    assert victim.read_text() == "mine"


# -- what an error of Studio's says


def unreachable() -> dict[str, str]:
    url = f"http://127.0.0.1:{free_port()}"
    return {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": "t"}


def test_a_failed_studio_points_to_the_cache_only_if_it_has_all(
    run_dvc: RunDvc, clone: Path
) -> None:
    git(clone, "remote", "add", "origin", "https://git.example.com/acme/models")
    env = unreachable()
    pull = ("models", "pull", "bert")
    before = run_dvc(*pull, cwd=clone, env=env)
    run_dvc(*pull, "--source", "remote", cwd=clone)
    shutil.rmtree(clone / "models/bert")

    cached = run_dvc(*pull, cwd=clone, env=env)
    more = run_dvc(*pull, "churn", cwd=clone, env=env)
    unknown = run_dvc("models", "pull", "nosuch", cwd=clone, env=env)

    hint = "All files of bert@v2.0.0 are in the DVC cache: use '--source cache'"
    assert before.returncode == cached.returncode == more.returncode == 5
    assert "The DVC remote 'storage' may have bert@v2.0.0" in before.stderr
    assert hint in cached.stderr
    assert "The DVC remote 'storage' may have bert@v2.0.0, churn@v2.0.0" in more.stderr
    assert "--source" not in unknown.stderr


def test_no_remote_and_no_cache_is_no_way_out(run_dvc: RunDvc, clone: Path) -> None:
    git(clone, "remote", "add", "origin", "https://git.example.com/acme/models")
    (clone / ".dvc/config").write_text("")
    (clone / ".dvc/config.local").unlink()

    done = run_dvc("models", "pull", "churn", cwd=clone, env=unreachable())

    assert done.returncode == 5
    assert "--source" not in done.stderr


@pytest.mark.parametrize(
    ("token", "code"), [(None, 3), ("wrong", 3)], ids=["missing", "refused"]
)
def test_a_token_that_fails_points_elsewhere_too(
    run_dvc: RunDvc, studio: StudioServer, clone: Path, token: str | None, code: int
) -> None:
    git(clone, "remote", "add", "origin", "https://git.example.com/acme/models")
    env = {"DVC_STUDIO_URL": studio.url, "DVC_STUDIO_TOKEN": token}

    done = run_dvc("models", "pull", "churn", "--json", cwd=clone, env=env)

    assert done.returncode == code
    assert "use '--source remote'" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--repo", "git@git.example.com:acme/other"), id="another repo"),
        pytest.param(("--no-cache",), id="no cache"),
        pytest.param(("--urls",), id="urls"),
    ],
)
def test_no_source_is_pointed_to_that_the_options_refuse(
    run_dvc: RunDvc, clone: Path, options: tuple[str, ...]
) -> None:
    git(clone, "remote", "add", "origin", "https://git.example.com/acme/models")

    done = run_dvc("models", "pull", "churn", *options, cwd=clone)

    assert done.returncode == 3, done.stderr
    assert "--source" not in done.stderr


def test_a_model_that_studio_does_not_know_points_nowhere(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    clone = registry.project.clone(tmp_path / "other")
    commit = registry.project.commit("churn@v2.0.0")
    git(clone, "tag", "-a", "-m", "local", "churn@v7.0.0", commit)

    done = run_dvc("models", "pull", "churn@v7.0.0", cwd=clone, env=registry.environ)

    assert done.returncode == 4
    assert "--source" not in done.stderr
