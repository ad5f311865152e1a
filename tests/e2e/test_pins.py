"""``--lock``, ``--locked``, and ``dvc models status`` with ``models.lock``."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from dvc.utils.serialize import dumps_yaml, load_yaml
from needs import CAN_WAIT, need_waiting
from projects import BERT, CHURN, git, lock_held

from dvc_studio_models.errors import REFRESH_TAGS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import RunDvc
    from projects import Project
    from servers import FileServer, StudioServer

    from tests.e2e.conftest import Registry

PATH = "models/churn.pkl"


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def move(project: Project, tag: str, to: str) -> None:
    """Move a tag to another commit."""
    commit = project.commit(to)
    git(project.repo, "tag", "--delete", tag)
    project.tag(tag, commit)


@pytest.fixture
def locked(run_dvc: RunDvc, own_registry: Registry, tmp_path: Path) -> Path:
    """A clone without cache and models, whose lock file has churn#dev as v1.0.0."""
    clone = own_registry.project.clone(tmp_path / "first")
    done = run_dvc(
        "models", "pull", "churn#dev", "--lock", cwd=clone, env=own_registry.environ
    )
    assert done.returncode == 0, done.stderr
    fresh = own_registry.project.clone(tmp_path / "clone")
    (clone / "models.lock").rename(fresh / "models.lock")
    return fresh


# -- writing


@pytest.mark.cold
def test_a_lock_file_says_what_was_pulled(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "churn#prod", "bert", "--lock"),
        cwd=clone / "services",
        env=registry.environ,
    )

    assert done.returncode == 0, done.stderr
    commit = registry.project.commit("churn@v2.0.0")
    content = CHURN["v2.0.0"]
    assert (clone / "models.lock").read_text().partition("  churn:")[2] == (
        "\n"
        "    requested: '#prod'\n"
        "    version: v2.0.0\n"
        f"    commit: {commit}\n"
        "    files:\n"
        f"    - path: {PATH}\n"
        "      hash: md5\n"
        f"      md5: {md5(content)}\n"
        f"      size: {len(content)}\n"
    )
    content = load_yaml(clone / "models.lock")
    assert content["schema"] == "1.0"
    bert = content["models"]["bert"]
    assert bert["requested"] == "@latest"
    assert {file["path"]: (file["md5"], file["size"]) for file in bert["files"]} == {
        f"models/bert/{path}": (md5(data), len(data))
        for path, data in BERT["v2.0.0"].items()
    }
    assert git(clone, "status", "--porcelain") == "?? models.lock\n"


def test_other_models_stay_in_the_lock_and_nothing_new_touches_no_file(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    pull, env = ("models", "pull", "--lock"), registry.environ
    file = clone / "services/pins.lock"
    run_dvc(*pull, "pins.lock", "bert", "churn@v1.0.0", cwd=file.parent, env=env)
    run_dvc(*pull, "services/pins.lock", "churn@v2.0.0", cwd=clone, env=env)
    before, text = file.stat(), file.read_text()

    done = run_dvc(*pull, "services/pins.lock", "churn@v2.0.0", cwd=clone, env=env)

    models = load_yaml(file)["models"]
    assert {name: model["version"] for name, model in models.items()} == {
        "bert": "v2.0.0",
        "churn": "v2.0.0",
    }
    assert (done.returncode, file.read_text()) == (0, text)
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_a_version_that_the_tags_do_not_know_is_not_locked_nor_downloaded(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    git(clone, "tag", "--delete", "churn#prod#3")

    done = run_dvc(
        "models", "pull", "churn#prod", "--lock", cwd=clone, env=registry.environ
    )

    assert done.returncode == 4
    assert REFRESH_TAGS in done.stderr
    assert not (clone / PATH).exists()
    assert not (clone / "models.lock").exists()
    assert not (clone / ".dvc/cache/parts").exists()


def test_content_that_the_tags_do_not_know_is_not_placed_where_only_it_tells_a_hash(
    run_dvc: RunDvc, studio: StudioServer, file_server: FileServer, clone: Path
) -> None:
    git(clone, "tag", "--delete", "churn#prod#3")
    file_server.objects["/churn.pkl"] = CHURN["v2.0.0"]
    links = {PATH: file_server.sign("/churn.pkl")}
    studio.serve("churn", links, stage="prod")

    done = run_dvc(
        "models", "pull", "churn#prod", "--lock", cwd=clone, env=studio.environ
    )

    assert done.returncode == 4
    assert REFRESH_TAGS in done.stderr
    assert not (clone / PATH).exists()
    assert not (clone / "models.lock").exists()


def test_a_lock_file_in_no_folder_is_refused_before_the_first_byte(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "churn", "--lock", "nodir/x.lock"),
        cwd=clone,
        env=registry.environ,
    )

    assert done.returncode == 8
    assert "nodir/x.lock': no such folder" in done.stderr
    assert not (clone / PATH).exists()
    assert not (clone / ".dvc/cache/parts").exists()


def test_a_stage_on_a_commit_without_a_version_is_pulled_and_not_locked(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    project, env = own_registry.project, own_registry.environ
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "unregistered")
    project.tag("churn#dev#9")
    commit = project.commit("main")
    clone = project.clone(tmp_path / "clone")

    locking = run_dvc("models", "pull", "churn#dev", "--lock", cwd=clone, env=env)
    before = (clone / PATH).exists(), (clone / "models.lock").exists()
    done = run_dvc("models", "pull", "churn#dev", cwd=clone, env=env)
    as_json = run_dvc("models", "pull", "churn#dev", "--json", cwd=clone, env=env)

    assert (locking.returncode, before) == (4, (False, False))
    assert "cannot pin 'churn#dev': its stage is assigned to a commit" in locking.stderr
    assert done.stdout.startswith(f"churn#dev ({commit[:7]}) from git@")
    (model,) = json.loads(as_json.stdout)["models"]
    assert (model["version"], model["commit"]) == (None, commit)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("churn", "--lock", "--include=*.pkl"), id="a part"),
        pytest.param(("churn", "--lock", "--dry-run"), id="nothing pulled"),
        pytest.param(("churn", "--lock", "--check"), id="only checked"),
        pytest.param(("churn", "--lock", "--urls"), id="only links"),
        pytest.param(("churn", "--lock", "--locked"), id="read and written"),
        pytest.param(("--lock", "churn"), id="no file's name"),
        pytest.param(("churn", "--lock="), id="an empty variable of a script"),
        pytest.param(("--lock",), id="no model"),
        pytest.param((), id="nothing at all"),
        pytest.param(("churn@v1.0.0", "--locked"), id="its own version"),
        pytest.param(("churn@latest", "--locked"), id="its own latest"),
        pytest.param(("churn#dev", "--locked"), id="its own stage"),
        pytest.param(("churn", "--locked", "--stage", "dev"), id="a stage"),
        pytest.param(("--locked", "--version", "v1.0.0"), id="a version"),
    ],
)
def test_what_makes_no_sense_with_a_lock_is_refused(
    run_dvc: RunDvc, registry: Registry, clone: Path, options: tuple[str, ...]
) -> None:
    done = run_dvc("models", "pull", *options, cwd=clone, env=registry.environ)

    assert done.returncode == 254, done.stderr
    assert git(clone, "status", "--porcelain") == ""
    assert not (clone / PATH).exists()


# -- reading


def test_a_stage_that_moved_changes_nothing_in_a_locked_build(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")

    done = run_dvc("models", "pull", "--locked", cwd=locked, env=own_registry.environ)

    commit = own_registry.project.commit("churn@v1.0.0")[:7]
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"churn@v1.0.0 ({commit}) from git@")
    assert done.stdout.endswith("verified against Git\n")
    assert (locked / PATH).read_bytes() == CHURN["v1.0.0"]


def test_a_locked_pull_needs_no_tags(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    for tag in git(locked, "tag", "--list").split():
        git(locked, "tag", "--delete", tag)

    done = run_dvc(
        "models", "pull", "churn", "--locked", cwd=locked, env=own_registry.environ
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "verified against Git" in done.stdout


def test_a_locked_pull_in_a_clone_without_the_commit_is_held_to_the_lock(
    run_dvc: RunDvc, own_registry: Registry, locked: Path, tmp_path: Path
) -> None:
    shallow = tmp_path / "shallow"
    url = f"file://{own_registry.project.bare}"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--no-tags", url, str(shallow))
    git(shallow, "remote", "set-url", "origin", "https://git.example.com/acme/models")
    (locked / "models.lock").rename(shallow / "models.lock")

    done = run_dvc(
        "models", "pull", "--locked", "--json", cwd=shallow, env=own_registry.environ
    )

    model = json.loads(done.stdout)["models"][0]
    assert (model["version"], model["files"][0]["verified_by"]) == ("v1.0.0", "lock")
    assert (shallow / PATH).read_bytes() == CHURN["v1.0.0"]


@pytest.mark.parametrize("mode", [(), ("--dry-run",), ("--check",), ("--urls",)])
def test_other_content_under_a_locked_version_is_told_and_changes_nothing(
    run_dvc: RunDvc, own_registry: Registry, locked: Path, mode: tuple[str, ...]
) -> None:
    move(own_registry.project, "churn@v1.0.0", "churn@v2.0.0")

    done = run_dvc(
        "models", "pull", "--locked", *mode, cwd=locked, env=own_registry.environ
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert (
        "Studio's content for 'churn@v1.0.0' differs from the lock file" in done.stderr
    )
    old, new = md5(CHURN["v1.0.0"]), md5(CHURN["v2.0.0"])
    assert f"{PATH}: locked md5 {old}, Studio serves md5 {new}" in done.stderr
    assert not (locked / PATH).exists()
    assert not (locked / ".dvc/cache/parts").exists()


def test_a_lock_that_git_denies_is_an_integrity_error(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    """Studio and the lock file have a content that the locked commit never had."""
    move(own_registry.project, "churn@v1.0.0", "churn@v2.0.0")
    file = locked / "models.lock"
    old, new = md5(CHURN["v1.0.0"]), md5(CHURN["v2.0.0"])
    file.write_text(file.read_text().replace(old, new))

    done = run_dvc("models", "pull", "--locked", cwd=locked, env=own_registry.environ)

    assert done.returncode == 6
    assert "Git, at churn@v1.0.0, says" in done.stderr
    assert not (locked / PATH).exists()


def test_a_model_that_is_not_locked_is_told_with_those_that_are(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    done = run_dvc(
        "models", "pull", "bert", "--locked", cwd=locked, env=own_registry.environ
    )

    assert done.returncode == 4
    assert "'bert' is not in 'models.lock', which has churn" in done.stderr


@pytest.mark.parametrize(
    "file",
    [pytest.param("models.lock", id="default"), pytest.param("prod.lock", id="own")],
)
def test_the_hints_of_a_lock_file_lead_to_one_that_can_be_used(
    run_dvc: RunDvc, own_registry: Registry, locked: Path, file: str
) -> None:
    lock, env = locked / file, own_registry.environ
    (locked / "models.lock").rename(lock)
    option = "--lock" if file == "models.lock" else f"--lock {lock}"
    pull = ("models", "pull", "bert", "--locked", file)

    lacking = run_dvc(*pull, cwd=locked, env=env)
    lock.write_text(f"<<<<<<< HEAD\n{lock.read_text()}")
    broken = run_dvc(*pull, cwd=locked, env=env)
    lock.unlink()
    anew = run_dvc("models", "pull", "bert", *option.split(), cwd=locked, env=env)
    done = run_dvc(*pull, cwd=locked, env=env)

    assert (lacking.returncode, broken.returncode) == (4, 251)
    assert f"Add it with 'dvc models pull bert {option}'\n" in lacking.stderr
    assert "Restore it from Git, or delete it and create it again" in broken.stderr
    assert f"'dvc models pull NAME {option}'\n" in broken.stderr
    assert (anew.returncode, done.returncode) == (0, 0)


def test_a_lock_file_that_is_not_there_is_told(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "--locked", cwd=clone, env=registry.environ)

    assert done.returncode == 251
    assert "models.lock': no such file or directory" in done.stderr
    assert "Create it with 'dvc models pull NAME --lock'" in done.stderr
    assert "Restore it" not in done.stderr


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        pytest.param(
            lambda file: file.update(path="../../.bashrc"),
            7,
            "'../../.bashrc': it has a component",
            id="outside",
        ),
        pytest.param(
            lambda file: file.update(path=".git/hooks/x"), 7, "'.git'", id="git"
        ),
        pytest.param(
            lambda file: file.update(path="dvc.yaml"),
            7,
            "configures Git",
            id="steering",
        ),
        pytest.param(
            lambda file: file.update(md5="../" * 10 + "xx"), 251, "['md5']", id="hash"
        ),
        pytest.param(lambda file: file.pop("size"), 251, "['size']", id="no size"),
    ],
)
def test_a_hostile_lock_is_refused(
    run_dvc: RunDvc,
    own_registry: Registry,
    locked: Path,
    change: Callable[[dict[str, object]], object],
    code: int,
    words: str,
) -> None:
    content = load_yaml(locked / "models.lock")
    change(content["models"]["churn"]["files"][0])
    (locked / "models.lock").write_text(dumps_yaml(content))

    done = run_dvc("models", "pull", "--locked", cwd=locked, env=own_registry.environ)

    assert done.returncode == code
    assert "models.lock" in done.stderr
    assert words in done.stderr


def test_a_locked_build_needs_nothing_but_the_cache(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    run_dvc("models", "pull", "--locked", cwd=locked, env=own_registry.environ)
    (locked / PATH).unlink()
    for tag in git(locked, "tag", "--list").split():
        git(locked, "tag", "--delete", tag)

    done = run_dvc("models", "pull", "--locked", "--source", "cache", cwd=locked)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("churn@v1.0.0 (")
    assert "from the DVC cache\n" in done.stdout
    assert (locked / PATH).read_bytes() == CHURN["v1.0.0"]


def test_a_lock_file_is_enough_outside_of_a_clone(
    run_dvc: RunDvc, own_registry: Registry, locked: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (locked / "models.lock").rename(folder / "pins.lock")
    pull = ("models", "pull", "--repo", "acme/models", "--out", ".", "--locked")

    done = run_dvc(*pull, "pins.lock", cwd=folder, env=own_registry.environ)
    nowhere = run_dvc(*pull, cwd=folder, env=own_registry.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert "verified against the lock file" in done.stdout
    assert (folder / PATH).read_bytes() == CHURN["v1.0.0"]
    assert nowhere.returncode == 253


def test_two_pulls_at_once_lose_no_pin(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    """``make -j`` does this."""
    need_waiting()
    with ThreadPoolExecutor() as pool:
        pulls = [
            pool.submit(
                *(run_dvc, "--wait-for-lock", "models", "pull", name, "--lock"),
                cwd=clone,
                env=registry.environ,
            )
            for name in ("churn", "bert", "services/fraud:fraud")
        ]

    assert [pull.result().returncode for pull in pulls] == [0, 0, 0]
    models = load_yaml(clone / "models.lock")["models"]
    assert list(models) == ["bert", "churn", "services/fraud:fraud"]


def test_a_lock_file_is_written_while_no_other_dvc_command_runs(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    """Otherwise two concurrent pulls could lose each other's pins."""
    run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)
    with lock_held(clone):
        done = run_dvc(
            "models", "pull", "churn", "--lock", cwd=clone, env=registry.environ
        )

    assert done.returncode == 7
    assert ("--wait-for-lock" in done.stderr) == CAN_WAIT
    assert not (clone / "models.lock").exists()


# -- status


def test_status_tells_what_a_locked_stage_is_now(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    env = own_registry.environ
    run_dvc("models", "pull", "--locked", cwd=locked, env=env)
    fresh = run_dvc("models", "status", cwd=locked, env=env)
    own_registry.project.tag("churn#dev#9", "churn@v2.0.0")
    lagging = run_dvc("models", "status", cwd=locked, env=env)
    git(locked, "fetch", "--quiet", "--tags", str(own_registry.project.repo))

    done = run_dvc("models", "status", cwd=locked, env=env)
    as_json = run_dvc("models", "status", "churn", "--json", cwd=locked, env=env)

    assert (fresh.returncode, fresh.stdout) == (0, "churn: v1.0.0 locked: up to date\n")
    assert lagging.returncode == 0
    assert "churn: v1.0.0 locked, #dev is now v2.0.0\n" in lagging.stdout
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "churn: v1.0.0 locked, #dev is now v2.0.0\n"
        '  (use "dvc models update churn" to lock the current version)\n'
    )
    (model,) = json.loads(as_json.stdout)["models"]
    assert model["requested"] == {"stage": "dev"}
    assert (model["version"], model["locked"], model["outdated"], model["now"]) == (
        "v1.0.0",
        True,
        True,
        "v2.0.0",
    )


def test_status_tells_whether_what_is_locked_is_there(
    run_dvc: RunDvc, own_registry: Registry, locked: Path
) -> None:
    done = run_dvc("models", "status", cwd=locked, env=own_registry.environ)
    run_dvc("models", "pull", "churn@v2.0.0", cwd=locked, env=own_registry.environ)
    moved_on = run_dvc("models", "status", cwd=locked, env=own_registry.environ)
    asked = run_dvc(
        "models", "status", "churn@v2.0.0", cwd=locked, env=own_registry.environ
    )

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        "churn: v1.0.0 locked:",
        f"  download  {PATH}  1.7 KiB",
        '  (use "dvc models pull churn --locked" to pull the locked version)',
    ]
    assert moved_on.returncode == 1
    assert asked.returncode == 0


def test_status_of_what_is_locked_by_version_asks_nobody(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", "--lock", cwd=clone, env=registry.environ)

    done = run_dvc("models", "status", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "bert: v1.0.0 locked: up to date\n"
