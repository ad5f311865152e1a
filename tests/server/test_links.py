"""Links to stores whose service accepts signed links, made without such a service.

That the services accept them is shown by ``e2e/test_stores.py``.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from needs import need_package
from projects import ORIGIN_URL, TOKEN, Project, copy_project, git, serving
from servers import free_port

from dvc_studio_models.server.errors.remotes import (
    SigningError,
)
from dvc_studio_models.server.links import clouds
from dvc_studio_models.server.links.clouds import CloudSigner, PlainSigner
from dvc_studio_models.server.stores.places import Place
from dvc_studio_models.server.stores.remotes import Store
from dvc_studio_models.server.waiting.slow_calls import SlowCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from servers import FileServer

# s3fs and adlfs leave their connections to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

TIMEOUT_S = 20
MD5 = "a" * 30
OBJECTS = [f"files/md5/{number:02x}/{MD5}" for number in range(40)]
SECRET = "c2VjcmV0LWtleQ=="

S3_KEYS = {"access_key_id": "KEY", "secret_access_key": SECRET}
S3 = {
    "version 2 at AWS": {"region": "us-east-1"},
    "version 2 elsewhere": {"region": "us-east-1", "endpointurl": "http://h:9"},
    "version 4 at AWS": {"region": "eu-central-1"},
    "version 4 elsewhere": {"region": "any", "endpointurl": "https://minio.corp/x"},
    "version 2, temporary": {"region": "us-east-1", "session_token": "To/k+en="},
    "version 4, temporary": {"region": "eu-south-2", "session_token": "To/k+en="},
}
AZURE = {
    "account": {"account_name": "acme", "account_key": SECRET},
    "connection": {
        "connection_string": "DefaultEndpointsProtocol=http;AccountName=acme;"
        f"AccountKey={SECRET};BlobEndpoint=http://127.0.0.1:9/acme;"
    },
}


@pytest.fixture(scope="module", autouse=True)
def _collect_garbage() -> Iterator[None]:
    """Remove what other tests could find."""
    yield
    gc.collect()


def open_store(protocol: str, path: str, **settings: Any) -> Store:
    """Open a remote as DVC does."""
    from dvc.data_cloud import Remote
    from dvc.fs import get_fs_cls

    fs = get_fs_cls({}, cls=None, scheme=protocol)(**settings)
    place = Place.of_remote(protocol, path, settings)
    return Store("repo", "", "storage", protocol, place, Remote("storage", path, fs))


def at_one_time(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
    """Call both within one second, since links hold the time."""
    for _ in range(20):
        begun = int(time.time())
        both = one(), other()
        if int(time.time()) == begun:
            return both
    pytest.fail("this machine is too slow to sign 80 links in a second")


# -- many links


@pytest.mark.parametrize("settings", S3.values(), ids=S3)
@pytest.mark.parametrize("folder", ["bucket/a b/c", "bucket", "with.dots/x"])
def test_links_to_s3_made_fast_are_those_of_fsspec(
    settings: dict[str, str], folder: str
) -> None:
    need_package("dvc_s3")
    fs = open_store("s3", folder, **S3_KEYS, **settings).remote.fs.fs

    def slow() -> list[str]:
        return [fs.sign(f"{folder}/{name}", expiration=60) for name in OBJECTS]

    def fast() -> list[str]:
        link = fs.sign(f"{folder}/{OBJECTS[0]}", expiration=60)
        return list(map(clouds.like_s3(fs, folder, OBJECTS[0], link), OBJECTS))

    expected, actual = at_one_time(slow, fast)

    assert actual == expected
    assert len(set(actual)) == len(OBJECTS)


@pytest.mark.parametrize("settings", AZURE.values(), ids=AZURE)
@pytest.mark.parametrize("folder", ["container/a b/c", "container"])
def test_links_to_azure_made_fast_are_those_of_fsspec(
    settings: dict[str, str], folder: str
) -> None:
    need_package("dvc_azure")
    fs = open_store("azure", folder, **settings).remote.fs.fs

    def slow() -> list[str]:
        return [fs.sign(f"{folder}/{name}", expiration=60) for name in OBJECTS]

    def fast() -> list[str]:
        link = fs.sign(f"{folder}/{OBJECTS[0]}", expiration=60)
        return list(map(clouds.like_azure(fs, folder, OBJECTS[0], link), OBJECTS))

    expected, actual = at_one_time(slow, fast)

    assert actual == expected
    assert len(set(actual)) == len(OBJECTS)


def test_all_links_of_one_second_are_made_in_one_way_and_no_others() -> None:
    need_package("dvc_s3")
    store = open_store("s3", "bucket", region="eu-central-1", **S3_KEYS)
    looked = []

    def fast(*args: Any) -> Callable[[str], str]:
        looked.append(args)
        return clouds.like_s3(*args)

    signer = CloudSigner("", fast)
    for _ in range(20):
        looked.clear()
        time.sleep(1 - time.time() % 1)
        begun = int(time.time())
        one, other = (
            signer.sign(store, [name], base_url="", expires_s=60)[0]
            for name in OBJECTS[:2]
        )
        makers = [signer.link_maker(store, base_url="", expires_s=s) for s in (60, 9)]
        if int(time.time()) == begun:
            break
    time.sleep(1)
    late = signer.link_maker(store, base_url="", expires_s=60)
    (later,) = signer.sign(store, OBJECTS[:1], base_url="", expires_s=60)

    assert [make and make(OBJECTS[1]) for make in makers] == [other, None]
    assert late is None
    assert len(looked) == 2
    dates = [
        parse_qs(urlsplit(link).query)["X-Amz-Date"] for link in (one, other, later)
    ]
    assert dates[0] == dates[1] != dates[2]
    assert OBJECTS[1] in other


def wrong(*_: object) -> Callable[[str], str]:
    return lambda name: f"https://elsewhere/{name}"


def broken(*_: object) -> Callable[[str], str]:
    msg = "another release of s3fs"
    raise AttributeError(msg)


@pytest.mark.parametrize("fast", [wrong, broken, None])
def test_a_fast_way_that_is_not_fsspecs_is_not_gone(fast: Any) -> None:
    need_package("dvc_s3")
    store = open_store("s3", "bucket", region="eu-central-1", **S3_KEYS)
    options = {"base_url": "", "expires_s": 60}

    expected, actual = at_one_time(
        lambda: CloudSigner("", clouds.like_s3).sign(store, OBJECTS, **options),
        lambda: CloudSigner("", fast).sign(store, OBJECTS, **options),
    )

    assert actual == expected


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("s3", {**S3_KEYS, "region": "us-east-1"}),
        ("s3", {**S3_KEYS, "region": "eu-central-1"}),
        ("azure", AZURE["account"]),
    ],
)
def test_ten_thousand_links_take_a_moment(
    protocol: str, settings: dict[str, str]
) -> None:
    need_package(f"dvc_{protocol}")
    store = open_store(protocol, "place", **settings)
    names = [f"files/md5/{number % 256:02x}/{number:030x}" for number in range(10_000)]
    signer = clouds.SIGNERS[protocol]
    signer.sign(store, names[:1], base_url="", expires_s=60)

    begun = time.process_time()
    links = signer.sign(store, names, base_url="", expires_s=60)

    assert time.process_time() - begun < 2  # 0.1 to 0.7; fsspec needs 6 to 15
    assert len(set(links)) == len(names)


# -- what cannot be signed


@pytest.mark.parametrize(
    ("protocol", "settings"),
    [
        ("s3", {"region": "us-east-1"}),
        ("azure", {"account_name": "acme", "sas_token": "sv=1&sig=SECRET"}),
        ("azure", {"account_name": "acme", "allow_anonymous_login": True}),
        ("azure", {}),
    ],
    ids=[
        "S3 without a key",
        "Azure with a signature",
        "Azure for everybody",
        "Azure without an account",
    ],
)
def test_credentials_that_cannot_sign_are_told(
    monkeypatch: pytest.MonkeyPatch, protocol: str, settings: dict[str, Any]
) -> None:
    need_package(f"dvc_{protocol}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = open_store(protocol, "place", **settings)

    with pytest.raises(SigningError) as told:
        clouds.SIGNERS[protocol].sign(store, OBJECTS, base_url="", expires_s=60)

    assert "cannot sign links for the DVC remote 'storage'" in str(told.value)
    assert "SECRET" not in str(told.value)


# -- the server


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@contextlib.contextmanager
def opened(project: Project, *lines: str, **options: Any) -> Iterator[str]:
    """Serve the project from a remote with these settings, which the operator made."""
    settings = "".join(f"    {line}\n" for line in lines)
    config = f"[core]\n    remote = storage\n['remote \"storage\"']\n{settings}"
    (project.repo / ".dvc" / "config").unlink()
    (project.repo / ".dvc" / "config.local").write_text(config)
    with serving(project.repo, **options) as url:
        yield url


def request(url: str, name: str) -> tuple[int, Any]:
    """Ask a server for a model."""
    reply = requests.get(
        f"{url}/api/model-registry/get-download-uris",
        params={"repo": ORIGIN_URL, "name": name},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )
    return reply.status_code, reply.json()


def ask(project: Project, *lines: str, name: str = "churn") -> tuple[int, Any]:
    """Serve the project from a remote with these settings, and request a model."""
    with opened(project, *lines) as url:
        return request(url, name)


def test_the_keys_may_come_from_the_environment(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROM-ENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    status, links = ask(project, "url = s3://bucket/folder", "region = eu-central-1")

    query = parse_qs(urlsplit(links["models/churn.pkl"]).query)
    assert status == 200
    assert query["X-Amz-Credential"][0].startswith("FROM-ENV/")
    assert query["X-Amz-Expires"] == ["3600"]
    assert SECRET not in links["models/churn.pkl"]


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("http://h:8/a", "http://h:8/a/files/md5/"),
        ("https://h/a%20b/", "https://h/a%20b/files/md5/"),
        ("https://h/a b", "https://h/a%20b/files/md5/"),
        ("https://h", "https://h/files/md5/"),
    ],
)
def test_a_link_to_plain_http_is_the_objects_address(
    project: Project, url: str, start: str
) -> None:
    status, links = ask(project, f"url = {url}")

    assert status == 200
    assert links["models/churn.pkl"].startswith(start)
    assert "?" not in links["models/churn.pkl"]


@pytest.mark.parametrize(
    "settings",
    [
        ("url = https://user:SECRET@h/a",),
        ("url = https://h/a", "auth = basic", "user = u", "password = SECRET"),
        ("url = https://h/a", "auth = basic", "user = u", "ask_password = true"),
        (
            "url = https://h/a",
            "auth = custom",
            "custom_auth_header = X",
            "password = p",
        ),
    ],
    ids=["in the URL", "basic", "asked for", "custom"],
)
def test_a_password_of_an_http_remote_stays_on_the_server(
    project: Project, settings: tuple[str, ...]
) -> None:
    status, answer = ask(project, *settings)

    assert status == 500
    assert answer["detail"] == (
        "the DVC remote 'storage' is of type 'https' and needs a password, which a "
        "link cannot contain; serve from a remote without one"
    )


def test_a_remote_whose_package_is_missing_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dvc_gs", None)  # as Python treats what is not

    status, answer = ask(project, "url = gs://bucket/folder")

    assert status == 500
    assert "run pip install 'dvc[gs]' there" in answer["detail"]


def test_credentials_that_cannot_sign_are_told_to_the_client(project: Project) -> None:
    need_package("dvc_azure")
    settings = (
        "url = azure://c/folder",
        "account_name = acme",
        "sas_token = sig=SECRET",
    )

    status, answer = ask(project, *settings)

    assert status == 500
    assert answer["detail"] == (
        "cannot sign links for the DVC remote 'storage': this server needs an "
        "account's key ('account_key', or in 'connection_string')"
    )


def test_credentials_that_are_slow_to_come_do_not_keep_the_server_from_starting(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package("dvc_s3")
    come = tmp_path / "come"
    found = {"Version": 1, "AccessKeyId": "LATE", "SecretAccessKey": SECRET}
    script = tmp_path / "credentials"
    script.write_text(
        f"#!/bin/sh\nwhile [ ! -e {come} ]; do sleep 0.1; done\n"
        f"echo '{json.dumps(found)}'\n"
    )
    script.chmod(0o755)
    config = tmp_path / "aws"
    config.write_text(f"[default]\ncredential_process = {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    timer = threading.Timer(TIMEOUT_S, come.touch)
    timer.start()

    with opened(project, "url = s3://bucket/folder", "region = eu-central-1") as url:
        healthy = requests.get(f"{url}/healthz", timeout=TIMEOUT_S)
        started_before = not come.exists()
        come.touch()
        status, links = request(url, "churn")
    timer.cancel()

    assert healthy.status_code == status == 200
    assert started_before
    assert "LATE" in links["models/churn.pkl"]


@pytest.mark.clock
def test_a_store_that_is_silent_when_links_are_signed_keeps_nobody_waiting(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    keys = (f"{key} = {value}" for key, value in S3_KEYS.items())

    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", host)  # for the bucket's region
        slow_calls = functools.partial(SlowCalls, seconds=1)
        with opened(project, "url = s3://b/f", *keys, slow_calls=slow_calls) as url:
            status, answer = request(url, "churn")

    assert status == 504
    assert answer["detail"].startswith("the DVC remote has not answered within")
    for thread in threading.enumerate():
        if "(_run)" in thread.name:  # it goes on, until it sees that the store is down
            thread.join(TIMEOUT_S)


@pytest.fixture
def nobody() -> str:
    """The URL of a server that is down."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize("name", ["churn", "bert"])
def test_an_s3_that_is_down_is_told_and_not_taken_for_a_missing_key(
    project: Project, monkeypatch: pytest.MonkeyPatch, nobody: str, name: str
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_ENDPOINT_URL", nobody)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    keys = (f"{key} = {value}" for key, value in S3_KEYS.items())

    status, answer = ask(project, "url = s3://bucket/folder", *keys, name=name)

    assert status == 502
    assert answer["detail"].startswith("the DVC remote 'storage' cannot be read: ")


def test_a_plain_http_remote_that_is_down_is_told_and_not_taken_for_an_empty_one(
    project: Project, nobody: str
) -> None:
    status, answer = ask(project, f"url = {nobody}", name="bert")

    assert status == 502
    assert answer["detail"].startswith("the DVC remote 'storage' cannot be read: ")


def test_a_listing_that_a_plain_http_remote_has_not_is_told(
    project: Project, file_server: FileServer
) -> None:
    status, answer = ask(project, f"url = {file_server.origin()}", name="bert")

    assert status == 404
    assert answer["detail"].endswith("is not on the DVC remote; was it pushed?")


def test_a_listing_that_cannot_be_read_is_told_with_the_reason(
    project: Project,
) -> None:
    for listing in project.storage.rglob("*.dir"):
        listing.unlink()
        listing.mkdir()

    status, answer = ask(project, "url = ../../storage", name="bert")

    assert status == 502
    assert answer["detail"] == "the DVC remote 'storage' cannot be read: Is a directory"


def test_files_of_one_model_may_lie_on_several_remotes(project: Project) -> None:
    file = project.repo / "models/churn.pkl.dvc"
    file.write_text(f"{file.read_text().rstrip()}\n  remote: other\n")
    annotations = b"artifacts:\n  all:\n    path: models\n"
    (project.repo / "dvc.yaml").write_bytes(annotations)
    git(project.repo, "add", "--all")
    git(project.repo, "commit", "--quiet", "--message", "Move one file")
    project.tag("all@v1.0.0")
    other = "['remote \"other\"']\n    url = https://other/folder"

    status, links = ask(project, "url = ../../storage\n" + other, name="all")

    assert status == 200
    assert links.pop("models/churn.pkl").startswith("https://other/folder/files/")
    assert len(links) > 1
    assert all("/objects/models/storage/" in link for link in links.values())


# -- cloud-versioned remotes


def record_version(project: Project, remote: str) -> None:
    """Record in DVC's file of churn the version of the object on a remote."""
    file = project.repo / "models/churn.pkl.dvc"
    cloud = f"  cloud:\n    {remote}:\n      etag: abc\n      version_id: V/1+x\n"
    file.write_text(f"{file.read_text().rstrip()}\n{cloud}")
    git(project.repo, "commit", "--quiet", "--all", "--message", "Push")
    project.tag("churn@v3.0.0")


@pytest.mark.parametrize("kind", ["version_aware", "worktree"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_a_link_to_a_cloud_versioned_s3_names_path_and_version(
    project: Project, monkeypatch: pytest.MonkeyPatch, kind: str, region: str
) -> None:
    need_package("dvc_s3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    record_version(project, "storage")

    status, links = ask(
        project, "url = s3://bucket/a", f"region = {region}", f"{kind} = true"
    )

    parts = urlsplit(links["models/churn.pkl"])
    assert status == 200
    assert parts.path.endswith("/a/models/churn.pkl")
    assert parse_qs(parts.query)["versionId"] == ["V/1+x"]


def test_a_version_on_another_remote_is_none_on_this(project: Project) -> None:
    need_package("dvc_s3")
    record_version(project, "other")

    status, answer = ask(project, "url = s3://bucket/a", "version_aware = true")

    assert status == 404
    assert "Git does not record the version of 'models/churn.pkl'" in answer["detail"]


def test_a_cloud_versioned_remote_that_cannot_be_signed_is_told(
    project: Project,
) -> None:
    need_package("dvc_azure")
    record_version(project, "storage")

    status, answer = ask(project, "url = azure://c/a", "version_aware = true")

    assert status == 500
    assert answer["detail"] == (
        "the DVC remote 'storage' of type 'azure' is cloud-versioned, and this server "
        "can sign links to versions only for: s3"
    )


def test_a_directory_that_git_lists_needs_no_listing_on_the_remote(
    project: Project,
) -> None:
    md5 = "0123456789abcdef0123456789abcdef"
    files = f"  files:\n  - relpath: a/b\n    md5: {md5}\n    size: 3\n"
    (project.repo / "m.dvc").write_text(f"outs:\n- path: m\n  hash: md5\n{files}")
    (project.repo / "dvc.yaml").write_text("artifacts:\n  m:\n    path: m\n")
    git(project.repo, "add", "--all")
    git(project.repo, "commit", "--quiet", "--message", "List")
    project.tag("m@v1.0.0")

    status, links = ask(project, "url = https://h/x", name="m")

    assert status == 200
    assert links == {"m/a/b": f"https://h/x/files/md5/{md5[:2]}/{md5[2:]}"}


# -- Google Cloud, whose service does not run here


def test_links_to_google_cloud_are_signed_with_the_service_accounts_key(
    tmp_path: Path,
) -> None:
    need_package("dvc_gs")
    import base64

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "client_email": "studio@acme.iam.gserviceaccount.com",
        "private_key": pem.decode(),
        "private_key_id": "1",
        "project_id": "acme",
        "token_uri": "http://127.0.0.1:9/token",
    }
    (tmp_path / "account.json").write_text(json.dumps(account))
    store = open_store("gs", "bucket/x", credentialpath=str(tmp_path / "account.json"))

    (link,) = clouds.SIGNERS["gs"].sign(store, OBJECTS[:1], base_url="", expires_s=60)

    parts = urlsplit(link)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert parts.path == f"/bucket/x/{OBJECTS[0]}"
    assert query["GoogleAccessId"] == account["client_email"]
    assert 0 < int(query["Expires"]) - time.time() <= 61
    key.public_key().verify(
        base64.b64decode(query["Signature"]),
        f"GET\n\n\n{query['Expires']}\n{parts.path}".encode(),
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def test_a_plain_link_needs_no_signature() -> None:
    store = open_store("https", "https://h/folder")

    links = PlainSigner().sign(store, OBJECTS[:2], base_url="", expires_s=1)

    assert links == [f"https://h/folder/{name}" for name in OBJECTS[:2]]
