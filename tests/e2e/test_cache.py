"""``dvc models cache`` as users run it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from environments import DVC
from projects import (
    BERT,
    CHURN,
    Project,
    commit_all,
    copy_project,
    git,
    lock_held,
    track,
    write,
)
from terminals import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

HOUR = 3600


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of all tests; its cache has both versions of all models."""
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


def objects(repo: Path) -> set[str]:
    """Return the names of the objects in a cache."""
    found = (repo / ".dvc/cache/files/md5").glob("??/*")
    return {path.parent.name + path.name for path in found}


def object_of(repo: Path, content: bytes) -> Path:
    """Return the path of the object with this content."""
    found = (repo / ".dvc/cache/files/md5").glob("??/*")
    return next(path for path in found if path.read_bytes() == content)


def damage(path: Path) -> None:
    """Change the content of an object."""
    content = path.read_bytes()
    path.chmod(0o644)
    path.write_bytes(content[:-1] + b"!")


def rows(text: str) -> list[list[str]]:
    """Split a table into columns, which are separated by two spaces."""
    return [
        [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in text.splitlines()
    ]


# -- ls


def test_ls_shows_sizes_stages_and_what_needs_each_version(
    run_dvc: RunDvc, project: Project
) -> None:
    done = run_dvc("models", "cache", "ls", cwd=project.repo)

    assert (done.returncode, done.stderr) == (0, "")
    table = [row[:3] + row[4:] for row in rows(done.stdout)]
    assert table == [
        ["Model", "Size", "Shared", "Needed by"],
        ["bert@v2.0.0", "26.1 KiB", "16.0 KiB", "workspace, main"],
        ["bert@v1.0.0", "24.2 KiB", "16.0 KiB", "-"],
        ["churn@v2.0.0", "371.1 KiB", "-", "workspace, #prod, main"],
        ["churn@v1.0.0", "1.7 KiB", "-", "#dev"],
        ["services/fraud:fraud@v1.0.0", "600 B", "-", "workspace, main"],
        ["5 versions, 407.7 KiB"],
    ]


def test_ls_as_json_names_a_lock_file_and_partly_present_versions(
    run_dvc: RunDvc, project: Project
) -> None:
    run_dvc("models", "pull", "churn@v1.0.0", "--source", "cache", "--lock=pins.yaml",
            "--force", cwd=project.repo)  # fmt: skip
    object_of(project.repo, BERT["v1.0.0"]["vocab.txt"]).unlink()

    done = run_dvc("models", "cache", "ls", "*r*", "--json", cwd=project.repo)

    (*_, churn, _fraud) = versions = json.loads(done.stdout)["versions"]
    assert churn["version"] == "v1.0.0"
    assert set(churn["needed_by"]) == {"workspace", "pins.yaml", "#dev"}
    assert versions[1]["files"] == {"present": 4, "total": 5}
    table = run_dvc("models", "cache", "ls", "bert", cwd=project.repo).stdout
    assert "4 of 5 files" in table


def test_what_is_left_of_a_version_is_not_needed_by_what_shares_it(
    run_dvc: RunDvc, project: Project
) -> None:
    for name in ("vocab.txt", "config.json"):
        object_of(project.repo, BERT["v1.0.0"][name]).unlink()

    listed = run_dvc("models", "cache", "ls", "bert", "--json", cwd=project.repo)
    run_dvc("models", "cache", "prune", "-f", cwd=project.repo)
    again = run_dvc("models", "cache", "prune", "-f", cwd=project.repo)

    (_, old) = json.loads(listed.stdout)["versions"]
    assert (old["version"], old["needed_by"]) == ("v1.0.0", [])
    assert again.stdout.startswith("Nothing to remove")


def test_ls_refuses_a_name_that_it_does_not_know(
    run_dvc: RunDvc, project: Project
) -> None:
    done = run_dvc("models", "cache", "ls", "chrn", cwd=project.repo)

    assert done.returncode == 4
    assert "no version of 'chrn' is known to the cache" in done.stderr


def test_under_quiet_nothing_is_printed(run_dvc: RunDvc, project: Project) -> None:
    for command in ("ls", "verify", "prune"):
        args = ["--force"] if command == "prune" else []
        done = run_dvc("models", "cache", command, "-q", *args, cwd=project.repo)

        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_ls_of_an_empty_cache_says_so(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    clone = project.clone(tmp_path / "clone")

    done = run_dvc("models", "cache", "ls", cwd=clone)

    assert done.returncode == 0
    assert done.stdout == f"No versions of models in '{clone}/.dvc/cache'.\n"


def test_ls_fits_a_narrow_terminal(project: Project) -> None:
    done = on_terminal([DVC, "models", "cache", "ls"], cwd=project.repo, columns=60)

    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 60
    assert "needed by workspace, #prod, main" in " ".join(done.stdout.split())
    done = on_terminal([DVC, "models", "cache", "ls"], cwd=project.repo, columns=90)
    assert max(map(len, done.stdout.splitlines())) <= 90
    assert "  Needed by\r\n" in done.stdout


# -- prune


def test_prune_removes_what_nothing_needs_and_no_more(
    run_dvc: RunDvc, project: Project
) -> None:
    before = objects(project.repo)

    shown = run_dvc("models", "cache", "prune", "--dry-run", cwd=project.repo)
    unchanged = objects(project.repo)
    done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)

    assert (shown.returncode, unchanged) == (0, before)
    assert "bert@v1.0.0  8.2 KiB" in shown.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert "8.2 KiB freed; 4 versions stay, 399.4 KiB" in done.stdout
    assert len(before - objects(project.repo)) == 4  # the listing and three files
    again = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)
    assert again.stdout.startswith("Nothing to remove: 4 versions stay")
    status = run_dvc("status", cwd=project.repo)
    assert "up to date" in status.stdout


def test_an_experiment_of_dvc_keeps_a_version(
    run_dvc: RunDvc, project: Project
) -> None:
    old = project.commit("bert@v1.0.0")
    git(project.repo, "update-ref", "refs/exps/ab/cdef/tidal-wave", old)

    done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)
    listed = run_dvc("models", "cache", "ls", "bert", cwd=project.repo)

    assert done.stdout.startswith("Nothing to remove")
    assert "experiment tidal-wave" in listed.stdout


def test_prune_without_a_terminal_and_force_removes_nothing(
    run_dvc: RunDvc, project: Project
) -> None:
    before = objects(project.repo)

    done = run_dvc("models", "cache", "prune", cwd=project.repo)

    assert done.returncode == 1
    assert "use '--force' to remove without a question" in done.stderr
    assert objects(project.repo) == before


def test_prune_asks_on_a_terminal(project: Project) -> None:
    before = objects(project.repo)
    script = f"echo n | {DVC} models cache prune"
    done = on_terminal(["sh", "-c", script], cwd=project.repo)

    assert done.returncode == 1
    assert "Are you sure you want to proceed?" in done.stdout
    assert objects(project.repo) == before

    done = on_terminal(["sh", "-c", script.replace("echo n", "echo y")],
                       cwd=project.repo)  # fmt: skip

    assert done.returncode == 0
    assert len(before - objects(project.repo)) == 4


def test_a_stage_a_branch_and_a_lock_file_of_a_branch_keep_a_version(
    run_dvc: RunDvc, project: Project
) -> None:
    project.tag("bert#prod#9", "bert@v1.0.0")
    before = objects(project.repo)

    by_stage = run_dvc("models", "cache", "prune", "-f", cwd=project.repo)
    project.tag("bert#prod!#10", "bert@v1.0.0")
    git(project.repo, "branch", "old", "bert@v1.0.0^{commit}")
    by_branch = run_dvc("models", "cache", "prune", "-f", cwd=project.repo)
    git(project.repo, "branch", "-D", "old")
    git(project.repo, "checkout", "-q", "-b", "locked")
    run_dvc("models", "pull", "bert@v1.0.0", "--source", "cache", "--lock", "--force",
            cwd=project.repo)  # fmt: skip
    git(project.repo, "add", "models.lock")
    git(project.repo, "commit", "-q", "-m", "lock")
    git(project.repo, "checkout", "-q", "main")
    run_dvc("models", "pull", "bert@v2.0.0", "--source", "cache", "--force",
            cwd=project.repo)  # fmt: skip
    by_lock = run_dvc("models", "cache", "prune", "-f", "--json", cwd=project.repo)

    assert "Nothing to remove" in by_stage.stdout
    assert "Nothing to remove" in by_branch.stdout
    kept = {v["version"]: v for v in json.loads(by_lock.stdout)["kept"][:2]}
    assert kept["v1.0.0"]["needed_by"] == ["locked:models.lock"]
    assert objects(project.repo) == before


def test_criteria_keep_recent_and_latest_versions_and_a_size(
    run_dvc: RunDvc, project: Project
) -> None:
    def would_remove(*args: str) -> list[str]:
        done = run_dvc("models", "cache", "prune", "-n", "--json", *args,
                       cwd=project.repo)  # fmt: skip
        return [v["version"] for v in json.loads(done.stdout)["versions"]]

    assert would_remove("--older-than", "0s") == ["v1.0.0"]
    assert would_remove("--older-than", "1h") == []
    assert would_remove("--keep-latest", "1") == ["v1.0.0"]
    assert would_remove("--keep-latest", "2") == []
    assert would_remove("--max-size", "400KiB") == ["v1.0.0"]
    assert would_remove("--max-size", "1MB") == []


@pytest.mark.parametrize(
    "args",
    [("--older-than", "30"), ("--max-size", "much"), ("--keep-latest", "-1")],
    ids=lambda args: args[0],
)
def test_a_criterion_that_cannot_be_read_is_a_usage_error(
    run_dvc: RunDvc, project: Project, args: tuple[str, str]
) -> None:
    done = run_dvc("models", "cache", "prune", *args, cwd=project.repo)

    assert done.returncode == 254
    assert args[1] in done.stderr


def break_branch(project: Project) -> str:
    git(project.repo, "checkout", "-q", "-b", "broken")
    write(project.repo, {"models/churn.pkl.dvc": b"outs: [\n"})
    git(project.repo, "add", "--force", "models/churn.pkl.dvc")
    git(project.repo, "commit", "-q", "-m", "broken")
    git(project.repo, "checkout", "-q", "main")
    return "branch broken"


def break_workspace(project: Project) -> str:
    write(project.repo, {"other.dvc": b"outs: [\n"})
    return "workspace"


def break_lock(project: Project) -> str:
    write(project.repo, {"models.lock": b"models: [\n"})
    return "models.lock"


def break_lock_of_a_branch(project: Project) -> str:
    git(project.repo, "checkout", "-q", "-b", "broken")
    write(project.repo, {"sub/pins.yml": b"schema: '1.0'\nmodels: 7\n"})
    commit_all(project, "broken")
    git(project.repo, "checkout", "-q", "main")
    return "pins.yml"


def break_receipt(project: Project) -> str:
    write(project.repo, {".dvc/tmp/models/receipts/any.json": b"{"})
    return "any.json"


def lose_a_commit(project: Project) -> str:
    """Make a tag whose commit a shallow clone lacks."""
    tag = f"object {'1' * 40}\ntype commit\ntag churn#old#1\ntagger A <a@b> 1 +0000\n"
    path = project.repo.parent / "tag"
    path.write_text(f"{tag}\nm\n")
    oid = git(project.repo, "hash-object", "-t", "tag", "-w", "--literally", str(path))
    (project.repo / ".git/refs/tags/churn#old#1").write_text(oid)
    return "churn#old#1"


def damage_a_listing(project: Project) -> str:
    listing = next((project.repo / ".dvc/cache/files/md5").glob("??/*.dir"))
    damage(listing)
    return listing.name


def break_ref(project: Project) -> str:
    (project.repo / ".git/refs/heads/torn").write_text("no id\n")
    return "branch torn"


def lose_head(project: Project) -> str:
    """Check out a commit that the clone lacks."""
    (project.repo / ".git/HEAD").write_text(f"{'1' * 40}\n")
    return "HEAD: cannot read the Git repository at"


BREAKS = {
    "the ref of a branch": break_ref,
    "HEAD": lose_head,
    "a branch": break_branch,
    "the workspace": break_workspace,
    "a lock file": break_lock,
    "a lock file of a branch": break_lock_of_a_branch,
    "a receipt": break_receipt,
    "a stage's commit": lose_a_commit,
    "a listing": damage_a_listing,
}


@pytest.mark.parametrize("breaks", BREAKS.values(), ids=BREAKS)
def test_nothing_is_removed_if_something_that_may_need_it_cannot_be_read(
    run_dvc: RunDvc, project: Project, breaks: object
) -> None:
    named = breaks(project)  # type: ignore[operator]
    before = objects(project.repo)

    done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)

    assert done.returncode == 7
    assert "nothing was removed" in done.stderr
    assert named in done.stderr
    assert objects(project.repo) == before
    listed = run_dvc("models", "cache", "ls", cwd=project.repo)
    assert listed.returncode == 0
    assert named in listed.stdout + listed.stderr  # DVC writes warnings to stdout


def test_a_shared_cache_needs_the_projects_that_use_it(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    shutil.move(project.repo / ".dvc/cache", tmp_path / "shared")
    (project.repo / ".dvc/cache").mkdir()
    run_dvc("cache", "dir", "--local", tmp_path / "shared", cwd=project.repo)
    other = project.clone(tmp_path / "other")
    run_dvc("cache", "dir", "--local", tmp_path / "shared", cwd=other)
    git(other, "checkout", "-q", "bert@v1.0.0")
    count = len(list((tmp_path / "shared/files/md5").glob("??/*")))

    alone = run_dvc("models", "cache", "prune", "-f", cwd=project.repo)
    both = run_dvc("models", "cache", "prune", "-f", "--projects", "../../other",
                   cwd=project.repo)  # fmt: skip

    assert alone.returncode == 7
    assert "Name them with '--projects PATH...'" in alone.stderr
    assert both.stdout.startswith("Nothing to remove")
    assert len(list((tmp_path / "shared/files/md5").glob("??/*"))) == count
    none = run_dvc("models", "cache", "prune", "-f", "-p", cwd=project.repo)
    assert (none.returncode, "Removed" in none.stdout) == (0, True)


def test_a_project_that_is_none_is_a_usage_error(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    done = run_dvc("models", "cache", "prune", "-f", "-p", tmp_path, cwd=project.repo)

    assert done.returncode == 254
    assert "is neither in a DVC project nor in a Git repo" in done.stderr


def test_prune_waits_for_no_other_process(run_dvc: RunDvc, project: Project) -> None:
    before = objects(project.repo)

    with lock_held(project.repo):
        done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)

    assert done.returncode == 7
    assert "another DVC process holds the project's lock" in done.stderr
    assert objects(project.repo) == before


def test_other_data_that_shares_a_file_keeps_it(
    run_dvc: RunDvc, project: Project
) -> None:
    write(project.repo, {"data/same": BERT["v1.0.0"]["vocab.txt"]})
    track(project.repo, "data")

    done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)

    assert done.returncode == 0
    assert object_of(project.repo, BERT["v1.0.0"]["vocab.txt"]).exists()
    shutil.rmtree(project.repo / "data")
    assert run_dvc("checkout", cwd=project.repo).returncode == 0


def test_what_a_dvc_file_says_stays_even_if_it_is_not_checked_out(
    run_dvc: RunDvc, project: Project
) -> None:
    git(project.repo, "checkout", "bert@v1.0.0", "--", "models/bert.dvc")
    git(project.repo, "reset", "-q")
    shutil.rmtree(project.repo / "models/bert")

    done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)

    assert done.stdout.startswith("Nothing to remove")
    assert run_dvc("checkout", cwd=project.repo).returncode == 0
    vocab = project.repo / "models/bert/vocab.txt"
    assert vocab.read_bytes() == BERT["v1.0.0"]["vocab.txt"]


def test_content_in_the_workspace_stays_whatever_dvcs_files_say(
    run_dvc: RunDvc, project: Project
) -> None:
    """A symbolic link of an older version would be broken."""
    run_dvc("config", "cache.type", "symlink", cwd=project.repo)
    git(project.repo, "checkout", "-q", "bert@v1.0.0")
    run_dvc("checkout", "--relink", cwd=project.repo)
    git(project.repo, "checkout", "-q", "main")

    done = run_dvc("models", "cache", "prune", "--force", cwd=project.repo)

    assert (done.returncode, done.stderr) == (0, "")
    there = project.repo / "models/bert/vocab.txt"
    assert there.read_bytes() == BERT["v1.0.0"]["vocab.txt"]


def test_text_of_dvc_2_in_the_workspace_is_recognised_without_dvcs_state(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    folder = project.repo
    old, new = b"old\r\n", b"new\r\n"
    hashes = {}
    for version, content in (("v1.0.0", old), ("v2.0.0", new)):
        value = hashlib.md5(content.replace(b"\r\n", b"\n")).hexdigest()
        hashes[version] = f"{value[:2]}/{value[2:]}"
        recorded = f"outs:\n- md5: {value}\n  size: 5\n  path: t.txt\n"
        write(folder, {"t.txt.dvc": recorded.encode(), ".gitignore": b"/t.txt\n"})
        write(folder / ".dvc/cache", {hashes[version]: content})
        dvc_yaml = (folder / "dvc.yaml").read_bytes()
        if b"t.txt" not in dvc_yaml:
            write(folder, {"dvc.yaml": dvc_yaml + b"  t:\n    path: t.txt\n"})
        commit_all(project, version)
        project.tag(f"t@{version}")
    write(folder, {"t.txt": old})
    env = {"DVC_SITE_CACHE_DIR": str(tmp_path / "fresh")}

    kept = run_dvc("models", "cache", "prune", "-f", "--json", cwd=folder, env=env)
    write(folder, {"t.txt": new})
    run_dvc("models", "cache", "prune", "-f", cwd=folder, env=env)

    names = {v["name"]: v for v in json.loads(kept.stdout)["kept"]}
    assert names["t"]["version"] == "v1.0.0"
    assert names["t"]["needed_by"] == ["workspace"]
    assert not (folder / ".dvc/cache" / hashes["v1.0.0"]).exists()
    assert (folder / ".dvc/cache" / hashes["v2.0.0"]).exists()


# -- parts


def make_part(repo: Path, name: str, *, age_s: float = 0) -> Path:
    """Make a part of an unfinished pull."""
    path = repo / ".dvc/cache/parts" / name
    write(path.parent, {name: b"x" * 5000})
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


def test_parts_are_listed_and_removed_by_age_or_all(
    run_dvc: RunDvc, project: Project
) -> None:
    digest = object_of(project.repo, CHURN["v1.0.0"])
    key = digest.parent.name + digest.name
    digest.unlink()
    wanted = make_part(project.repo, f"{key}.11111111", age_s=2 * HOUR)
    unknown = make_part(project.repo, f"{'0' * 32}.22222222")
    orphan = make_part(project.repo, "nohash.33333333")

    listed = run_dvc("models", "cache", "ls", cwd=project.repo)
    run_dvc("gc", "--workspace", "--force", cwd=project.repo)
    after_gc = [path.exists() for path in (wanted, unknown, orphan)]
    aged = run_dvc("models", "cache", "prune", "-f", "--older-than=1h",
                   cwd=project.repo)  # fmt: skip
    after_aged = [path.exists() for path in (wanted, unknown, orphan)]
    run_dvc("models", "cache", "prune", "-f", cwd=project.repo)

    table = rows(listed.stdout)
    assert {row[0]: row[3] for row in table[-4:-1]} == {
        "churn@v1.0.0 models/churn.pkl": "resumable",
        "00000000...": "resumable",
        "-": "of no use",
    }
    assert after_gc == [True, True, True]
    assert "2 parts of unfinished pulls" in aged.stdout
    assert after_aged == [False, True, False]
    assert not unknown.exists()


# -- verify


def test_verify_names_what_is_damaged_and_fix_lets_the_next_pull_repair_it(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", "churn", cwd=clone, env=registry.environ)
    whole = run_dvc("models", "cache", "verify", cwd=clone)
    broken = object_of(clone, BERT["v2.0.0"]["weights/größe-模型.bin"])
    damage(broken)

    found = run_dvc("models", "cache", "verify", cwd=clone)
    as_json = run_dvc("models", "cache", "verify", "--json", "bert", cwd=clone)
    other = run_dvc("models", "cache", "verify", "churn", cwd=clone)
    fixed = run_dvc("models", "cache", "verify", "--fix", cwd=clone)

    assert (whole.returncode, whole.stderr) == (0, "")
    assert "all have their content" in whole.stdout
    assert found.returncode == 6
    assert f"damaged: {broken}" in found.stdout
    assert "bert@v2.0.0: models/bert/weights/größe-模型.bin" in found.stdout
    assert as_json.returncode == 6
    assert json.loads(as_json.stdout)["damaged"][0]["models"] == ["bert@v2.0.0"]
    assert other.returncode == 0
    assert (fixed.returncode, broken.exists()) == (0, False)
    shutil.rmtree(clone / "models/bert")
    again = run_dvc("models", "pull", "bert", cwd=clone, env=registry.environ)
    assert again.returncode == 0
    assert broken.read_bytes() == BERT["v2.0.0"]["weights/größe-模型.bin"]
    assert run_dvc("models", "cache", "verify", cwd=clone).returncode == 0


def test_verify_all_reads_other_data_too(run_dvc: RunDvc, project: Project) -> None:
    write(project.repo, {"data/other": b"no model's content"})
    track(project.repo, "data")
    damage(object_of(project.repo, b"no model's content"))

    models = run_dvc("models", "cache", "verify", cwd=project.repo)
    whole = run_dvc("models", "cache", "verify", "--all", cwd=project.repo)

    assert (models.returncode, whole.returncode) == (0, 6)


def test_a_folder_in_the_place_of_an_object_is_damage(
    run_dvc: RunDvc, project: Project
) -> None:
    there = object_of(project.repo, CHURN["v2.0.0"])
    there.unlink()
    there.mkdir()

    found = run_dvc("models", "cache", "verify", cwd=project.repo)
    fixed = run_dvc("models", "cache", "verify", "--fix", cwd=project.repo)

    assert found.returncode == 6
    assert f"damaged: {there}" in found.stdout
    assert (fixed.returncode, there.exists()) == (0, False)


def test_an_edit_through_a_link_is_not_removed(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("config", "cache.type", "symlink", cwd=clone)
    run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)
    damage((clone / "models/churn.pkl").resolve())

    done = run_dvc("models", "cache", "verify", "--fix", cwd=clone)

    assert done.returncode == 6
    assert "models/churn.pkl' is a link to it" in done.stdout
    assert (clone / "models/churn.pkl").read_bytes().endswith(b"!")


# -- where


def test_outside_of_git_and_dvc_the_cache_is_named_by_an_option(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    cache = project.repo / ".dvc/cache"

    done = run_dvc("models", "cache", "verify", "--all", "--cache-dir", cache,
                   cwd=tmp_path)  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert "12 objects" in done.stdout
