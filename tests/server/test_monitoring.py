"""What operators see: probes, metrics, and the log as JSON."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
import requests
from needs import need_program
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    age,
    serving,
    serving_config,
)

from dvc_studio_models.server.config.values import RepoConfig, ServeConfig
from dvc_studio_models.server.monitoring.logs import LOGFMT, format_of
from tests.server.api import API, TIMEOUT_S, ask, fetch, links

if TYPE_CHECKING:
    from pathlib import Path

FORWARDED = {"X-Forwarded-For": "192.0.2.1"}


def get(url: str, path: str, **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(url + path, headers=sent, timeout=TIMEOUT_S)


def read_metrics(url: str) -> dict[str, float]:
    """Return the samples, by name and labels."""
    lines = get(url, "/metrics").text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def as_other(url: str, path: str, token: str | None = None) -> requests.Response:
    """Send a request as a client on another machine does, through a proxy."""
    given = {"Authorization": f"token {token}"} if token else {}
    headers = {**FORWARDED, **given}
    return requests.get(url + path, headers=headers, timeout=TIMEOUT_S)


# -- probes


@pytest.mark.parametrize("path", ["/livez", "/healthz", "/prefix/livez"])
def test_a_running_server_says_that_it_is_alive(server: str, path: str) -> None:
    reply = as_other(server, path)

    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_readiness_names_repos_on_this_machine_only(server: str) -> None:
    here, elsewhere = get(server, "/readyz"), as_other(server, "/readyz")

    assert here.status_code == elsewhere.status_code == 200
    assert here.json() == {"status": "ready", "repos": {"models": {"ready": True}}}
    assert elsewhere.json() == {"status": "ready"}


def test_readiness_names_repos_to_a_token_of_all_repos(server: str) -> None:
    known, unknown = (as_other(server, "/readyz", each) for each in (TOKEN, "x"))

    assert list(known.json()["repos"]) == ["models"]
    assert unknown.json() == {"status": "ready"}


@pytest.fixture
def two(project: Project, tmp_path: Path) -> tuple[Project, Path]:
    """A project and a clone of it under another name, with the same storage."""
    other = project.clone(tmp_path / "other", origin="git@git.example.com:acme/other")
    storage = f"['remote \"storage\"']\nurl = {project.storage}\n"
    (other / ".dvc/config.local").write_text(storage)
    return project, other


def test_a_repo_that_is_lost_is_not_ready_and_the_others_are(
    two: tuple[Project, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, other = two
    monkeypatch.setattr("dvc_studio_models.server.site.readiness.CHECK_S", 0)
    with serving(project.repo, other) as url:
        before = get(url, "/readyz").json()
        shutil.rmtree(other)
        after = get(url, "/readyz")
        ready = read_metrics(url)
        shutil.rmtree(project.repo)
        none = get(url, "/readyz")

    assert before["status"] == "ready"
    assert (after.status_code, after.json()["status"]) == (200, "degraded")
    repos = after.json()["repos"]
    assert repos["models"] == {"ready": True}
    assert repos["other"]["ready"] is False
    assert str(project.root.parent) not in repos["other"]["detail"]
    assert ready['dvc_models_repo_ready{repo="models"}'] == 1
    assert ready['dvc_models_repo_ready{repo="other"}'] == 0
    assert (none.status_code, none.json()["status"]) == (503, "unavailable")


def test_a_repo_whose_storage_is_gone_is_not_ready(project: Project) -> None:
    age(project.repo)
    shutil.rmtree(project.storage)
    with serving(project.repo) as url:
        reply = get(url, "/readyz")

    assert reply.status_code == 503
    assert "storage" in reply.json()["repos"]["models"]["detail"]


def test_a_version_that_was_never_pushed_is_no_fault_of_the_server(
    project: Project,
) -> None:
    (project.repo / "models/churn.pkl.dvc").write_text("outs: []\n")
    with serving(project.repo) as url:
        assert get(url, "/readyz").json()["status"] == "ready"


def test_a_check_that_fails_is_logged_and_tried_again(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    readiness = "dvc_studio_models.server.site.readiness"
    monkeypatch.setattr(f"{readiness}.CHECK_S", 0)
    with serving(project.repo) as url:
        with monkeypatch.context() as broken:
            broken.setattr(f"{readiness}.check_folder", None)  # what nobody expects
            failed = get(url, "/readyz").json()["repos"]["models"]
        again = get(url, "/readyz").json()["status"]

    assert failed == {
        "ready": False,
        "detail": "internal error; the server's log has details",
    }
    assert "cannot check the repo 'models'" in caplog.text
    assert again == "ready"


def test_many_probes_check_a_repo_once(project: Project) -> None:
    age(project.repo)
    with serving(project.repo) as url:
        get(url, "/readyz")
        shutil.rmtree(project.repo)
        again = get(url, "/readyz")

    assert again.json()["status"] == "ready"  # as ten seconds ago


# -- metrics


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("main", "main"),
        ("a b", '"a b"'),
        ("a=b", '"a=b"'),
        ("évian", "évian"),
        ("a\u202eb", '"a\\u202eb"'),
        ("a\x1b[2Jb", '"a\\u001b[2Jb"'),
    ],
)
def test_the_log_quotes_what_a_terminal_would_not_show(
    value: str, written: str
) -> None:
    assert format_of(LOGFMT)({"user": value}) == f"user={written}"


def test_metrics_count_what_is_done(project: Project) -> None:
    with serving(project.repo) as url:
        before = read_metrics(url)
        link = links(url, "bert")["models/bert/config.json"]
        size = len(fetch(link).content)
        ask(url, token="wrong", repo=ORIGIN_URL, name="churn")
        ask(url, token=None, repo=ORIGIN_URL, name="churn")
        get(url, "/no/such/path")
        time.sleep(0.1)  # a request is counted when its reply is out
        after = read_metrics(url)

    def grown(name: str) -> float:
        return after.get(name, 0) - before.get(name, 0)

    objects = "/objects/{repo}/{store}/{object:path}"
    requests_of = 'dvc_models_requests_total{{method="GET",route="{}",status="{}"}}'
    assert grown(requests_of.format(API, 200)) == 1
    assert grown(requests_of.format(API, 401)) == 2
    assert grown(requests_of.format(objects, 200)) == 1
    assert grown(requests_of.format("other", 404)) == 1
    seconds = "dvc_models_request_duration_seconds_count"
    assert grown(f'{seconds}{{route="{API}"}}') == 3
    assert grown('dvc_models_links_total{repo="models"}') == 4
    assert grown(f'dvc_models_sent_bytes_total{{route="{objects}"}}') == size
    assert grown('dvc_models_refused_tokens_total{reason="invalid"}') == 1
    assert grown('dvc_models_refused_tokens_total{reason="missing"}') == 1
    assert after["dvc_models_requests_in_progress"] == 1  # this one
    assert after['dvc_models_repo_ready{repo="models"}'] == 1
    assert after["dvc_models_requests_waiting_for_remotes"] == 0


def test_metrics_are_for_operators_only(project: Project) -> None:
    with serving(project.repo) as url:
        none, wrong, known = (
            as_other(url, "/metrics", each) for each in (None, "x", TOKEN)
        )

    assert (none.status_code, wrong.status_code, known.status_code) == (401, 401, 200)
    assert known.headers["Content-Type"].startswith("text/plain; version=")
    assert "dvc_models_requests_total" in known.text


def test_no_path_or_name_of_a_client_becomes_a_label(project: Project) -> None:
    with serving(project.repo) as url:
        get(url, "/made/up")
        links(url, "churn")
        requests.request("BREW", f"{url}/made/up", timeout=TIMEOUT_S)
        ask(url, repo="made/up", name="churn")
        text = get(url, "/metrics").text

    assert "made" not in text
    assert "BREW" not in text
    assert TOKEN not in text


def test_promtool_accepts_the_metrics(server: str) -> None:
    need_program("promtool")
    ask(server, repo=ORIGIN_URL, name="churn")
    text = get(server, "/metrics").text

    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# -- mirrors


@pytest.mark.clock
def test_the_age_of_a_mirror_is_told(project: Project, tmp_path: Path) -> None:
    shutil.copytree(project.storage, tmp_path / "data/storage")  # as from a mirror
    config = ServeConfig(
        (RepoConfig("", name="models", url=project.bare.as_uri()),),
        None,
        data=tmp_path / "data",
    )
    with serving_config(config) as url:
        for _ in range(100):
            details = get(url, "/readyz").json()["repos"]["models"]
            if details["ready"]:
                break
            time.sleep(0.2)
        samples = read_metrics(url)

    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", details["fetched"])
    assert (details["ready"], details["stale"]) == (True, False)
    assert 0 <= samples['dvc_models_mirror_age_seconds{repo="models"}'] < 60
    assert samples['dvc_models_mirror_stale{repo="models"}'] == 0
