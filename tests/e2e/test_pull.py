"""``dvc models pull`` as users run it: the real executable with a real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from needs import CAN_WAIT
from projects import BERT, CHURN, FRAUD, git, lock_held, read_tree
from servers import free_port

from dvc_studio_models.errors import REFRESH_TAGS

if TYPE_CHECKING:
    from conftest import RunDvc

    from tests.e2e.conftest import Registry

pytestmark = pytest.mark.reliability("Through `dvc`: pulling")

BIN = Path(sys.executable).parent


def place_of(content: bytes, storage: Path) -> Path:
    import hashlib

    md5 = hashlib.md5(content).hexdigest()
    return storage / "files" / "md5" / md5[:2] / md5[2:]


@pytest.mark.cold
def test_a_stage_is_pulled_to_its_path(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "churn", "--stage", "prod", cwd=clone, env=registry.environ
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    commit = registry.project.commit("churn@v2.0.0")[:7]
    first, second, third = done.stdout.splitlines()
    assert (
        first
        == f"churn#prod = v2.0.0 ({commit}) from git@git.example.com:acme/models.git"
    )
    assert second.split() == ["models/churn.pkl", "371.1", "KiB", "downloaded"]
    assert third.endswith("verified against Git")


@pytest.mark.cold
def test_dvc_status_is_clean_after_a_pull_of_the_checked_out_version(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    names = ("churn", "bert", "services/fraud:fraud")
    for name in names:
        run_dvc("models", "pull", name, cwd=clone, env=registry.environ)

    status = run_dvc("status", cwd=clone)

    assert status.stdout == "Data and pipelines are up to date.\n"
    assert git(clone, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("name", "selector", "version"),
    [
        pytest.param("churn", (), "v2.0.0", id="latest"),
        pytest.param("churn@v1.0.0", (), "v1.0.0", id="GTO's spelling of a version"),
        pytest.param("churn#dev", (), "v1.0.0", id="GTO's spelling of a stage"),
        pytest.param("churn", ("--version", "1.0.0"), "v1.0.0", id="without the v"),
        pytest.param("churn", ("--rev", "v1.0.0"), "v1.0.0", id="as dvc artifacts get"),
    ],
)
def test_every_selector_finds_its_version(
    run_dvc: RunDvc,
    registry: Registry,
    clone: Path,
    name: str,
    selector: tuple[str, ...],
    version: str,
) -> None:
    run_dvc("models", "pull", name, *selector, cwd=clone, env=registry.environ)

    assert (clone / "models/churn.pkl").read_bytes() == CHURN[version]


def test_a_directory_comes_whole_with_odd_names_and_empty_files(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", cwd=clone, env=registry.environ)

    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


def test_files_of_the_version_before_are_removed(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=registry.environ)

    done = run_dvc("models", "pull", "bert@v2.0.0", cwd=clone, env=registry.environ)

    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]
    assert "models/bert/vocab.txt" in done.stdout
    assert "removed" in done.stdout


def test_a_file_of_the_version_before_stays_where_git_tracks_it_by_now(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert@v1.0.0", cwd=clone, env=registry.environ)
    git(clone, "add", "--force", "models/bert/vocab.txt")

    done = run_dvc("models", "pull", "bert@v2.0.0", cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    kept = {"vocab.txt": BERT["v1.0.0"]["vocab.txt"]}
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"] | kept
    assert "vocab.txt" not in done.stdout


def test_a_pull_from_a_subfolder_places_at_the_git_root(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn", cwd=clone / "services", env=registry.environ)

    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_a_pull_works_in_a_worktree(
    run_dvc: RunDvc, registry: Registry, clone: Path, tmp_path: Path
) -> None:
    git(clone, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))

    done = run_dvc(
        "models", "pull", "churn", cwd=tmp_path / "tree", env=registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tree/models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert not (clone / "models/churn.pkl").exists()


def test_a_pull_works_on_a_detached_head(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    git(clone, "checkout", "--quiet", "--detach", "churn@v1.0.0")

    done = run_dvc("models", "pull", "churn#dev", cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v1.0.0"]


@pytest.mark.parametrize(
    "name", ["services/fraud:fraud", "services/fraud/dvc.yaml:fraud"]
)
def test_a_model_of_a_folder_is_found_by_its_full_name(
    run_dvc: RunDvc, registry: Registry, clone: Path, name: str
) -> None:
    done = run_dvc("models", "pull", name, cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert (clone / "services/fraud/model.bin").read_bytes() == FRAUD


def test_a_bare_name_in_a_folder_means_the_model_annotated_there(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "fraud", cwd=clone / "services/fraud", env=registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert (clone / "services/fraud/model.bin").read_bytes() == FRAUD


def test_several_models_come_together(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc("models", "pull", "churn", "bert", cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


def test_a_second_pull_downloads_nothing_and_touches_no_file(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)
    before = (clone / "models/churn.pkl").stat()

    done = run_dvc("models", "pull", "churn", "--json", cwd=clone, env=registry.environ)

    result = json.loads(done.stdout)
    assert result["bytes_downloaded"] == 0
    assert result["models"][0]["files"][0]["action"] == "unchanged"
    after = (clone / "models/churn.pkl").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_switching_between_cached_versions_downloads_nothing(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    for version in ("v1.0.0", "v2.0.0"):
        run_dvc("models", "pull", f"churn@{version}", cwd=clone, env=registry.environ)

    done = run_dvc(
        "models", "pull", "churn@v1.0.0", "--json", cwd=clone, env=registry.environ
    )

    result = json.loads(done.stdout)
    assert result["bytes_downloaded"] == 0
    assert result["models"][0]["files"][0]["action"] == "linked"
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v1.0.0"]


def test_the_json_result_holds_what_the_contract_says(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "churn", "--stage", "prod", "--json", "-vv"),
        cwd=clone,
        env=registry.environ,
    )

    result = json.loads(done.stdout)
    assert result.pop("seconds") > 0
    assert result == {
        "repo": "git@git.example.com:acme/models.git",
        "models": [
            {
                "name": "churn",
                "requested": {"stage": "prod"},
                "version": "v2.0.0",
                "commit": registry.project.commit("churn@v2.0.0"),
                "files": [
                    {
                        "path": "models/churn.pkl",
                        "size": len(CHURN["v2.0.0"]),
                        "md5": "".join(place_of(CHURN["v2.0.0"], Path()).parts[-2:]),
                        "action": "downloaded",
                        "verified_by": "git",
                    }
                ],
            }
        ],
        "bytes_downloaded": len(CHURN["v2.0.0"]),
    }


@pytest.mark.parametrize("mode", [(), ("--dry-run",)], ids=["pull", "dry run"])
def test_a_removed_file_is_told_with_its_own_model(
    run_dvc: RunDvc, registry: Registry, clone: Path, mode: tuple[str, ...]
) -> None:
    env, pull = registry.environ, ("models", "pull", "--json", *mode)
    run_dvc("models", "pull", "bert@v1.0.0", "churn@v1.0.0", cwd=clone, env=env)

    done = run_dvc(*pull, "bert@v2.0.0", "churn@v1.0.0", cwd=clone, env=env)

    bert, churn = json.loads(done.stdout)["models"]
    assert bert["files"][-1] == {
        "path": "models/bert/vocab.txt",
        "size": None,
        "md5": None,
        "action": "remove" if mode else "removed",
        "verified_by": None,
    }
    assert [file["action"] for file in churn["files"]] == ["unchanged"]


def test_quiet_prints_nothing(run_dvc: RunDvc, registry: Registry, clone: Path) -> None:
    done = run_dvc("models", "pull", "churn", "-q", cwd=clone, env=registry.environ)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_dry_run_tells_and_changes_nothing(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    done = run_dvc(
        "models", "pull", "churn", "--dry-run", cwd=clone, env=registry.environ
    )

    assert "download\n" in done.stdout
    assert not (clone / "models/churn.pkl").exists()
    assert git(clone, "status", "--porcelain") == ""


def test_out_places_below_another_folder(
    run_dvc: RunDvc, registry: Registry, clone: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    run_dvc("models", "pull", "churn", "-o", out, cwd=clone, env=registry.environ)

    assert read_tree(out) == {"models/churn.pkl": CHURN["v2.0.0"]}
    assert not (clone / "models/churn.pkl").exists()


def test_out_and_repo_need_no_git_repo(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    done = run_dvc(
        *("models", "pull", "bert", "--repo", "acme/models", "-o", "."),
        cwd=tmp_path,
        env=registry.environ,
    )

    assert done.returncode == 0, done.stderr
    assert read_tree(tmp_path / "models/bert") == BERT["v2.0.0"]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_a_git_repo_without_dvc_needs_no_cache(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "https://git.example.com/acme/models")

    done = run_dvc("models", "pull", "churn", cwd=tmp_path, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".git", "models"]


def test_no_cache_keeps_no_copy(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "churn", "--no-cache", cwd=clone, env=registry.environ)

    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert not place_of(CHURN["v2.0.0"], clone / ".dvc/cache").exists()


def test_a_wrong_byte_in_storage_leaves_the_old_file(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    clone = own_registry.project.clone(tmp_path / "clone")
    run_dvc("models", "pull", "churn@v1.0.0", cwd=clone, env=own_registry.environ)
    stored = place_of(CHURN["v2.0.0"], own_registry.project.storage)
    stored.chmod(0o644)
    stored.write_bytes(CHURN["v2.0.0"][:-1] + b"X")

    done = run_dvc(
        "models", "pull", "churn@v2.0.0", cwd=clone, env=own_registry.environ
    )

    assert done.returncode == 6
    assert "'models/churn.pkl' does not have the expected content" in done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v1.0.0"]
    assert list((clone / ".dvc/cache/parts").iterdir()) == []


def test_another_hash_than_gits_is_refused_before_the_first_byte(
    run_dvc: RunDvc, own_registry: Registry, tmp_path: Path
) -> None:
    clone = own_registry.project.clone(tmp_path / "clone")
    git(clone, "tag", "--delete", "churn@v2.0.0")
    git(clone, "tag", "-a", "-m", "moved", "churn@v2.0.0", "churn@v1.0.0^{commit}")

    done = run_dvc(
        *("models", "pull", "churn", "--version", "v2.0.0"),
        cwd=clone,
        env=own_registry.environ,
    )

    assert done.returncode == 6
    assert "Git, at churn@v2.0.0, says" in done.stderr
    assert not (clone / "models/churn.pkl").exists()
    assert not (clone / ".dvc/cache/parts").exists()


def test_tags_that_lag_behind_are_told(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    git(clone, "tag", "--delete", "churn#prod#3")

    done = run_dvc("models", "pull", "churn#prod", cwd=clone, env=registry.environ)

    assert done.returncode == 0
    assert REFRESH_TAGS in done.stderr
    assert done.stdout.startswith("churn#prod = v2.0.0 (")  # as the server states
    assert "verified by the hash in the URL" in done.stdout


def test_a_modified_file_is_not_overwritten(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    (clone / "models").mkdir(exist_ok=True)
    (clone / "models/churn.pkl").write_bytes(b"my own work")

    done = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    assert done.returncode == 7
    assert "models/churn.pkl" in done.stderr
    assert "--force" in done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == b"my own work"


def test_force_replaces_a_modified_file(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    (clone / "models").mkdir(exist_ok=True)
    (clone / "models/churn.pkl").write_bytes(b"my own work")

    run_dvc("models", "pull", "churn", "--force", cwd=clone, env=registry.environ)

    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_one_conflict_stops_all_files(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    (clone / "models/bert").mkdir(parents=True)
    (clone / "models/bert/config.json").write_bytes(b"mine")

    done = run_dvc("models", "pull", "churn", "bert", cwd=clone, env=registry.environ)

    assert done.returncode == 7
    assert read_tree(clone / "models/bert") == {"config.json": b"mine"}
    assert not (clone / "models/churn.pkl").exists()


@pytest.mark.parametrize("option", [(), ("--force",)], ids=["plain", "forced"])
def test_a_target_that_git_tracks_is_refused(
    run_dvc: RunDvc, registry: Registry, clone: Path, option: tuple[str, ...]
) -> None:
    (clone / "models/churn.pkl").write_bytes(b"committed")
    git(clone, "add", "--force", "models/churn.pkl")

    done = run_dvc("models", "pull", "churn", *option, cwd=clone, env=registry.environ)

    assert done.returncode == 7
    assert "Git tracks it" in done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == b"committed"


def test_a_missing_token_is_told_with_the_three_ways_to_set_it(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    env = {**registry.environ, "DVC_STUDIO_TOKEN": None}

    done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert done.returncode == 3
    for way in (
        "DVC_STUDIO_TOKEN",
        "dvc studio login",
        "dvc config --global studio.token",
    ):
        assert way in done.stderr


def test_a_token_in_dvcs_config_is_used(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    token, url = registry.environ["DVC_STUDIO_TOKEN"], registry.url
    run_dvc("config", "--global", "studio.token", token)
    run_dvc("config", "--local", "studio.url", url, cwd=clone)

    done = run_dvc("models", "pull", "churn", cwd=clone)

    assert done.returncode == 0, done.stderr


def test_a_refused_token_is_told(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    env = {**registry.environ, "DVC_STUDIO_TOKEN": "WRONG-TOKEN"}

    done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert done.returncode == 3
    assert "refused the token (401)" in done.stderr
    assert "WRONG-TOKEN" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        pytest.param("nosuch", "model 'nosuch' is not registered", id="model"),
        pytest.param("churn@v9.0.0", "known versions: v2.0.0, v1.0.0", id="version"),
        pytest.param("churn#qa", "known stages: dev, prod", id="stage"),
    ],
)
def test_what_studio_does_not_know_is_told_in_its_own_words(
    run_dvc: RunDvc, registry: Registry, clone: Path, name: str, sentence: str
) -> None:
    done = run_dvc("models", "pull", name, cwd=clone, env=registry.environ)

    assert done.returncode == 4
    assert sentence in done.stderr


def test_an_error_is_json_too(run_dvc: RunDvc, registry: Registry, clone: Path) -> None:
    done = run_dvc(
        "models", "pull", "nosuch", "--json", cwd=clone, env=registry.environ
    )

    error = json.loads(done.stdout)["error"]
    assert (error["kind"], error["exit_code"]) == ("ModelNotFoundError", 4)
    assert error["message"] in done.stderr


@pytest.mark.clock
def test_a_server_that_is_down_is_told_within_ten_seconds(
    run_dvc: RunDvc, clone: Path
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()

    done = run_dvc(
        *("models", "pull", "churn"),
        cwd=clone,
        env={"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": "t"},
    )

    assert done.returncode == 5
    assert f"cannot reach Studio at '{url}': connection refused" in done.stderr
    assert time.monotonic() - began < 10


def test_outside_a_git_repo_the_exit_code_is_dvcs(
    run_dvc: RunDvc, registry: Registry, tmp_path: Path
) -> None:
    done = run_dvc("models", "pull", "churn", cwd=tmp_path, env=registry.environ)

    assert done.returncode == 253
    assert "--repo URL --out DIR" in done.stderr


def test_a_local_remote_is_unknown_to_a_studio_elsewhere(
    run_dvc: RunDvc, clone: Path, tmp_path: Path
) -> None:
    git(clone, "remote", "set-url", "origin", str(tmp_path / "models.git"))

    done = run_dvc("models", "pull", "churn", cwd=clone, env={"DVC_STUDIO_TOKEN": "t"})

    assert done.returncode == 251
    assert "is a folder on this machine" in done.stderr


def test_a_version_and_a_stage_cannot_be_combined(run_dvc: RunDvc, clone: Path) -> None:
    done = run_dvc(
        "models", "pull", "churn", "--stage", "prod", "--version", "v1.0.0", cwd=clone
    )

    assert done.returncode == 254
    assert "not allowed with argument --stage" in done.stderr


def test_the_lock_of_another_dvc_command_is_told(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    with lock_held(clone):
        done = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    assert done.returncode == 7
    assert ("--wait-for-lock" in done.stderr) == CAN_WAIT
    assert not (clone / "models/churn.pkl").exists()


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([BIN / "python", "-m", "dvc", "models"], id="python -m dvc"),
        pytest.param([BIN / "dvc-models"], id="dvc-models"),
        pytest.param(
            [BIN / "python", "-m", "dvc_studio_models"],
            id="python -m dvc_studio_models",
        ),
    ],
)
def test_every_door_leads_to_the_same_command(
    registry: Registry, clone: Path, command: list[str]
) -> None:
    done = subprocess.run(
        [*command, "pull", "churn"],
        cwd=clone,
        env={**os.environ, **registry.environ},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_dvcs_own_cd_is_honoured(
    run_dvc: RunDvc, registry: Registry, clone: Path, tmp_path: Path
) -> None:
    done = run_dvc(
        "--cd", clone, "models", "pull", "churn", cwd=tmp_path, env=registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").exists()


def test_a_remote_that_only_gits_insteadof_makes_known_is_found(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    git(clone, "remote", "set-url", "origin", "work:models")
    git(clone, "config", "url.https://git.example.com/acme/.insteadOf", "work:")

    done = run_dvc("models", "pull", "churn", cwd=clone, env=registry.environ)

    assert done.returncode == 0, done.stderr
    assert "from https://git.example.com/acme/models\n" in done.stdout


def test_an_old_checkout_is_pulled_again_after_its_file_is_deleted(
    run_dvc: RunDvc, registry: Registry, clone: Path
) -> None:
    run_dvc("models", "pull", "bert", cwd=clone, env=registry.environ)
    shutil.rmtree(clone / "models/bert")

    done = run_dvc("models", "pull", "bert", "--json", cwd=clone, env=registry.environ)

    assert json.loads(done.stdout)["bytes_downloaded"] == 0
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


@pytest.mark.parametrize("out", [".git", ".git/hooks", ".GIT", ".dvc", "link"])
def test_no_model_is_placed_inside_of_a_folder_of_git_or_dvc(
    registry: Registry, clone: Path, run_dvc: RunDvc, out: str
) -> None:
    (clone / "link").symlink_to(".git/hooks")
    before = read_tree(clone / ".git" / "hooks")

    done = run_dvc(
        "models", "pull", "churn", "--force", "-o", out, cwd=clone, env=registry.environ
    )

    assert done.returncode == 7, done.stderr
    assert "refusing to write" in done.stderr
    assert "it leads into '." in done.stderr
    places = (".git/models", ".dvc/models", ".GIT")
    assert [place for place in places if (clone / place).exists()] == []
    assert read_tree(clone / ".git" / "hooks") == before
