"""A request for a model is answered with links to its files."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from projects import (
    BERT,
    CHURN,
    FRAUD,
    ORIGIN_URL,
    TOKEN,
    Project,
    age,
    commit_all,
    git,
    init_project,
    serving,
    track,
    write,
)

from tests.server.api import (
    API,
    TIMEOUT_S,
    annotate,
    ask,
    fetch,
    links,
    md5_of,
)

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize("query", [{}, {"stage": "prod"}, {"version": "v2.0.0"}])
def test_a_reply_states_the_version_and_its_commit(
    project: Project, server: str, query: dict[str, str]
) -> None:
    for _ in range(2):  # the second reply is a cached one
        headers = ask(server, repo=ORIGIN_URL, name="churn", **query).headers

        assert headers["X-Model-Version"] == "v2.0.0"
        assert headers["X-Model-Commit"] == project.commit("churn@v2.0.0")


def test_a_stage_at_a_commit_without_a_version_states_the_commit_alone(
    project: Project, own_server: str
) -> None:
    git(project.repo, "commit", "--quiet", "--allow-empty", "--message", "no version")
    project.tag("churn#dev#9", "HEAD")

    headers = ask(own_server, repo=ORIGIN_URL, name="churn", stage="dev").headers

    assert headers["X-Model-Commit"] == project.commit("HEAD")
    assert "X-Model-Version" not in headers


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
    age(project.repo)  # now answers are cached
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
