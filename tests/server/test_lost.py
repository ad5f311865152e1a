"""A server whose copy of a repo lacks objects, and gets them back."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from projects import (
    CHURN,
    ORIGIN_URL,
    TOKEN,
    commit_all,
    copy_project,
    git,
    serving,
    track,
    write,
)
from spies import replace_git

from tests.server.api import TIMEOUT_S
from tests.server.test_git import REFUSAL, ask, clone, content, named, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from projects import Project


MODELS = "/api/model-registry/models"


def get(url: str, path: str) -> dict[str, Any]:
    headers = {"Authorization": f"token {TOKEN}"}
    return requests.get(url + path, headers=headers, timeout=TIMEOUT_S).json()


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def loose(project: Project) -> Path:
    """A mirror whose objects are files of their own."""
    mirror = clone(project, "--mirror")
    (pack,) = (mirror / "objects/pack").glob("*.pack")
    away = pack.rename(project.root / "away.pack")
    pack.with_suffix(".idx").unlink()
    for other in (mirror / "objects/pack").iterdir():
        other.unlink()
    with away.open("rb") as packed:
        subprocess.run(
            ["git", "unpack-objects", "-q"], cwd=mirror, stdin=packed, check=True
        )
    return mirror


def test_a_tag_whose_object_is_lost_never_becomes_an_older_version(loose: Path) -> None:
    oid = git(loose, "rev-parse", "churn@v2.0.0").strip()
    lost = loose / "objects" / oid[:2] / oid[2:]
    kept = lost.read_bytes()
    lost.unlink()

    with serving(named(loose)) as url:
        status, detail = refusal(ask(url))
        assert status == 500
        assert detail.startswith(
            f"{REFUSAL}Git cannot read churn@v2.0.0, or the commit is"
        )
        assert content(url, version="v1.0.0") == CHURN["v1.0.0"]
        listed, ready = get(url, f"{MODELS}?limit=9"), get(url, "/readyz")
        assert listed["models"] == []
        assert "Git cannot read churn@v2.0.0" in listed["unavailable"][0]["detail"]
        assert "Git cannot read churn@v2.0.0" in str(ready)

        lost.write_bytes(kept)
        assert content(url) == CHURN["v2.0.0"]
        assert "v2.0.0" in str(get(url, MODELS))


@pytest.mark.parametrize("lost_version", ["v1.0.0", "v2.0.0"])
@pytest.mark.parametrize("query", ["", "&version=v1.0.0", "&version=v2.0.0"])
def test_a_model_is_not_described_without_a_tag_that_is_lost(
    loose: Path, lost_version: str, query: str
) -> None:
    oid = git(loose, "rev-parse", f"churn@{lost_version}").strip()
    (loose / "objects" / oid[:2] / oid[2:]).unlink()

    with serving(named(loose)) as url:
        reply = get(url, f"{MODELS}/churn?repo={quote(ORIGIN_URL)}{query}")
        other = get(url, f"{MODELS}/bert?repo={quote(ORIGIN_URL)}")

    assert f"Git cannot read churn@{lost_version}" in reply["detail"]
    assert other["name"] == "bert"


def test_an_empty_ref_never_becomes_an_older_version(
    loose: Path, caplog: pytest.LogCaptureFixture
) -> None:
    oid = git(loose, "rev-parse", "churn@v2.0.0").strip()
    git(loose, "pack-refs", "--all")
    git(loose, "update-ref", "refs/tags/churn@v3.0.0", oid)
    (loose / "refs/tags/churn@v3.0.0").write_text("")

    with serving(named(loose)) as url:
        replies = [refusal(ask(url)) for _ in range(3)]

    assert {status for status, _ in replies} == {500}
    assert all("Git cannot read churn@v3.0.0" in detail for _, detail in replies)
    warning = "Git cannot read these tags, or their commits are missing: churn@v3.0.0"
    assert caplog.text.count(warning) == 1


MOVES = """\
case "$*" in
*core.fsmonitor=false*for-each-ref*)
  listed=$("$GIT" "$@")
  if mv '{armed}' '{armed}.done' 2> /dev/null; then
    cd '{mirror}'
    "$GIT" tag -f -a -m moved churn@v3.0.0 main > /dev/null
    "$GIT" reflog expire --expire=now --all
    "$GIT" prune --expire=now
  fi
  printf '%s\\n' "$listed"
  exit
  ;;
esac
exec "$GIT" "$@"
"""


def test_a_tag_that_moves_while_it_is_read_is_read_again(
    loose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = tmp_path / "armed"
    replace_git(tmp_path / "bin", monkeypatch, MOVES.format(mirror=loose, armed=armed))

    with serving(named(loose)) as url:
        assert content(url) == CHURN["v2.0.0"]
        git(loose, "tag", "-a", "-m", "x", "churn@v3.0.0", "churn@v1.0.0^{commit}")
        old = git(loose, "rev-parse", "churn@v3.0.0").strip()
        armed.touch()
        assert content(url) == CHURN["v2.0.0"]

    assert not armed.exists()
    assert not (loose / "objects" / old[:2] / old[2:]).exists()


@pytest.mark.parametrize("name", ["line\u2028break", "next\u0085line"])
def test_a_tag_of_any_name_spoils_nothing(project: Project, name: str) -> None:
    mirror = clone(project, "--mirror")
    git(mirror, "tag", name, "main")

    with serving(named(mirror)) as url:
        assert content(url) == CHURN["v2.0.0"]


@pytest.mark.parametrize("kind", ["--mirror", "--sparse"])
def test_an_import_is_told_as_one_in_a_clone_without_a_dvc_folder(
    project: Project, kind: str
) -> None:
    stage = (
        "frozen: true\ndeps:\n- path: d.bin\n  repo:\n    url: /zoo\n    rev_lock: "
        f"{'a' * 40}\nouts:\n- md5: {'b' * 32}\n  size: 1\n  hash: md5\n  path: d.bin\n"
    )
    write(project.repo, {"d.bin.dvc": stage.encode()})
    write(project.repo, {"zoo/dvc.yaml": b"artifacts:\n  d: {path: ../d.bin}\n"})
    commit_all(project, "Import")
    project.tag("zoo=d@v1.0.0")
    copy = clone(project, kind)
    if kind == "--sparse":
        git(copy, "sparse-checkout", "set", "--cone", "zoo")
        assert not (copy / ".dvc").exists()

    with serving(named(copy)) as url:
        status, detail = refusal(ask(url, "zoo:d"))

    assert status == 404
    assert "'d.bin' is imported from '/zoo'" in detail


def test_files_of_git_in_a_models_folder_are_not_read(project: Project) -> None:
    """A partial mirror would fetch each of them, and a large one could not be read."""
    write(project.repo, {f"m/{n}.txt": b"%d" % n for n in range(50)})
    write(project.repo, {"m/w.bin": b"w", "m/large": bytes(65 << 20)})
    write(project.repo, {"zoo/dvc.yaml": b"artifacts:\n  m: {path: ../m}\n"})
    track(project.repo, "m/w.bin")
    commit_all(project, "Train")
    project.tag("zoo=m@v1.0.0")
    mirror = clone(project, "--mirror", "--filter=blob:none")
    packs = mirror / "objects/pack"
    before = len(list(packs.glob("*.pack")))

    with serving(named(mirror)) as url:
        reply = ask(url, "zoo:m")

    assert list(reply.json()) == ["m/w.bin"]
    assert len(list(packs.glob("*.pack"))) - before < 10
