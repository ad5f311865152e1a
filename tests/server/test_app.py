from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import logging
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from dvc_studio_client.model_registry import get_download_uris
from environments import DVC
from projects import (
    BERT,
    CHURN,
    FRAUD,
    ORIGIN_URL,
    TOKEN,
    Project,
    age,
    commit_all,
    copy_project,
    git,
    init_project,
    read_tree,
    serving,
    track,
    write,
)
from servers import free_port

from dvc_studio_models.cli import serve as command
from dvc_studio_models.errors import StudioConfigError, UsageError
from dvc_studio_models.server import service
from dvc_studio_models.server.catalog.repos import Identity
from dvc_studio_models.server.limits import SlowCalls
from dvc_studio_models.server.links import local as signing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 20


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all tests that change nothing: to stop one takes uvicorn 0.2 s."""
    root = tmp_path_factory.mktemp("server")
    template = tmp_path_factory.getbasetemp() / "template"
    with serving(copy_project(template, root / "project").repo) as url:
        yield url


@pytest.fixture
def own_server(project: Project) -> Iterator[str]:
    """Serve ``project``, whatever the test does to it."""
    with serving(project.repo) as url:
        yield url


def ask(
    url: str, *, token: str | None = TOKEN, **query: str | list[str]
) -> requests.Response:
    headers = {"Authorization": f"token {token}"} if token else {}
    return requests.get(url + API, params=query, headers=headers, timeout=TIMEOUT_S)


def links(url: str, name: str, **query: str) -> dict[str, str]:
    reply = ask(url, repo=ORIGIN_URL, name=name, **query)
    assert reply.status_code == 200, reply.text
    return reply.json()


def fetch(link: str, **headers: str) -> requests.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.get(link, headers=sent, timeout=TIMEOUT_S)


def refusal(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["detail"]


def read_log(line: str) -> dict[str, str]:
    """Read the ``key=value`` pairs of a line of the access log."""
    return dict(word.split("=", 1) for word in shlex.split(line))


def md5_of(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def annotate(project: Project, path: str, tag: str = "m@v1.0.0") -> None:
    """Make ``m``, which lies at ``path``, the only model, and register it."""
    annotation = f"artifacts:\n  m:\n    path: {path}\n"
    write(project.repo, {"dvc.yaml": annotation.encode()})
    commit_all(project, "Annotate")
    project.tag(tag)


# -- what a request is answered with


def test_a_file_is_one_link_to_its_content(server: str) -> None:
    found = links(server, "churn", stage="prod")

    assert list(found) == ["models/churn.pkl"]
    assert fetch(found["models/churn.pkl"]).content == CHURN["v2.0.0"]


def test_a_link_ends_in_the_object_id_of_dvc(server: str) -> None:
    link = links(server, "churn", stage="prod")["models/churn.pkl"]

    md5 = md5_of(CHURN["v2.0.0"])
    assert urlsplit(link).path.endswith(f"/files/md5/{md5[:2]}/{md5[2:]}")


def test_a_directory_is_one_link_for_each_file(server: str) -> None:
    found = links(server, "bert", version="v1.0.0")

    assert {path: fetch(link).content for path, link in found.items()} == {
        f"models/bert/{path}": content for path, content in BERT["v1.0.0"].items()
    }


@pytest.mark.parametrize(
    ("query", "version"),
    [
        ({}, "v2.0.0"),
        ({"version": "v1.0.0"}, "v1.0.0"),
        ({"stage": "dev"}, "v1.0.0"),
        ({"stage": "prod"}, "v2.0.0"),
        ({"version": "", "stage": ""}, "v2.0.0"),
    ],
    ids=["latest", "version", "dev", "prod", "empty"],
)
def test_a_version_a_stage_or_the_latest_is_selected(
    server: str, query: dict[str, str], version: str
) -> None:
    link = links(server, "churn", **query)["models/churn.pkl"]

    assert fetch(link).content == CHURN[version]


@pytest.mark.parametrize(
    "name", ["services/fraud:fraud", "services/fraud/dvc.yaml:fraud"]
)
def test_a_model_in_a_folder_is_found_by_either_spelling(
    server: str, name: str
) -> None:
    found = links(server, name)

    assert list(found) == ["services/fraud/model.bin"]
    assert fetch(found["services/fraud/model.bin"]).content == FRAUD


def test_a_new_tag_is_seen_at_once_however_often_was_asked_before(
    project: Project, own_server: str
) -> None:
    for number, version in enumerate(["v1.0.0", "v2.0.0"] * 5, start=4):
        project.tag(f"churn#prod#{number}", f"churn@{version}")
        link = links(own_server, "churn", stage="prod")["models/churn.pkl"]

        assert md5_of(CHURN[version])[2:] in link


def test_a_new_tag_is_seen_when_all_has_been_quiet(
    project: Project, own_server: str
) -> None:
    age(project.repo)  # now answers are kept
    for query in ({"stage": "prod"}, {"stage": "prod"}, {}):
        links(own_server, "churn", **query)

    project.tag("churn#prod#4", "churn@v1.0.0")

    link = links(own_server, "churn", stage="prod")["models/churn.pkl"]
    assert md5_of(CHURN["v1.0.0"])[2:] in link


def test_a_new_tag_is_seen_while_the_server_runs(
    project: Project, own_server: str
) -> None:
    links(own_server, "churn", stage="prod")

    project.tag("churn#prod#4", "churn@v1.0.0")
    git(project.repo, "pack-refs", "--all")

    link = links(own_server, "churn", stage="prod")["models/churn.pkl"]
    assert fetch(link).content == CHURN["v1.0.0"]


def test_the_working_tree_does_not_matter(project: Project, own_server: str) -> None:
    shutil.rmtree(project.repo / "models")
    shutil.rmtree(project.repo / ".dvc" / "cache")

    link = links(own_server, "churn")["models/churn.pkl"]

    assert fetch(link).content == CHURN["v2.0.0"]


def test_a_bare_repo_is_served_like_a_clone(project: Project) -> None:
    with serving(f"acme/models={project.bare}") as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize("bare", [False, True], ids=["clone", "bare"])
def test_a_project_in_a_subfolder_has_keys_from_the_git_root(
    tmp_path: Path, bare: bool
) -> None:
    project = init_project(tmp_path / "project", subdir="teams/ml")
    write(
        project.repo / "teams/ml", {"dvc.yaml": b"artifacts:\n  m:\n    path: m.bin\n"}
    )
    write(project.repo / "teams/ml", {"m.bin": b"m"})
    track(project.repo / "teams/ml", "m.bin")
    commit_all(project, "Train")
    project.tag("teams/ml=m@v1.0.0")
    git(project.root, "clone", "--quiet", "--bare", "repo", "models.git")
    repo = f"acme/models={project.bare}" if bare else project.repo

    with serving(repo) as url:
        found = links(url, "teams/ml:m")

        assert list(found) == ["teams/ml/m.bin"]
        assert fetch(found["teams/ml/m.bin"]).content == b"m"


def test_objects_of_dvc_2_are_linked_where_dvc_2_put_them(tmp_path: Path) -> None:
    project = init_project(tmp_path / "project")
    text, listing = b"a\r\nb\r\n", b'[{"md5": "%s", "relpath": "in.txt"}]'
    md5 = md5_of(b"a\nb\n")
    listing = listing % md5.encode()
    write(
        project.storage,
        {
            f"{md5[:2]}/{md5[2:]}": text,
            f"{md5_of(listing)[:2]}/{md5_of(listing)[2:]}.dir": listing,
        },
    )
    outs = f"outs:\n- md5: {md5_of(listing)}.dir\n  path: m\n"
    write(project.repo, {"m.dvc": outs.encode()})
    annotate(project, "m")

    with serving(project.repo) as url:
        link = links(url, "m")["m/in.txt"]
        reply = fetch(link)

    assert urlsplit(link).path == f"/objects/models/storage/{md5[:2]}/{md5[2:]}"
    assert reply.content == text
    assert reply.headers["ETag"] != f'"{md5}"'


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("models/bert/weights", {"weights/part one.bin", "weights/größe-模型.bin"}),
        ("models/bert/config.json", {"config.json"}),
    ],
    ids=["folder", "file"],
)
def test_a_model_may_lie_inside_a_tracked_directory(
    project: Project, path: str, files: set[str]
) -> None:
    annotate(project, path)

    with serving(project.repo) as url:
        found = links(url, "m")

    assert set(found) == {f"models/bert/{file}" for file in files}


def test_a_model_may_be_a_folder_with_several_outputs(project: Project) -> None:
    annotate(project, "models")

    with serving(project.repo) as url:
        found = links(url, "m")

    assert set(found) == {
        "models/churn.pkl",
        *(f"models/bert/{path}" for path in BERT["v2.0.0"]),
    }


def test_a_neighbour_with_a_longer_name_is_no_part_of_a_model(project: Project) -> None:
    write(project.repo, {"d/a/x": b"x", "d/ab": b"ab"})
    track(project.repo, "d")
    annotate(project, "d/a")

    with serving(project.repo) as url:
        assert list(links(url, "m")) == ["d/a/x"]


def test_what_a_commit_says_is_read_once_and_for_the_first_model_at_the_start(
    project: Project, own_server: str
) -> None:
    for listing in project.storage.rglob("*.dir"):
        listing.unlink()

    assert len(links(own_server, "bert")) == len(BERT["v2.0.0"])


def test_links_are_not_to_be_cached(server: str) -> None:
    reply = ask(server, repo=ORIGIN_URL, name="churn")

    assert reply.headers["Cache-Control"] == "no-store"


def test_serving_writes_nothing_into_the_repo(project: Project) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.repo.rglob("*")}

    with serving(project.repo) as url:
        links(url, "churn", version="v1.0.0")
        links(url, "bert", version="v1.0.0")

    after = {path: path.stat().st_mtime_ns for path in project.repo.rglob("*")}
    assert after == before


def test_an_empty_file_is_served(server: str) -> None:
    link = links(server, "bert")["models/bert/empty.txt"]

    assert fetch(link).content == b""


def test_a_path_prefix_is_kept_in_the_links(server: str) -> None:
    prefixed = f"{server}/corp/studio"

    link = links(prefixed, "churn")["models/churn.pkl"]

    assert link.startswith(f"{prefixed}/objects/")
    assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize(
    ("address", "proxied", "scheme"),
    [
        ("127.0.0.1", False, "https"),
        ("127.0.0.2", True, "https"),
        ("127.0.0.2", False, "http"),
    ],
    ids=["proxy here", "proxy elsewhere", "somebody else"],
)
def test_links_have_the_scheme_by_which_the_proxy_was_reached(
    project: Project, address: str, proxied: bool, scheme: str
) -> None:
    headers = {"Authorization": f"token {TOKEN}", "X-Forwarded-Proto": "https"}
    with serving(project.repo, proxied=proxied) as url:
        connection = http.client.HTTPConnection(
            urlsplit(url).netloc, timeout=TIMEOUT_S, source_address=(address, 0)
        )
        with contextlib.closing(connection):
            connection.request(
                "GET", f"{API}?repo=acme/models&name=churn", None, headers
            )
            (link,) = json.loads(connection.getresponse().read()).values()

    assert link.startswith(f"{scheme}://")


def test_several_clients_at_once_get_their_own_answers(server: str) -> None:
    wanted = [("churn", "v1.0.0"), ("churn", "v2.0.0"), ("bert", "v1.0.0")] * 8

    with ThreadPoolExecutor(16) as pool:
        found = list(
            pool.map(lambda one: links(server, one[0], version=one[1]), wanted)
        )

    for (name, version), reply in zip(wanted, found, strict=True):
        assert len(reply) == (1 if name == "churn" else len(BERT[version]))


@pytest.mark.parametrize(
    ("tag", "query", "outcome"),
    [
        ("churn@v2.0.0!", {}, "v1.0.0"),
        ("churn@v2.0.0!", {"version": "v2.0.0"}, "version 'v2.0.0' is not registered"),
        ("churn#dev!#2", {"stage": "dev"}, "stage 'dev' is not assigned"),
        ("churn#prod#4", {"stage": "prod"}, "v1.0.0"),
        ("churn@deprecated", {}, "model 'churn' is not registered"),
    ],
    ids=["deregistered", "named", "unassigned", "moved", "deprecated"],
)
def test_tags_count_as_gto_counts_them(
    project: Project, own_server: str, tag: str, query: dict[str, str], outcome: str
) -> None:
    at = "v2.0.0" if tag.startswith("churn@v2.0.0") else "v1.0.0"
    project.tag(tag, f"churn@{at}")

    reply = ask(own_server, repo=ORIGIN_URL, name="churn", **query)

    if reply.status_code == 200:
        assert fetch(reply.json()["models/churn.pkl"]).content == CHURN[outcome]
    else:
        assert reply.status_code == 404
        assert reply.json()["detail"].startswith(f"{outcome}; ")


# -- which repo is meant


@pytest.mark.parametrize(
    "spelled",
    [
        "git@git.example.com:acme/models.git",
        "git@git.example.com:acme/models",
        "https://git.example.com/acme/models",
        "https://GIT.example.COM/acme/models.git/",
        "https://oauth2:secret@git.example.com/acme/models.git",
        "ssh://git@git.example.com:2222/acme/models.git",
        "acme/models",
        "git.example.com/acme/models",
        "GIT.example.com/acme/models.git",
    ],
)
def test_a_repo_is_known_by_any_spelling_of_its_remote(
    server: str, spelled: str
) -> None:
    assert ask(server, repo=spelled, name="churn").status_code == 200


def test_a_repo_is_known_by_what_git_makes_of_its_remote(project: Project) -> None:
    git(project.repo, "remote", "set-url", "origin", "work:models.git")
    git(project.repo, "config", "url.https://git.corp/acme/.insteadOf", "work:")

    with serving(project.repo) as url:
        for spelled in ("git@git.corp:acme/models.git", "work:models"):
            assert ask(url, repo=spelled, name="churn").status_code == 200


def test_a_repo_is_known_by_its_own_path(project: Project, own_server: str) -> None:
    for spelled in (project.repo, project.repo / ".git", project.repo.as_uri()):
        assert ask(own_server, repo=str(spelled), name="churn").status_code == 200


def test_a_bare_repo_is_known_without_its_suffix(project: Project) -> None:
    with serving(project.bare) as url:
        spelled = str(project.bare).removesuffix(".git")

        assert ask(url, repo=spelled, name="churn").status_code == 200


def test_a_repo_is_known_through_the_symlink_it_was_given_by(
    project: Project, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(project.repo)

    with serving(link) as url:
        assert ask(url, repo=str(link), name="churn").status_code == 200


@pytest.mark.parametrize(
    "name", ["git@github.com:o/r.git", "o/r"], ids=["URL", "owner/name"]
)
def test_a_repo_is_known_by_the_name_it_was_given(project: Project, name: str) -> None:
    with serving(f"{name}={project.repo}") as url:
        for spelled in ("https://github.com/o/r", "o/r"):
            assert ask(url, repo=spelled, name="churn").status_code == 200


@pytest.mark.parametrize(
    "spelled",
    [
        "git@github.com:acme/models.git",
        "git@git.example.com:acme/other.git",
        "other/models",
        "models",
        "github.com/acme/models",
        "git.example.com/git.example.com/acme/models",
        "https://[",
        "",
    ],
)
def test_another_repo_is_not_served(server: str, spelled: str) -> None:
    reply = ask(server, repo=spelled or " ", name="churn")

    assert reply.status_code == 404
    assert reply.json()["detail"].endswith("served: git.example.com/acme/models")


def test_no_repo_is_opened_because_a_request_names_it(
    project: Project, own_server: str
) -> None:
    reply = ask(own_server, repo=str(project.bare), name="churn")

    assert reply.status_code == 404


def test_a_path_is_not_an_owner_and_name(project: Project, own_server: str) -> None:
    reply = ask(own_server, repo=str(project.repo).lstrip("/"), name="churn")

    assert reply.status_code == 404


def test_a_fork_does_not_hide_the_repo_it_was_forked_from(project: Project) -> None:
    # Its DVC remote is a folder beside it.
    fork = project.clone(
        project.root / "fork", origin="git@git.example.com:me/models.git"
    )
    git(fork, "remote", "add", "upstream", ORIGIN_URL)
    git(fork, "tag", "--delete", "churn@v2.0.0", "churn#prod#3")

    with serving(fork, project.repo) as url:
        link = links(url, "churn")["models/churn.pkl"]
        assert fetch(link).content == CHURN["v2.0.0"]

        mine = ask(url, repo="me/models", name="churn").json()["models/churn.pkl"]
        assert "/objects/models/" in mine
        assert "/objects/models-2/" in link


def test_an_ambiguous_name_is_not_served(project: Project, tmp_path: Path) -> None:
    other = project.clone(tmp_path / "other", origin="git@github.com:acme/models.git")

    with serving(project.repo, other) as url:
        assert ask(url, repo="acme/models", name="churn").status_code == 404
        assert ask(url, repo=ORIGIN_URL, name="churn").status_code == 200


@pytest.mark.parametrize(
    ("url", "identity"),
    [
        ("git@H:o/r.git", Identity("h", "o/r")),
        ("h:o/r", Identity("h", "o/r")),
        ("git@h:/srv/r.git", Identity("h", "srv/r")),
        ("ssh://git@h/srv/r.git", Identity("h", "srv/r")),
        ("git@[::1]:o/r", Identity("::1", "o/r")),
        ("ssh://git@[::1]:22/o/r", Identity("::1", "o/r")),
        ("u:secret@h:o/r", Identity("h", "o/r")),
        ("ssh://u@H:22//o//r.git/", Identity("h", "o/r")),
        ("https://h/a%20b/r", Identity("h", "a b/r")),
        ("file:///srv/r.git", Identity("file:", "srv/r")),
        ("/srv/r/.git", Identity("file:", "srv/r")),
        ("o/r", Identity("", "o/r")),
    ],
)
def test_an_identity_is_what_spellings_have_in_common(
    url: str, identity: Identity
) -> None:
    assert Identity.of(url) == identity


# -- what is refused, and in which words


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
    ids=["repo", "name", "both", "twice", "version", "selector", "long"],
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
    assert detail.startswith("cannot list the files of 'm' v1.0.0 (commit ")
    assert detail.endswith("): 'README.md' is not tracked by DVC")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("models/bert/none", "DVC tracks no 'models/bert/none'"),
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
    assert detail.endswith(f"the listing of 'models/bert' {reason}")
    assert str(project.root) not in detail


@pytest.mark.parametrize("where", ["config", "config.local"])
def test_a_remote_that_cannot_be_signed_is_refused_with_its_kind(
    project: Project, where: str
) -> None:
    (project.repo / ".dvc" / where).write_text(
        "[core]\nremote = cloud\n['remote \"cloud\"']\nurl = ssh://host/path\n"
    )

    with serving(project.repo) as url:
        reply = ask(url, repo=ORIGIN_URL, name="churn")

    assert refusal(reply) == (
        400,
        (
            "the DVC remote 'cloud' is of type 'ssh', for which this server cannot "
            "sign links; it can for: local, azure, gs, http, https, s3"
        ),
    )


def test_a_remote_whose_package_is_missing_is_refused_with_its_kind(
    project: Project,
) -> None:
    (project.repo / ".dvc" / "config").write_text(
        "[core]\nremote = cloud\n['remote \"cloud\"']\nurl = hdfs://host/path\n"
    )

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert (status, "is of type 'hdfs'" in detail) == (400, True)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (
            "",
            (
                "it has no default one; run 'dvc remote default NAME' in it, "
                "or serve it with '--remote NAME'"
            ),
        ),
        (
            "[core]\nremote = gone\n",
            "config file error: remote 'gone' doesn't exist",
        ),
    ],
    ids=["no default", "unknown"],
)
def test_a_repo_without_its_remote_is_refused(
    project: Project, config: str, reason: str
) -> None:
    (project.repo / ".dvc" / "config").write_text(config)
    detail = f"no DVC remote to serve 'models' from: {reason}"

    with serving(project.repo) as url:
        assert refusal(ask(url, repo=ORIGIN_URL, name="churn")) == (400, detail)


def test_a_remote_may_be_chosen_by_name(project: Project) -> None:
    project.storage.rename(project.root / "other")
    with (project.repo / ".dvc" / "config").open("a") as file:
        file.write("['remote \"second one\"']\nurl = ../../other\n")

    with serving(project.repo, remote="second one") as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]


def test_an_output_may_name_a_remote_of_its_own(project: Project) -> None:
    shutil.copytree(project.storage, project.root / "own")
    with (project.repo / ".dvc" / "config").open("a") as file:
        file.write("['remote \"own\"']\nurl = ../../own\n")
    with (project.repo / "models" / "churn.pkl.dvc").open("a") as file:
        file.write("  remote: own\n")
    annotate(project, "models/churn.pkl")

    with serving(project.repo) as url:
        link = links(url, "m")["models/churn.pkl"]
        shutil.rmtree(project.storage)

        assert "/objects/models/own/" in link
        assert fetch(link).content == CHURN["v2.0.0"]


def test_a_bare_repo_may_have_a_remote_with_an_absolute_path(project: Project) -> None:
    config = project.repo / ".dvc" / "config"
    absolute = config.read_text().replace("../../storage", str(project.storage))
    config.write_text(absolute)
    commit_all(project, "Name the storage's whole path")
    project.mirror()
    moved = project.bare.rename(project.root.parent / "models.git")

    with serving(f"acme/models={moved}") as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize("name", ["config", "config.local"])
def test_a_change_of_the_remote_is_seen_while_the_server_runs(
    project: Project, own_server: str, name: str
) -> None:
    age(project.repo)
    for _ in range(3):
        links(own_server, "churn")

    project.storage.rename(project.root / "moved")
    config = (project.repo / ".dvc" / "config").read_text()
    moved = config.replace("../../storage", "../../moved")
    (project.repo / ".dvc" / name).write_text(moved)

    link = links(own_server, "churn")["models/churn.pkl"]
    assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize("level", ["GLOBAL", "SYSTEM"])
@pytest.mark.parametrize("kind", ["repo", "bare"])
def test_a_change_of_the_servers_own_config_is_seen(
    project: Project, level: str, kind: str
) -> None:
    folder = Path(os.environ[f"DVC_{level}_CONFIG_DIR"])
    repo = getattr(project, kind)
    age(repo)

    def change(host: str) -> None:
        config = f"['remote \"far\"']\nurl = http://{host}/folder\n"
        write(folder, {"config": config.encode()})

    change("one")
    with serving(f"acme/models={repo}", remote="far") as url:
        before = links(url, "churn")["models/churn.pkl"]
        change("another")
        after = links(url, "churn")["models/churn.pkl"]

    assert (urlsplit(before).hostname, urlsplit(after).hostname) == ("one", "another")


def test_a_change_of_the_remote_is_seen_in_a_bare_repo(project: Project) -> None:
    age(project.bare)
    with serving(f"acme/models={project.bare}") as url:
        for _ in range(3):
            links(url, "churn")

        project.storage.rename(project.root / "moved")
        config = project.repo / ".dvc" / "config"
        config.write_text(config.read_text().replace("../../storage", "../../moved"))
        commit_all(project, "Move the storage")
        project.mirror()

        link = links(url, "churn")["models/churn.pkl"]
        assert fetch(link).content == CHURN["v2.0.0"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", f"{API}/", 404), ("POST", API, 405)],
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


def test_a_repo_that_is_moved_away_is_told_and_served_when_it_is_back(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = project.root / "hidden"
    with serving(project.repo) as url:
        project.repo.rename(hidden)
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))
        hidden.rename(project.repo)

        assert links(url, "churn")
    said = "this server cannot read its copy of 'git.example.com/acme/models': "
    assert (status, detail.startswith(said)) == (500, True)
    assert str(project.root) not in detail
    assert str(project.repo) in caplog.text


# -- objects that were never pushed


@pytest.fixture
def verifying_server(project: Project) -> Iterator[str]:
    """Serve ``project``, and look for every object."""
    with serving(project.repo, verify_objects=True) as url:
        yield url


def stored(project: Project, content: bytes) -> Path:
    """Find an object on the remote of the project."""
    md5 = md5_of(content)
    return project.storage / "files/md5" / md5[:2] / md5[2:]


def test_objects_that_are_there_are_found(project: Project, verifying_server) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.storage.rglob("*")}

    for name in ("churn", "bert", "services/fraud:fraud"):
        assert links(verifying_server, name)

    after = {path: path.stat().st_mtime_ns for path in project.storage.rglob("*")}
    assert after == before


def test_objects_are_neither_read_nor_mended(
    project: Project, verifying_server: str
) -> None:
    object_ = stored(project, CHURN["v1.0.0"])
    object_.chmod(0o644)
    object_.write_bytes(b"other content")

    found = links(verifying_server, "churn", version="v1.0.0")

    assert len(found) == 1
    assert object_.read_bytes() == b"other content"


def test_what_was_never_pushed_is_told_until_it_is(
    project: Project, verifying_server: str
) -> None:
    object_ = stored(project, CHURN["v1.0.0"])
    hidden = object_.rename(project.root / "hidden")
    query = {"repo": ORIGIN_URL, "name": "churn", "version": "v1.0.0"}
    commit = project.commit("churn@v1.0.0")[:7]

    refused = ask(verifying_server, **query)
    hidden.rename(object_)
    answered = ask(verifying_server, **query)

    assert refusal(refused) == (
        404,
        (
            f"'churn' v1.0.0 (commit {commit}) is incomplete: 1 of 1 files are not on "
            "the DVC remote; run 'dvc push' where it was trained: 'models/churn.pkl'"
        ),
    )
    assert answered.status_code == 200


def test_the_files_of_a_directory_that_were_never_pushed_are_told(
    project: Project, verifying_server: str
) -> None:
    for path in ("config.json", "vocab.txt"):
        stored(project, BERT["v1.0.0"][path]).unlink()

    status, detail = refusal(
        ask(verifying_server, repo=ORIGIN_URL, name="bert", version="v1.0.0")
    )

    assert status == 404
    assert "2 of 5 files are not on the DVC remote" in detail
    assert detail.endswith(": 'models/bert/config.json', 'models/bert/vocab.txt'")


def test_objects_are_looked_for_once_in_the_life_of_a_link(project: Project) -> None:
    # Both servers ask for the first version: the newest is read when they start.
    query = {"repo": ORIGIN_URL, "name": "churn", "version": "v1.0.0"}
    age(project.repo)
    with (
        serving(project.repo, verify_objects=True) as lasting,
        serving(project.repo, verify_objects=True, expires_s=1) as passing,
    ):
        for url in (lasting, passing) * 3:
            assert ask(url, **query).status_code == 200
        stored(project, CHURN["v1.0.0"]).unlink()
        time.sleep(1.1)

        assert ask(lasting, **query).status_code == 200
        assert ask(passing, **query).status_code == 404


def test_a_remote_that_cannot_be_asked_is_told(project: Project) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    config = f"[core]\nremote = far\n['remote \"far\"']\nurl = {url}\n"
    (project.repo / ".dvc/config").write_text(config)

    with serving(project.repo, verify_objects=True) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="churn"))

    assert status == 502
    assert detail.startswith("the DVC remote 'far' cannot be read: ")


# -- who may ask


@pytest.mark.parametrize(
    ("header", "detail"),
    [
        (None, "authentication credentials were not provided"),
        ("", "authentication credentials were not provided"),
        ("token", "authentication credentials were not provided"),
        (f"Basic {TOKEN}", "authentication credentials were not provided"),
        ("token wrong", "invalid token"),
        (f"token {TOKEN}x", "invalid token"),
        ("token b\xe4d", "invalid token"),
    ],
    ids=["none", "empty", "half", "basic", "wrong", "longer", "not ASCII"],
)
def test_a_request_without_a_good_token_is_refused(
    server: str, header: str | None, detail: str
) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}

    reply = requests.get(
        server + API,
        params={"repo": "no/such", "name": "churn"},
        headers=headers,
        timeout=TIMEOUT_S,
    )

    status, said = refusal(reply)
    assert (status, said.startswith(detail)) == (401, True)
    assert "acme" not in said


def test_each_of_several_tokens_is_good(project: Project) -> None:
    with serving(project.repo, tokens={"one": "ci", "two": ""}) as url:
        for token in ("one", "two"):
            reply = ask(url, token=token, repo=ORIGIN_URL, name="churn")

            assert reply.status_code == 200


def test_without_auth_no_token_is_asked_for(project: Project) -> None:
    with serving(project.repo, no_auth=True) as url:
        reply = ask(url, token=None, repo=ORIGIN_URL, name="churn")

    assert reply.status_code == 200


def test_health_is_told_to_everybody(server: str) -> None:
    reply = requests.get(f"{server}/healthz", timeout=TIMEOUT_S)

    assert (reply.status_code, reply.json()) == (200, {"status": "ok"})


def test_the_access_log_shows_who_did_what_and_no_secret(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(project.repo, tokens={TOKEN: "ci runner"}) as url:
        link = links(url, "churn", stage="prod")["models/churn.pkl"]
        fetch(link)
        fetch(f"{url}/x%0aGET%20/forged")

    lines = [
        record.getMessage()
        for record in caplog.records
        if record.name == "dvc.dvc_studio_models.server"
    ]
    # A line is written when its reply is out, so two may change places.
    by_path = {read_log(line)["path"]: read_log(line) for line in lines}
    asked = by_path[API]
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", asked.pop("time"))
    assert float(asked.pop("ms")) > 0
    assert asked == {
        "client": "127.0.0.1",
        "method": "GET",
        "path": API,
        "status": "200",
        "user": "ci runner",
        "repo": "models",
        "model": "churn#prod",
        "files": "1",
    }
    assert by_path[urlsplit(link).path]["status"] == "200"
    assert by_path["/x%0AGET%20/forged"]["status"] == "404"
    secrets = (TOKEN, "signature", link.partition("signature=")[2], "acme")
    assert not [secret for secret in secrets if secret in "".join(lines)]


# -- links and objects


def test_a_link_dies(project: Project) -> None:
    with serving(project.repo, expires_s=0) as url:
        link = links(url, "churn")["models/churn.pkl"]

        assert refusal(fetch(link)) == (403, "the link has expired")


@pytest.mark.parametrize(
    "damage",
    [
        lambda link: link.partition("?")[0],
        lambda link: link[:-1] + ("0" if link[-1] != "0" else "1"),
        lambda link: link.replace("expires=1", "expires=2"),
        lambda link: link.replace("expires=1", "expires=x1"),
        lambda link: link.partition("signature=")[0] + "signature=",
        lambda link: link.partition("signature=")[0] + "signature=%C3%A4",
        lambda link: link.replace("/objects/models/", "/objects/other/"),
        lambda link: link.replace("/storage/", "/other/"),
        lambda link: link.replace("/files/md5/", "/"),
    ],
    ids=[
        "unsigned",
        "signature",
        "expires",
        "no number",
        "empty",
        "not ASCII",
        "repo",
        "store",
        "object",
    ],
)
def test_a_link_that_was_changed_is_refused(server: str, damage) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    status, _ = refusal(fetch(damage(link)))

    assert status in {403, 404}
    assert fetch(link).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "files/md5/../../../repo/.git/config",
        "../repo/.git/config",
        "files/md5/38/c1b259dae2a03e2f6bf0ce9ab89384.dir",
        "files/md5/38",
        "secret",
    ],
)
def test_even_a_signed_link_leads_only_to_objects(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(signing.KEY_VARIABLE, "shared")
    (project.storage / "secret").write_text("secret")
    signer = signing.FolderSigner.from_environment()
    path = f"{signing.OBJECTS}/models/storage/{quote(name)}"
    link = f"{path}?expires=9999999999&signature={signer._mac(path, '9999999999')}"

    with (
        serving(project.repo) as url,
        socket.create_connection(
            (urlsplit(url).hostname, urlsplit(url).port)
        ) as connection,
    ):
        # Raw, since clients resolve the dots.
        head = f"GET {link} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        with connection.makefile() as file:
            reply = file.read()

    assert reply.startswith("HTTP/1.1 403 ")
    assert "the link is from another server" in reply


def test_a_symlink_does_not_lead_out_of_the_store(
    project: Project, own_server: str
) -> None:
    link = links(own_server, "churn")["models/churn.pkl"]
    stored = project.storage / urlsplit(link).path.partition("/storage/")[2]
    (project.root / "outside").write_text("secret")
    stored.unlink()
    stored.symlink_to(project.root / "outside")

    assert fetch(link).status_code == 404


def test_an_object_that_was_never_pushed_is_said_to_be_missing(
    project: Project, own_server: str
) -> None:
    link = links(own_server, "churn")["models/churn.pkl"]
    shutil.rmtree(project.storage / "files")

    name = urlsplit(link).path.partition("/storage/")[2]
    assert refusal(fetch(link)) == (
        404,
        f"object '{name}' is not on the DVC remote; was it pushed?",
    )


def test_a_folder_in_the_place_of_an_object_is_not_served(
    project: Project, own_server: str
) -> None:
    link = links(own_server, "churn")["models/churn.pkl"]
    stored = project.storage / urlsplit(link).path.partition("/storage/")[2]
    stored.unlink()
    stored.mkdir()

    assert fetch(link).status_code == 404


def test_a_shared_key_makes_links_good_at_every_server(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(signing.KEY_VARIABLE, "shared")
    with serving(project.repo) as one, serving(project.repo) as two:
        link = links(one, "churn")["models/churn.pkl"]

        assert fetch(link.replace(one, two)).content == CHURN["v2.0.0"]


def test_without_a_shared_key_links_are_good_at_one_server(project: Project) -> None:
    with serving(project.repo) as one, serving(project.repo) as two:
        link = links(one, "churn")["models/churn.pkl"]

        assert fetch(link.replace(one, two)).status_code == 403


@pytest.mark.parametrize(
    ("asked", "status", "got"),
    [
        ("bytes=10-19", 206, slice(10, 20)),
        ("bytes=379990-", 206, slice(379990, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=0-99999999", 206, slice(None)),
        ("bytes=380000-", 416, slice(0, 0)),
    ],
)
def test_a_range_of_an_object_is_served(
    server: str, asked: str, status: int, got: slice
) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    reply = fetch(link, Range=asked)

    assert (reply.status_code, reply.content) == (status, CHURN["v2.0.0"][got])


def test_the_etag_is_the_md5_of_the_content(server: str) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    assert fetch(link).headers["ETag"] == f'"{md5_of(CHURN["v2.0.0"])}"'


@pytest.mark.parametrize(
    ("wanted", "status"),
    [("*", 206), ("ETAG", 206), ('"x", ETAG', 206), ('"x"', 412), ("W/ETAG", 412)],
)
def test_if_match_keeps_a_resumed_download_from_mixing_objects(
    server: str, wanted: str, status: int
) -> None:
    link = links(server, "churn")["models/churn.pkl"]
    etag = fetch(link).headers["ETag"]

    reply = fetch(link, Range="bytes=0-9", If_Match=wanted.replace("ETAG", etag))

    assert reply.status_code == status


def test_if_range_of_another_object_gives_the_whole(server: str) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    reply = fetch(link, Range="bytes=0-9", If_Range='"x"')

    assert (reply.status_code, reply.content) == (200, CHURN["v2.0.0"])


# -- the programs that speak to Studio already


def test_dvc_studio_client_works_unchanged(server: str) -> None:
    config = {"url": server, "token": TOKEN, "repo_url": ORIGIN_URL}

    found = get_download_uris(
        ORIGIN_URL, "churn", stage="prod", dvc_studio_config=config
    )

    assert fetch(found["models/churn.pkl"]).content == CHURN["v2.0.0"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ({"name": "churn", "version": "v9.0.0"}, "version 'v9.0.0' is not registered"),
        ({"name": "nosuch"}, "model 'nosuch' is not registered"),
    ],
    ids=["version", "model"],
)
def test_dvc_studio_client_shows_what_the_server_says(
    server: str, query: dict[str, str], detail: str
) -> None:
    config = {"url": server, "token": TOKEN, "repo_url": ORIGIN_URL}

    with pytest.raises(ValueError, match=detail):
        get_download_uris(ORIGIN_URL, **query, dvc_studio_config=config)


def test_curl_works_as_in_studios_documentation(server: str, tmp_path: Path) -> None:
    def curl(*args: str) -> bytes:
        return subprocess.run(
            ["curl", "--silent", "--show-error", "--fail", *args],
            check=True,
            capture_output=True,
        ).stdout

    # The example of the documentation, with its -d options in the query.
    told = curl(
        *(f"{server}{API}", "--get", "--header", f"Authorization: token {TOKEN}"),
        *("--data-urlencode", f"repo={ORIGIN_URL}"),
        *("--data", "name=churn", "--data", "version=v1.0.0"),
    )
    link = json.loads(told)["models/churn.pkl"]
    curl("--output", str(tmp_path / "got"), "--range", "0-99", link)

    assert (tmp_path / "got").read_bytes() == CHURN["v1.0.0"][:100]


def test_dvc_artifacts_get_works_unchanged(server: str, tmp_path: Path) -> None:
    env = {**os.environ, "DVC_STUDIO_URL": server, "DVC_STUDIO_TOKEN": TOKEN}
    options = ("--rev", "v1.0.0", "--out", str(tmp_path / "out"))

    subprocess.run(
        [DVC, "artifacts", "get", ORIGIN_URL, "bert", *options], env=env, check=True
    )

    assert read_tree(tmp_path / "out/models/bert") == BERT["v1.0.0"]


# -- the command

OURS = ("-m", "dvc_studio_models")
WITHOUT_STARLETTE = """if True:
    import sys
    from dvc_studio_models.__main__ import main
    sys.modules["starlette"] = None
    sys.exit(main())
"""


@contextlib.contextmanager
def started(*args: str, token: str = TOKEN) -> Iterator[subprocess.Popen[str]]:
    """Run ``dvc-models`` as a process, and end it in any case."""
    process = subprocess.Popen(
        [sys.executable, *(() if args[0] == "-c" else OURS), *args],
        env={**os.environ, "DVC_STUDIO_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def outcome(*args: str, token: str = TOKEN) -> tuple[int, str]:
    """Run a command that ends at once; give its exit code and stderr."""
    with started(*args, token=token) as process:
        _, errors = process.communicate(timeout=TIMEOUT_S)
        return process.returncode, errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_the_command_says_where_it_serves_and_stops_when_told(
    project: Project, number: signal.Signals
) -> None:
    with started("--cd", str(project.repo), "serve", "--port", "0") as process:
        assert process.stdout
        said, url = process.stdout.readline().strip().rsplit(" ", 1)
        found = links(url, "churn")
        process.send_signal(number)
        rest, errors = process.communicate(timeout=TIMEOUT_S)

    assert said == "Serving 1 repo at"
    assert list(found) == ["models/churn.pkl"]
    assert (process.returncode, errors) == (0, "")
    (line,) = rest.splitlines()
    assert (read_log(line)["path"], read_log(line)["status"]) == (API, "200")


@pytest.mark.parametrize(
    "broken",
    [
        "[core\nremote",
        "secret_access_key hunter2\n",
        "[remote]\nx = hunter2\n",
        None,
    ],
    ids=["half a section", "no pair", "no name", "a folder"],
)
def test_a_config_that_cannot_be_read_is_told_without_what_it_says(
    project: Project, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    config = project.repo / ".dvc/config.local"
    if broken is None:
        config.mkdir()
    else:
        config.write_text(broken)

    with serving(project.repo) as url:
        refused = ask(url, repo=ORIGIN_URL, name="churn")

    assert refusal(refused) == (
        500,
        "the server's DVC config cannot be read; its log has details",
    )
    assert "cannot read the DVC config: " in caplog.text
    assert "hunter2" not in caplog.text


def test_a_mirror_of_another_user_is_served(project: Project) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (project.bare, *project.bare.rglob("*")):
        os.chown(path, 65534, 65534)

    with started("serve", str(project.bare), "--port", "0") as process:
        assert process.stdout
        url = process.stdout.readline().strip().rpartition(" ")[2]
        reply = ask(url, repo=str(project.bare), name="churn")

    assert list(reply.json()) == ["models/churn.pkl"]


def test_a_repo_that_libgit2_refuses_is_not_served(project: Project) -> None:
    git(project.bare, "config", "core.repositoryFormatVersion", "1")
    git(project.bare, "config", "extensions.fromTheFuture", "true")

    code, errors = outcome("serve", str(project.bare))

    assert code == 253
    assert f"cannot read the Git repository at '{project.bare}': " in errors


def test_a_repo_that_cannot_be_read_keeps_no_other_from_being_served(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = project.clone(
        tmp_path / "broken", origin="git@git.example.com:acme/broken"
    )
    (broken / ".git/packed-refs").write_bytes(b"\xff\n")

    with serving(project.repo, broken) as url:
        found = links(url, "churn")

    assert list(found) == ["models/churn.pkl"]
    assert "cannot read the repo 'broken'" in caplog.text


def test_a_port_that_is_taken_is_a_configuration_error(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, errors = outcome("serve", str(project.repo), "--port", port)

    assert code == 251
    assert f"cannot listen on '127.0.0.1:{port}': Address already in use" in errors


@pytest.mark.parametrize(
    ("option", "value", "bounds"),
    [
        pytest.param("--port", "65536", "0 to 65535", id="no port"),
        pytest.param("--expires", "0", "1 to 604800", id="no life"),
        pytest.param("--expires", "1h", "1 to 604800", id="no number"),
    ],
)
def test_a_number_out_of_bounds_is_told_with_them(
    project: Project, option: str, value: str, bounds: str
) -> None:
    code, errors = outcome("serve", str(project.repo), option, value)

    assert code == 254
    assert f"argument {option}: '{value}' is not a number from {bounds}\n" in errors


def test_without_a_token_nothing_is_served(project: Project) -> None:
    code, errors = outcome("serve", str(project.repo), token="")

    assert code == 251
    assert "DVC_STUDIO_TOKEN is not set" in errors


@pytest.mark.parametrize(
    ("path", "reason"), [("nothing", "not a folder"), (".", "not a Git repository")]
)
def test_what_is_no_git_repo_is_not_served(
    tmp_path: Path, path: str, reason: str
) -> None:
    code, errors = outcome("serve", str(tmp_path / path))

    assert code == 253
    assert f"is {reason}" in errors


def test_without_its_packages_the_command_says_how_to_install_them() -> None:
    code, errors = outcome("-c", WITHOUT_STARLETTE, "serve")

    assert code == 251
    assert "pip install 'dvc-studio-models[serve]'" in errors


@pytest.mark.parametrize(
    ("host", "options", "refused"),
    [
        ("127.0.0.1", {"no_auth": True}, False),
        ("127.8.9.1", {"no_auth": True}, False),
        ("::1", {"no_auth": True}, False),
        ("localhost", {"no_auth": True}, False),
        ("0.0.0.0", {}, True),
        ("10.0.0.1", {}, True),
        ("studio.example.com", {}, True),
        ("10.0.0.1", {"behind_proxy": True}, False),
        ("10.0.0.1", {"behind_proxy": True, "no_auth": True}, True),
        ("127.0.0.1", {"behind_proxy": True, "no_auth": True}, True),
        ("127.0.0.1", {"behind_proxy": True}, False),
    ],
)
def test_only_loopback_is_served_without_a_proxy_and_without_tokens(
    host: str, options: dict[str, bool], refused: bool
) -> None:
    flags = {"behind_proxy": False, "no_auth": False, **options}
    expected = pytest.raises(UsageError) if refused else contextlib.nullcontext()

    with expected:
        command.check_exposure(host, **flags)


def test_no_auth_behind_a_proxy_is_a_usage_error(project: Project) -> None:
    options = ("--no-auth", "--behind-proxy", "--port", "0")
    code, errors = outcome("serve", str(project.repo), *options)

    assert code == 254
    assert "'--no-auth' and '--behind-proxy' cannot be combined" in errors
    assert "Leave out '--no-auth', and require tokens" in errors


def test_tokens_are_read_one_a_line_with_their_owners(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# ours\n\none ci runner # nightly\n  two\nthree#x\n\t#four\n")

    assert command.read_tokens(file) == {"one": "ci runner", "two": "", "three#x": ""}


def test_a_token_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("secret ada\n", encoding="utf-8-sig")

    assert command.choose_tokens(str(file), no_auth=False) == {"secret": "ada"}


@pytest.mark.parametrize("token", ["größe", "\udcff", "two words", "a\x7f"])
def test_a_token_that_cannot_be_sent_is_refused(
    monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("DVC_STUDIO_TOKEN", token)

    with pytest.raises(StudioConfigError) as refused:
        command.choose_tokens(None, no_auth=False)

    assert "DVC_STUDIO_TOKEN contains a token that cannot be sent" in str(refused.value)
    assert token not in str(refused.value)


def test_a_signing_key_may_be_any_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(signing.KEY_VARIABLE, "\udcff\udcfe")

    signing.FolderSigner.from_environment()


@pytest.mark.parametrize("content", [None, b"\xff", b"# nobody\n"])
def test_a_token_file_without_tokens_is_refused(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "tokens"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(StudioConfigError, match=str(file)):
        command.choose_tokens(str(file), no_auth=False)


def test_a_token_file_and_no_auth_exclude_each_other() -> None:
    with pytest.raises(UsageError):
        command.choose_tokens("tokens", no_auth=True)


def test_a_repo_must_be_named_or_be_here() -> None:
    with pytest.raises(UsageError), serving():
        pass


def test_a_reply_does_not_wait_for_more_to_send() -> None:
    with service.listen("127.0.0.1", 0) as listener:
        no_delay = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

    assert no_delay == 1
