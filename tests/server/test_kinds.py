"""Models that DVC did not push as one file are served, or the reply says why not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import requests
from dvc.repo import Repo
from environments import DVC
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    commit_all,
    init_project,
    serving,
    track,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 30


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without models."""
    return init_project(tmp_path / "project")


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Another repo, to import from."""
    other = init_project(tmp_path / "zoo")
    write(other.repo, {"base.bin": b"base", "plain.txt": b"plain"})
    track(other.repo, "base.bin")
    commit_all(other, "Train")
    return other.repo


def ask(url: str, name: str = "m", **query: str) -> requests.Response:
    return requests.get(
        url + API,
        params={"repo": ORIGIN_URL, "name": name, **query},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )


def register(project: Project, path: str, tag: str = "m@v1.0.0") -> None:
    """Commit all, and register a path as a version of a model."""
    name = tag.partition("@")[0]
    models = f"artifacts:\n  {name}:\n    path: {path}\n"
    (project.repo / "dvc.yaml").write_text(models)
    commit_all(project, "Register")
    project.tag(tag)


def contents(reply: requests.Response) -> dict[str, bytes]:
    """Follow the links of an answer."""
    assert reply.status_code == 200, reply.text
    return {
        path: requests.get(link, timeout=TIMEOUT_S).content
        for path, link in reply.json().items()
    }


def refused(project: Project, **options: bool) -> str:
    """Return the reason in the reply that the repo has no files of the model."""
    with serving(project.repo, **options) as url:
        reply = ask(url)
    assert reply.status_code == 404, reply.text
    commit = project.commit("HEAD")[:7]
    prefix = f"cannot determine the files of 'm' v1.0.0 (commit {commit})"
    detail = reply.json()["detail"]
    assert detail.startswith(f"{prefix}: ")
    return detail.removeprefix(f"{prefix}: ")


def run_told(reason: str, clone: Path) -> None:
    """Run the command that a reason names, in a shell."""
    (command,) = re.findall(r"; run '(.*)' in a clone$", reason)
    path = f"{DVC.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        shell=True,
        cwd=clone,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# -- stored in Git


@pytest.mark.parametrize("how", ["plain", "cache: false"])
def test_what_git_keeps_itself_is_told_with_the_command_that_gets_it(
    project: Project, how: str
) -> None:
    write(project.repo, {"m.bin": b"in Git"})
    if how == "cache: false":
        (project.repo / "m.bin.dvc").write_text(
            f"outs:\n- path: m.bin\n  hash: md5\n  md5: {'a' * 32}\n  cache: false\n"
        )
    register(project, "m.bin")
    clone = project.clone(project.root / "clone")
    (clone / "m.bin").unlink()

    reason = refused(project)

    run_told(reason, clone)
    assert reason.startswith("'m.bin' is stored in Git, not in DVC; run '")
    assert (clone / "m.bin").read_bytes() == b"in Git"


def test_of_a_folder_with_files_in_git_those_of_dvc_are_served(
    project: Project,
) -> None:
    write(project.repo, {"m/config.json": b"{}", "m/w.bin": b"weights"})
    track(project.repo, "m/w.bin")
    register(project, "m")

    with serving(project.repo) as url:
        assert contents(ask(url)) == {"m/w.bin": b"weights"}


def test_a_file_in_a_folder_that_dvc_tracks_is_served(project: Project) -> None:
    write(project.repo, {"run/best.ckpt": b"best", "run/last.ckpt": b"last"})
    track(project.repo, "run")
    register(project, "run/best.ckpt")

    with serving(project.repo) as url:
        assert contents(ask(url)) == {"run/best.ckpt": b"best"}


# -- what was imported


def import_model(
    project: Project, url: Path | str, path: str | None, **how: bool
) -> None:
    with Repo(str(project.repo)) as repo:
        if path is None:
            repo.imp_url(str(url), out=str(project.repo / "m.bin"), **how)
        else:
            repo.imp(str(url), path, out=str(project.repo / "m.bin"), **how)
        repo.push()


HOWS = {"whole": {}, "no-download": {"no_download": True}, "no-exec": {"no_exec": True}}


@pytest.mark.parametrize("how", HOWS.values(), ids=HOWS)
@pytest.mark.parametrize("verify", [False, True], ids=["", "verify"])
def test_what_was_imported_from_a_repo_is_told_with_its_source(
    project: Project, zoo: Path, how: dict[str, bool], *, verify: bool
) -> None:
    import_model(project, zoo, "base.bin", **how)
    register(project, "m.bin")

    reason = refused(project, verify_objects=verify)

    assert reason.startswith(
        f"'m.bin' is imported from '{zoo}', and DVC does not push imports to this "
        "repo's remote; run '"
    )


@pytest.mark.parametrize(
    ("kind", "how"),
    [("repo", {}), ("repo", HOWS["no-download"]), ("url", HOWS["no-download"])],
    ids=["repo", "repo-no-download", "url-no-download"],
)
def test_the_command_that_is_told_gets_what_was_imported(
    project: Project, zoo: Path, kind: str, how: dict[str, bool]
) -> None:
    if kind == "repo":
        import_model(project, zoo, "base.bin", **how)
    else:
        import_model(project, zoo / "base.bin", None, **how)
    register(project, "m.bin")
    clone = project.clone(project.root / "clone")

    run_told(refused(project), clone)

    assert (clone / "m.bin").read_bytes() == b"base"


def test_what_was_imported_by_its_url_and_pushed_is_served(
    project: Project, tmp_path: Path
) -> None:
    write(tmp_path, {"data.bin": b"data"})
    import_model(project, tmp_path / "data.bin", None)
    register(project, "m.bin")

    with serving(project.repo, verify_objects=True) as url:
        assert contents(ask(url)) == {"m.bin": b"data"}


@pytest.mark.parametrize("how", [HOWS["no-download"], HOWS["no-exec"]])
def test_what_was_imported_by_its_url_and_not_loaded_is_told_with_its_source(
    project: Project, tmp_path: Path, how: dict[str, bool]
) -> None:
    write(tmp_path, {"data.bin": b"data"})
    import_model(project, tmp_path / "data.bin", None, **how)
    register(project, "m.bin")

    reason = refused(project)

    assert reason.startswith(
        f"'m.bin' is imported from '{tmp_path / 'data.bin'}', and "
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://ada:hunter2@git.example.com/acme/zoo",
        "https://hunter2@git.example.com/acme/zoo",
        "ssh://git:hunter2@git.example.com/acme/zoo",
        "https://git.example.com/acme/zoo?token=hunter2",
    ],
)
@pytest.mark.parametrize("broken", [False, True], ids=["", "broken"])
def test_no_secret_of_a_source_is_shown(
    project: Project, url: str, caplog: pytest.LogCaptureFixture, *, broken: bool
) -> None:
    repo = "deps:\n- path: base.bin\n  repo:\n    url: {url}\n    rev_lock: {rev}\n"
    outs = "outs:\n- path: m.bin\n  hash: md5\n  md5: {md5}\n"
    dvc_file = (repo + outs).format(url=url, rev="a" * 40, md5="b" * 32)
    if broken:
        dvc_file = dvc_file.replace("rev_lock", "rev_lok")
    (project.repo / "m.bin.dvc").write_text(dvc_file)
    register(project, "m.bin")

    reason = refused(project)

    assert "hunter2" not in reason + caplog.text
    assert broken or "git.example.com/acme/zoo'" in reason


# -- not pushed by design


def hold_back(project: Project, path: str) -> None:
    with (project.repo / f"{path}.dvc").open("a") as file:
        file.write("  push: false\n")
    register(project, path)


@pytest.mark.parametrize("verify", [False, True], ids=["", "verify"])
@pytest.mark.parametrize("path", ["m.bin", "m"], ids=["file", "folder"])
def test_an_output_that_is_not_to_be_pushed_is_told_as_such(
    project: Project, path: str, *, verify: bool
) -> None:
    write(project.repo, {"m.bin": b"m", "m/one": b"1"})
    with Repo(str(project.repo)) as repo:
        repo.add([str(project.repo / path)])
    hold_back(project, path)

    reason = refused(project, verify_objects=verify)

    what = "m.bin" if path == "m.bin" else "m"
    assert reason == (
        f"'{what}' has 'push: false', so 'dvc push' skips it; remove that, and "
        "run 'dvc push' where it was trained"
    )


@pytest.mark.parametrize("path", ["m.bin", "m"], ids=["file", "folder"])
def test_an_output_that_was_pushed_before_is_served_all_the_same(
    project: Project, path: str
) -> None:
    write(project.repo, {"m.bin": b"m", "m/one": b"1"})
    track(project.repo, path)
    hold_back(project, path)

    with serving(project.repo) as url:
        assert list(contents(ask(url)).values()) == [b"m" if path == "m.bin" else b"1"]


def test_what_is_pushed_after_it_was_told_is_served(project: Project) -> None:
    write(project.repo, {"m.bin": b"m"})
    with Repo(str(project.repo)) as repo:
        repo.add([str(project.repo / "m.bin")])
    hold_back(project, "m.bin")

    with serving(project.repo) as url:
        before = ask(url).status_code
        dvc_file = project.repo / "m.bin.dvc"
        dvc_file.write_text(dvc_file.read_text().replace("  push: false\n", ""))
        with Repo(str(project.repo)) as repo:
            repo.push()
        after = contents(ask(url))

    assert (before, after) == (404, {"m.bin": b"m"})


# -- remotes of their own


def test_outputs_may_have_remotes_of_their_own_and_there_need_be_no_default(
    project: Project,
) -> None:
    for name in ("one", "two"):
        write(project.repo, {f"m/{name}": name.encode()})
        track(project.repo, f"m/{name}")
        shutil.move(project.storage, project.root / name)
    for name in ("one", "two"):
        with (project.repo / f"m/{name}.dvc").open("a") as file:
            file.write(f"  remote: {name}\n")
    (project.repo / ".dvc/config").write_text(
        "['remote \"one\"']\nurl = ../../one\n['remote \"two\"']\nurl = ../../two\n"
    )
    register(project, "m")

    with serving(project.repo) as url:
        assert contents(ask(url)) == {"m/one": b"one", "m/two": b"two"}


# -- files beside the model


BROKEN = {
    "half written": b"stages:\n  train:\n    cmd: [",
    "merge markers": b"<<<<<<< HEAD\nstages:\n=======\nx:\n>>>>>>> other\n",
    "not UTF-8": b"\xff\xfe\x00",
    "another schema": b"stages: 3\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize(
    "path", ["sandbox/dvc.yaml", "sandbox/x.dvc", "sandbox/dvc.lock"]
)
def test_a_broken_file_elsewhere_in_the_commit_disturbs_nobody(
    project: Project, path: str, content: bytes
) -> None:
    write(project.repo, {"m.bin": b"m", "d/a": b"a"})
    track(project.repo, "m.bin", "d")
    write(project.repo, {path: content})
    if path.endswith("lock"):
        stage = b"stages:\n  s:\n    cmd: x\n    outs: [y]\n"
        write(project.repo, {"sandbox/dvc.yaml": stage})
    register(project, "m.bin")

    with serving(project.repo) as url:
        assert contents(ask(url)) == {"m.bin": b"m"}
