"""A served repo or DVC remote on a file system that hangs stops no other repo.

strace delays the calls for one path in a real server process, as a dead NFS mount does.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from needs import need_program
from projects import TOKEN, Project, age, copy_project

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 20
HANG_S = 120  # longer than any test waits
OTHER = "git@git.example.com:acme/other.git"
STARLETTES_THREADS = 40  # that read files for all repos, unless there are more

SERVER = """
import functools, sys
from projects import serving
from dvc_studio_models.server.waiting.slow_calls import SlowCalls

slow = functools.partial(SlowCalls, seconds=2, most=int(sys.argv[1]))
with serving(*sys.argv[2:], slow_calls=slow, open_s=3) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    need_program("strace")
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@contextlib.contextmanager
def serving_beside_a_hanging(
    project: Project, path: Path, *, call: str = "%%stat", most: int = 3
) -> Iterator[str]:
    """Serve acme/models, which hangs in ``call`` for ``path``, and acme/other.

    Args:
        project: Both repos are clones with its models and its storage.
        path: Need not exist yet.
        call: As strace names it.
        most: Calls for one repo at once.
    """
    other = project.clone(project.root / "other", origin=OTHER)
    age(project.repo)
    age(other)
    delay = f"inject={call}:delay_enter={HANG_S * 1_000_000}"
    with subprocess.Popen(
        [
            *("strace", "-f", "-qq", "-o", os.devnull, "-P", path, "-e", delay),
            *(sys.executable, "-c", SERVER, str(most), project.repo, other),
        ],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def ask(url: str, repo: str, name: str = "churn") -> requests.Response:
    return requests.get(
        url + API,
        params={"repo": repo, "name": name},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )


def link(url: str, repo: str, name: str) -> str:
    return max(ask(url, repo, name).json().values())


def object_of_churn(project: Project) -> Path:
    (found,) = (
        path for path in project.storage.rglob("*") if path.stat().st_size == 380_000
    )
    return found


def shown(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["detail"]


BUSY = (
    503,
    "too many requests for this repo at once; try again later",
)


def test_a_repo_whose_refs_hang_stops_no_other(project: Project) -> None:
    hanging = project.repo / ".git/refs/tags/hanging"
    with serving_beside_a_hanging(project, hanging) as url, ThreadPoolExecutor(6) as p:
        before = [ask(url, repo).status_code for repo in ("acme/models", "acme/other")]
        hanging.mkdir()
        asked = [p.submit(ask, url, "acme/models") for _ in range(6)]
        others = [ask(url, "acme/other").status_code for _ in range(20)]
        replies = Counter(shown(reply.result()) for reply in asked)

        assert before == [200, 200]
        assert others == [200] * 20
        silent = (
            "this server could not read its copy of the repo within 2 s; try again "
            "later, or ask its operator"
        )
        assert replies == {(504, silent): 3, BUSY: 3}
        assert shown(ask(url, "acme/models")) == BUSY
        assert ask(url, "acme/other").status_code == 200


def test_a_repo_that_hangs_from_the_start_stops_no_other(project: Project) -> None:
    with serving_beside_a_hanging(project, project.repo) as url:
        hanging = [ask(url, repo) for repo in ("acme/models", str(project.repo))]
        others = [ask(url, OTHER).status_code for _ in range(3)]

    assert {reply.status_code for reply in hanging} == {503}
    assert "'repo'" in hanging[0].json()["detail"]
    assert others == [200] * 3


def test_a_storage_that_hangs_stops_no_other_repo(project: Project) -> None:
    with ThreadPoolExecutor(STARLETTES_THREADS + 6) as pool:
        (hanging,) = (
            path
            for path in project.storage.rglob("*")
            if path.stat().st_size == 380_000
        )
        with serving_beside_a_hanging(project, hanging) as url:
            churn = link(url, "acme/models", "churn")
            asked = [
                pool.submit(requests.get, churn, timeout=TIMEOUT_S)
                for _ in range(STARLETTES_THREADS + 6)
            ]
            bert = link(url, "acme/other", "bert")
            other = requests.get(bert, timeout=TIMEOUT_S).status_code
            replies = Counter(shown(reply.result()) for reply in asked)

    assert other == 200
    silent = "the DVC remote has not answered within 2 s; try again later"
    assert replies == {(504, silent): 3, BUSY: STARLETTES_THREADS + 3}


def test_objects_that_hang_when_they_are_read_stop_no_other_repo(
    project: Project,
) -> None:
    most = STARLETTES_THREADS + 5
    hanging = object_of_churn(project)
    with serving_beside_a_hanging(project, hanging, call="read", most=most) as url:
        churn = link(url, "acme/models", "churn")
        with contextlib.ExitStack() as stack:
            for _ in range(most):
                reply = requests.get(churn, stream=True, timeout=TIMEOUT_S)
                assert stack.enter_context(reply).status_code == 200
            bert = link(url, "acme/other", "bert")
            other = requests.get(bert, timeout=TIMEOUT_S)
            one_more = requests.get(churn, timeout=TIMEOUT_S)

    assert other.status_code == 200
    assert shown(one_more)[0] == 503
