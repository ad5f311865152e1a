"""A request that cannot be answered gets a status and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    serving,
    serving_config,
    write,
)

from dvc_studio_models.server.catalog import recorded
from dvc_studio_models.server.config.values import RepoConfig
from dvc_studio_models.server.waiting.slow_calls import SlowCalls
from tests.server.api import (
    API,
    TIMEOUT_S,
    annotate,
    ask,
    config_of,
    links,
    md5_of,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (
            {"name": "chrn"},
            (
                "model 'chrn' is not registered; "
                "registered models: bert, churn, services/fraud:fraud"
            ),
        ),
        (
            {"name": "churn", "stage": "test"},
            "stage 'test' is not assigned; known stages: dev, prod",
        ),
        (
            {"name": "churn", "version": "v3.0.0"},
            "version 'v3.0.0' is not registered; known versions: v2.0.0, v1.0.0",
        ),
    ],
    ids=["model", "stage", "version"],
)
def test_what_is_not_found_is_said_with_what_there_is(
    server: str, query: dict[str, str], detail: str
) -> None:
    assert refusal(ask(server, repo=ORIGIN_URL, **query)) == (404, detail)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"name": "churn"}, "parameter 'repo' is required"),
        ({"repo": ORIGIN_URL}, "parameter 'name' is required"),
        ({"repo": "", "name": "churn"}, "parameter 'repo' is empty"),
        (
            {"repo": ORIGIN_URL, "name": "churn", "version": "v1.0.0", "stage": "dev"},
            "a version and a stage cannot be combined",
        ),
        (
            {"repo": ORIGIN_URL, "name": ["churn", "bert"]},
            "parameter 'name' is given 2 times",
        ),
        (
            {"repo": ORIGIN_URL, "name": "churn", "version": "newest"},
            "'newest' is not a version: use the form v1.2.3",
        ),
        (
            {"repo": ORIGIN_URL, "name": "churn@v1.0.0"},
            "parameter 'name' is a model name; use 'version' or 'stage' to select",
        ),
        (
            {"repo": "x" * 2000, "name": "churn"},
            "parameter 'repo' is longer than 1000 characters",
        ),
    ],
    ids=["repo", "name", "empty", "both", "twice", "version", "selector", "long"],
)
def test_a_bad_query_is_refused_with_what_is_wrong(
    server: str, query: dict[str, str], detail: str
) -> None:
    assert refusal(ask(server, **query)) == (400, detail)


@pytest.mark.parametrize(
    "query",
    [
        "repo=%00&name=%00",
        "repo=%ff%fe&name=%ff",
        "repo=acme/models&name=%ff",
        "repo=acme/models&name=..%2f..%2fetc:passwd",
        "repo=acme/models&name=a:b:c",
        "repo=acme/models&name=churn&version=v1.0.0%0a",
        "repo=acme/models&name=churn&stage=%F0%9F%92%A9",
        "repo=acme/models&name=churn&version=v99999999999999999999.0.0",
        "repo=https://[::1&name=churn",
        "repo=acme/models&name=" + "a" * 900,
        "&&&===",
        "%",
    ],
)
def test_a_malformed_query_is_never_an_internal_error(server: str, query: str) -> None:
    reply = requests.get(
        f"{server}{API}?{query}",
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )

    assert reply.status_code in {400, 404}
    assert isinstance(reply.json()["detail"], str)


def test_a_model_that_dvc_does_not_track_is_refused(project: Project) -> None:
    annotate(project, "README.md")

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

    assert status == 404
    assert detail.startswith("cannot determine the files of 'm' v1.0.0 (commit ")
    assert detail.endswith("): 'README.md' is not tracked by DVC")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("models/bert/none", "DVC does not track 'models/bert/none'"),
        ("s3://bucket/m", "no 'dvc.yaml' annotates it there"),
    ],
    ids=["inside a directory", "elsewhere"],
)
def test_a_model_that_is_not_there_is_refused(
    project: Project, path: str, reason: str
) -> None:
    annotate(project, path)

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

    assert status == 404
    assert detail.endswith(f"): {reason}")


def test_an_output_that_lies_in_git_is_refused(project: Project) -> None:
    out = f"outs:\n- md5: {md5_of(b'm')}\n  hash: md5\n  path: m.bin\n  cache: false\n"
    write(project.repo, {"m.bin": b"m", "m.bin.dvc": out.encode()})
    annotate(project, "m.bin")

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

    assert status == 404
    assert "'m.bin' is stored in Git, not in DVC; run 'git checkout " in detail


def test_an_output_without_a_hash_is_refused(project: Project) -> None:
    write(project.repo, {"m.bin.dvc": b"outs:\n- path: m.bin\n"})
    annotate(project, "m.bin")

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

    assert status == 404
    assert detail.endswith("DVC recorded no hash for 'm.bin'")


def test_a_broken_dvc_file_is_refused_and_not_an_internal_error(
    project: Project,
) -> None:
    write(project.repo, {"m.bin.dvc": b"outs: 3\n"})
    annotate(project, "m.bin")

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

    assert status == 404
    assert "'m' v1.0.0" in detail


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "is not on the DVC remote; was it pushed?"),
        (b"{", "on the DVC remote is invalid"),
    ],
    ids=["missing", "broken"],
)
def test_a_directory_whose_listing_cannot_be_read_is_refused(
    project: Project, own_server: str, content: bytes | None, reason: str
) -> None:
    for listing in project.storage.rglob("*.dir"):
        listing.unlink()
        if content is not None:
            listing.write_bytes(content)

    # The newest version has been read when the server started.
    reply = ask(own_server, repo=ORIGIN_URL, name="bert", version="v1.0.0")
    status, detail = refusal(reply)

    assert status == 404
    assert detail.endswith(f"the file list of 'models/bert' {reason}")
    assert str(project.root) not in detail


@pytest.mark.parametrize(
    ("most", "limit"),
    [("MAX_FILES", "at most 1 files"), ("MAX_LISTING_BYTES", "at most 0 MiB")],
)
def test_a_folder_with_too_many_files_is_refused_alone(
    project: Project, monkeypatch: pytest.MonkeyPatch, most: str, limit: str
) -> None:
    monkeypatch.setattr(recorded, most, 1)

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="bert"))

        assert ask(url, repo=ORIGIN_URL, name="churn").status_code == 200
    assert status == 500
    assert detail.startswith("'models/bert' has too many files for this server")
    assert limit in detail


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/other", 404), ("GET", f"{API}/", 404), ("POST", API, 405)],
)
def test_other_paths_and_methods_are_refused_in_json(
    server: str, method: str, path: str, status: int
) -> None:
    reply = requests.request(method, server + path, timeout=TIMEOUT_S)

    assert reply.status_code == status
    assert reply.json()["detail"]


def test_an_internal_error_is_a_sentence_and_the_server_goes_on(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(SlowCalls):
        async def run(self, function: Callable[[], Any], **options: Any) -> Any:
            if broken:
                raise ZeroDivisionError
            return await super().run(function, **options)

    broken = True

    with serving(project.repo, slow_calls=Broken) as url:
        reply = ask(url, repo=ORIGIN_URL, name="churn")
        broken = False

        assert links(url, "churn")
    assert refusal(reply) == (500, "internal error; the server's log has details")
    assert f"failed to answer '{API}'" in caplog.text


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_repo_that_is_moved_away_is_told_and_served_when_it_is_back(
    project: Project, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    hidden = project.root / "hidden"
    with serving(project.repo) as url:
        project.repo.rename(hidden)
        if left == "an empty folder":  # where a file system was mounted
            project.repo.mkdir()
        replies = [
            ask(url, repo=ORIGIN_URL, name="churn"),
            requests.get(
                f"{url}/api/model-registry/models",
                params={"repo": ORIGIN_URL},
                headers={"Authorization": f"token {TOKEN}"},
                timeout=TIMEOUT_S,
            ),
        ]
        state = requests.get(f"{url}/readyz", timeout=TIMEOUT_S)
        if left == "an empty folder":
            project.repo.rmdir()
        hidden.rename(project.repo)

        assert links(url, "churn")
    said = "this server cannot read its copy of 'git.example.com/acme/models' now; "
    for status, detail in map(refusal, replies):
        assert (status, detail.startswith(said)) == (503, True)
        assert str(project.root) not in detail
    assert state.status_code == 503
    assert state.json()["repos"]["models"]["detail"].startswith(said)
    assert str(project.repo) in caplog.text


def test_a_message_names_only_a_few_repos(project: Project) -> None:
    repos = [f"team/r{number}={project.repo}" for number in range(7)]
    gone = [f"far/r{number}={project.root}/gone{number}" for number in range(7)]
    with serving(*repos) as url:
        _, unknown = refusal(ask(url, repo="https://h/acme/unknown", name="churn"))
    with serving(*repos, *gone) as url:
        _, left_out = refusal(ask(url, repo=f"{project.root}/x", name="churn"))

    assert unknown.endswith("team/r3, team/r4 and 2 more")
    assert left_out.count("far/") <= 5
    assert " and 2 more " in left_out or "served: " in left_out


def test_the_advice_names_what_the_operator_can_set(project: Project) -> None:
    project.storage.rename(project.root / "moved")
    with serving(project.repo) as url:
        by_flags = refusal(ask(url, repo=ORIGIN_URL, name="churn"))
    repo = RepoConfig(str(project.repo), remote_option="remote: NAME")  # of a file
    with serving_config(config_of(repo)) as url:
        by_file = refusal(ask(url, repo=ORIGIN_URL, name="churn"))
        state = requests.get(f"{url}/readyz", timeout=TIMEOUT_S)

    assert (by_flags[0], by_file[0]) == (502, 502)
    assert by_flags[1].endswith("from another remote with '--remote NAME'")
    assert by_file[1].endswith("from another remote with 'remote: NAME'")
    for text in (by_flags[1], by_file[1], state.text):
        assert "is a folder that this server does not have" in text
        assert str(project.root) not in text
