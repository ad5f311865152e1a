"""Signed links to the objects of local folders."""

from __future__ import annotations

import shutil
import socket
from urllib.parse import quote, urlsplit

import pytest
import requests
from projects import (
    CHURN,
    Project,
    serving,
)

from dvc_studio_models.server.links import local as signing
from dvc_studio_models.server.links.signing_key import KEY_VARIABLE
from tests.server.api import (
    TIMEOUT_S,
    fetch,
    links,
    md5_of,
    refusal,
)


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
    monkeypatch.setenv(KEY_VARIABLE, "shared" * 6)
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
    monkeypatch.setenv(KEY_VARIABLE, "shared" * 6)
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


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes", "bytes=", "bytes=-", "bytes=x-y", "bytes=5", "bytes=9-3"),
        *("pages=1-2", "bytes=0-1,x", "bytes=0x0-5", "bytes=\u0661-\u0662", "=0-1"),
        *("bytes 0-5", "bytes=--5", "bytes=0-5;q=1", "bytes=+1-5", "bytes=0-,1"),
        "bytes=" + ",".join(f"{at}-{at}" for at in range(101)),
        "bytes=" + "9" * 5000 + "-",
    ],
    ids=lambda asked: asked[:20].encode("ascii", "replace").decode(),
)
def test_a_malformed_range_is_ignored(server: str, asked: str) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    reply = requests.get(link, headers={"Range": asked.encode()}, timeout=TIMEOUT_S)

    assert (reply.status_code, reply.content) == (200, CHURN["v2.0.0"])


def test_several_ranges_are_sent_in_one_reply(server: str) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    reply = fetch(link, Range="bytes=0-4, ,10-14,999999-")

    assert reply.status_code == 206
    parts = reply.content.split(b"\r\n\r\n")
    whole = CHURN["v2.0.0"]
    wanted = [whole[:5], whole[10:15]]
    assert len(parts) == 3
    assert [part[: len(w)] for part, w in zip(parts[1:], wanted, strict=True)] == wanted


@pytest.mark.parametrize("asked", ["bytes=380000-", "bytes=-0", "bytes=380000-,-0"])
def test_a_range_behind_the_end_is_refused_with_the_size(
    server: str, asked: str
) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    reply = fetch(link, Range=asked)

    assert refusal(reply) == (
        416,
        "the object has 380000 bytes, and none of this range",
    )
    assert reply.headers["Content-Range"] == "bytes */380000"


def test_if_range_of_another_object_also_ignores_a_range_behind_the_end(
    server: str,
) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    assert fetch(link, Range="bytes=380000-", If_Range='"x"').status_code == 200
    etag = fetch(link).headers["ETag"]
    for known in (etag, fetch(link).headers["Last-Modified"]):
        assert fetch(link, Range="bytes=0-9", If_Range=known).status_code == 206
    weak = fetch(link, Range="bytes=0-9", If_Range=f"W/{etag}")
    assert weak.status_code == 200


def test_an_empty_object_has_no_ranges(server: str) -> None:
    link = links(server, "bert")["models/bert/empty.txt"]

    for asked in ("bytes=0-", "bytes=0-0", "bytes=-5"):
        reply = fetch(link, Range=asked)
        assert (reply.status_code, reply.content) == (200, b"")


def test_a_head_request_has_the_size_and_ignores_a_range(server: str) -> None:
    link = links(server, "churn")["models/churn.pkl"]

    reply = requests.head(link, headers={"Range": "bytes=0-9"}, timeout=TIMEOUT_S)

    assert (reply.status_code, reply.headers["Content-Length"]) == (200, "380000")


@pytest.mark.parametrize("known", ["ETAG", "W/ETAG", '"x", ETAG', "*"])
def test_an_object_that_the_client_has_is_not_sent_again(
    server: str, known: str
) -> None:
    link = links(server, "churn")["models/churn.pkl"]
    etag = fetch(link).headers["ETag"]

    reply = fetch(link, If_None_Match=known.replace("ETAG", etag), Range="bytes=0-9")

    assert (reply.status_code, reply.content) == (304, b"")
    assert reply.headers["ETag"] == etag
    assert fetch(link, If_None_Match='"x"').status_code == 200
