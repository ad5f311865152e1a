"""Many clients at once share the reads of a repo with many versions."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import requests
from projects import TOKEN, Project, age, git, init_project, serving
from spies import SpyGit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 60
VERSIONS = 5000
OTHERS = 4998  # two tags stay for the tests
CLIENTS = 100
SLOW_S = 0.5  # for all clients to send their requests
MODELS = 20
READS = (
    CLIENTS // 10
)  # one at a time, each for all that wait; more clients arrive meanwhile


def history() -> Iterator[str]:
    """Write a repo for ``git fast-import``: versions of churn, stages of another."""
    models = "".join(f"  m{i}: {{path: m{i}.bin}}\n" for i in range(MODELS))
    yaml = f"artifacts:\n  churn: {{path: churn.bin}}\n{models}"
    config = "[core]\nremote = storage\n['remote \"storage\"']\nurl = ../../storage\n"
    dvc = "outs:\n- path: {name}.bin\n  hash: md5\n  md5: {md5}\n"
    files = {"dvc.yaml": yaml, ".dvc/config": config} | {
        f"m{i}.bin.dvc": dvc.format(name=f"m{i}", md5=f"{i:032x}".replace("0", "a"))
        for i in range(MODELS)
    }
    who = "Ada <ada@example.com> {at} +0000"

    def data(text: str) -> str:
        return f"data {len(text.encode())}\n{text}\n"

    for number in range(VERSIONS):
        at = 1_600_000_000 + number
        yield f"commit refs/heads/main\nmark :{number + 1}\n"
        yield f"committer {who.format(at=at)}\n{data('x')}"
        if number:
            yield f"from :{number}\n"
        files["churn.bin.dvc"] = dvc.format(name="churn", md5=f"b{number:031d}")
        for path, text in files.items():
            yield f"M 100644 inline {path}\n{data(text)}"
        files = {}
        yield f"tag churn@v1.{number}.0\nfrom :{number + 1}\n"
        yield f"tagger {who.format(at=at)}\n{data('x')}"
    for number in range(OTHERS):
        name = f"m{number % MODELS}"
        tag = f"{name}#dev#{number}" if number >= MODELS else f"{name}@v1.0.0"
        yield f"tag {tag}\nfrom :1\n"
        yield f"tagger {who.format(at=1_650_000_000 + number)}\n{data('x')}"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = init_project(tmp_path_factory.mktemp("many") / "project")
    subprocess.run(
        ["git", "fast-import", "--quiet", "--force"],
        cwd=project.repo,
        input="".join(history()).encode(),
        check=True,
    )
    return project


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpyGit:
    return SpyGit.install(tmp_path / "spy", monkeypatch)


@pytest.fixture
def mirror(origin: Project, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", "--mirror", str(origin.repo), "srv/m.git")
    (tmp_path / "srv/storage").mkdir()
    age(tmp_path / "srv/m.git")
    return tmp_path / "srv/m.git"


def ask(url: str, name: str = "churn") -> requests.Response:
    return requests.get(
        url + API,
        params={"repo": "acme/models", "name": name},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )


def ask_at_once(url: str, names: list[str]) -> list[requests.Response]:
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(lambda name: ask(url, name), names))


def shown(replies: list[requests.Response]) -> set[tuple[int, str]]:
    """Return status and object of each reply."""
    return {(r.status_code, r.text.partition("/files/md5/")[2][:33]) for r in replies}


def test_the_start_and_the_first_answers_take_a_few_calls_of_git(
    mirror: Path, spy: SpyGit
) -> None:
    with serving(f"acme/models={mirror}", warm_up_s=TIMEOUT_S) as url:
        at_start = spy.count()
        spy.clear()
        replies = ask_at_once(url, ["churn"] * CLIENTS)

    assert len(git(mirror, "tag").splitlines()) == VERSIONS + OTHERS
    assert at_start <= 13
    assert shown(replies) == {(200, f"b0/{VERSIONS - 1:030d}")}
    assert spy.count() == 0  # nothing has changed


def test_models_of_a_repo_that_does_not_change_share_one_read_of_its_tags(
    mirror: Path, spy: SpyGit
) -> None:
    with serving(f"acme/models={mirror}", warm_up_s=TIMEOUT_S) as url:
        spy.clear()
        replies = [ask(url, f"m{number}") for number in range(MODELS)]

    assert {reply.status_code for reply in replies} == {200}
    assert spy.count("for-each-ref") == 0  # the start has read them


def test_clients_right_after_a_new_tag_share_its_count(
    mirror: Path, spy: SpyGit
) -> None:
    with serving(f"acme/models={mirror}", warm_up_s=TIMEOUT_S) as url:
        before = shown([ask(url)])
        git(mirror, "tag", "-a", "-m", "x", "churn@v2.0.0", "churn@v1.7.0^{commit}")
        spy.clear()
        spy.delay(SLOW_S)
        replies = ask_at_once(url, ["churn"] * CLIENTS)
        spy.delay(0)

    assert before == {(200, f"b0/{VERSIONS - 1:030d}")}
    assert shown(replies) == {(200, f"b0/{7:030d}")}
    assert spy.count("for-each-ref") <= READS
    assert spy.count("rev-parse") == 0  # the branch, whose config counts, is as before
    assert spy.count("cat-file") <= READS  # kinds and tags; the record; the config


def test_clients_that_ask_for_several_models_share_all_but_the_models(
    mirror: Path, spy: SpyGit
) -> None:
    names = [f"m{number % MODELS}" for number in range(CLIENTS)]
    with serving(f"acme/models={mirror}", warm_up_s=TIMEOUT_S) as url:
        git(mirror, "tag", "-a", "-m", "x", "churn@v2.0.0")
        spy.clear()
        spy.delay(SLOW_S)
        replies = ask_at_once(url, names)
        spy.delay(0)

    assert {reply.status_code for reply in replies} == {200}
    assert spy.count("for-each-ref") <= READS
    assert spy.count("rev-parse") == 0
    assert spy.count("cat-file") <= READS + MODELS
