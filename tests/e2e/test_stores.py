"""From ``dvc push`` to ``dvc models pull`` with real storage that verifies signatures.

It covers both signature versions of S3, Azure, and plain http; see ``stores``.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import random
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
import requests
import stores
from projects import (
    BERT,
    CHURN,
    ORIGIN_URL,
    TOKEN,
    copy_project,
    git,
    read_tree,
    serving,
    serving_config,
    write,
)
from servers import StudioServer, free_port
from stores import (
    S3,
    Azure,
    Http,
    Registry,
    Team,
    Tls,
    azurite,
    http_store,
    localstack,
    nginx,
    nginx_server,
    proxy,
)

from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
    known_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import RunDvc

pytestmark = pytest.mark.slow

TIMEOUT_S = 20
LARGE = random.Random(0).randbytes(40 << 20)  # a pull asks for three ranges of it
KINDS = {
    "S3, version 2": ("s3", {"region": "us-east-1"}, "?AWSAccessKeyId=test&Signature="),
    "S3, version 4": ("s3", {"region": "eu-central-1"}, "&X-Amz-Signature="),
    "Azure": ("azure", {}, "&sig="),
    "http": ("http", {}, ""),
}
SIGNED = [name for name in KINDS if name != "http"]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with localstack(tmp_path_factory.mktemp("s3")) as store:
        yield store


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    with azurite(tmp_path_factory.mktemp("azure")) as store:
        yield store


@pytest.fixture(scope="session")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    with http_store(tmp_path_factory.mktemp("http")) as store:
        yield store


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls.make(tmp_path_factory.mktemp("tls"))


@dataclass(frozen=True)
class Kind:
    """A kind of storage, with a served project on it."""

    name: str
    store: S3 | Azure | Http
    team: Team
    registry: Registry


@pytest.fixture(scope="session")
def kinds(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Kind]]:
    """Return a kind by its name; it is created once for all tests."""
    with contextlib.ExitStack() as stack:

        @functools.cache
        def make(name: str) -> Kind:
            fixture, options, _ = KINDS[name]
            store = request.getfixturevalue(fixture)
            place = store.new_place(**options)
            team = Team.create(tmp_path_factory.mktemp("team") / "own", place)
            team.train("large", {"": LARGE})
            team.push("--all-tags")
            team.train("lost", {"": b"never pushed"})
            team.train("gone", {"file": b"never pushed either"})
            if name == "S3, version 2":  # only for those who choose it
                config = b"[default]\ns3 =\n    signature_version = s3\n"
                write(team.home, {"aws-config": config})
            registry = stack.enter_context(team.serving())
            return Kind(name, store, team, registry)

        yield make


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, kinds: Callable[[str], Kind]) -> Kind:
    """Each kind of storage, one after another."""
    return kinds(request.param)


@pytest.fixture(params=SIGNED)
def signed_kind(request: pytest.FixtureRequest, kinds: Callable[[str], Kind]) -> Kind:
    """Each kind of storage with signed links."""
    return kinds(request.param)


@pytest.fixture(params=["S3, version 4", "Azure"])
def cloud(request: pytest.FixtureRequest, kinds: Callable[[str], Kind]) -> Kind:
    """Each cloud once."""
    return kinds(request.param)


def links(
    url: str, model: str, *, token: str = stores.TOKEN, ca: Path | None = None
) -> dict[str, str]:
    """Request links from a server, as curl does."""
    reply = requests.get(
        f"{url}/api/model-registry/get-download-uris",
        params={"repo": ORIGIN_URL, "name": model},
        headers={"Authorization": f"token {token}"},
        verify=str(ca) if ca else True,
        timeout=TIMEOUT_S,
    )
    assert reply.status_code == 200, reply.text
    return reply.json()


def fetch(link: str) -> requests.Response:
    return requests.get(link, timeout=TIMEOUT_S)


# -- every kind of store


def test_a_file_is_pulled_through_the_links_of_its_store(
    run_dvc: RunDvc, kind: Kind, tmp_path: Path
) -> None:
    clone = kind.team.project.clone(tmp_path / "clone")

    done = run_dvc("models", "pull", "churn", cwd=clone, env=kind.registry.environ)

    assert (done.returncode, done.stderr) == (0, "")
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert "verified against Git" in done.stdout


def test_a_directory_is_pulled_whole(
    run_dvc: RunDvc, kind: Kind, tmp_path: Path
) -> None:
    clone = kind.team.project.clone(tmp_path / "clone")

    done = run_dvc(
        "models", "pull", "bert@v1.0.0", cwd=clone, env=kind.registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "models/bert") == BERT["v1.0.0"]


def test_a_link_leads_to_the_store_itself_and_shows_no_secret(kind: Kind) -> None:
    (link,) = links(kind.registry.url, "churn").values()

    md5 = hashlib.md5(CHURN["v2.0.0"]).hexdigest()
    address, _, query = link.partition("?")
    signature = KINDS[kind.name][2]
    assert address.startswith(f"{kind.store.url}/")
    assert address.endswith(f"/files/md5/{md5[:2]}/{md5[2:]}")
    assert signature in link
    assert bool(signature) == bool(query)
    assert not [secret for secret in kind.team.place.planted if secret in unquote(link)]
    assert fetch(link).content == CHURN["v2.0.0"]


def test_dvc_artifacts_get_works_through_the_same_links(
    run_dvc: RunDvc, cloud: Kind, tmp_path: Path
) -> None:
    options = ("--rev", "v1.0.0", "--out", tmp_path / "out")

    done = run_dvc(
        *("artifacts", "get", ORIGIN_URL, "churn", *options), env=cloud.registry.environ
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/models/churn.pkl").read_bytes() == CHURN["v1.0.0"]


def test_a_file_that_was_never_pushed_is_told(
    run_dvc: RunDvc, kind: Kind, tmp_path: Path
) -> None:
    clone = kind.team.project.clone(tmp_path / "clone")

    done = run_dvc("models", "pull", "lost", cwd=clone, env=kind.registry.environ)

    assert done.returncode == 5
    assert "it is not in storage; was it pushed with 'dvc push'?" in done.stderr
    assert not (clone / "models/lost").exists()


def test_a_server_that_looks_for_objects_tells_of_those_that_are_not_there(
    run_dvc: RunDvc, kind: Kind, tmp_path: Path
) -> None:
    clone = kind.team.project.clone(tmp_path / "clone")

    with kind.team.serving("--verify-objects") as registry:
        lost = run_dvc("models", "pull", "lost", cwd=clone, env=registry.environ)
        there = run_dvc(
            "models", "pull", "churn", "bert", cwd=clone, env=registry.environ
        )

    assert lost.returncode == 4
    assert "1 of 1 files are not on the DVC remote; run 'dvc push' " in lost.stderr
    assert there.returncode == 0, there.stderr
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


def test_a_directory_that_was_never_pushed_is_told(
    run_dvc: RunDvc, kind: Kind, tmp_path: Path
) -> None:
    clone = kind.team.project.clone(tmp_path / "clone")

    done = run_dvc("models", "pull", "gone", cwd=clone, env=kind.registry.environ)

    assert done.returncode == 4
    assert "the file list of 'models/gone' is not on the DVC remote" in done.stderr


# -- a store that keeps every version of a file, at the file's own path


@pytest.fixture(scope="session", params=["us-east-1", "eu-central-1"])
def versioned(
    request: pytest.FixtureRequest, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Team:
    """A project on a cloud-versioned S3 remote; ``late`` is not pushed."""
    place = s3.new_place(region=request.param, versioned=True)
    team = Team.create(tmp_path_factory.mktemp("team") / "own", place, push=True)
    team.train("late", {"": b"not pushed"})
    return team


@pytest.mark.parametrize("version", ["v1.0.0", "v2.0.0"])
@pytest.mark.parametrize("options", [(), ("--verify-objects",)], ids=["", "verify"])
def test_each_version_is_pulled_from_a_cloud_versioned_store(
    run_dvc: RunDvc, versioned: Team, tmp_path: Path, version: str, options: tuple[str]
) -> None:
    clone = versioned.project.clone(tmp_path / "clone")
    names = (f"churn@{version}", f"bert@{version}")

    with versioned.serving(*options) as registry:
        (link,) = links(registry.url, "churn").values()
        done = run_dvc("models", "pull", *names, cwd=clone, env=registry.environ)

    assert "/some/folder/models/churn.pkl?" in link
    assert "versionId=" in link
    assert fetch(link).content == CHURN["v2.0.0"]
    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN[version]
    assert read_tree(clone / "models/bert") == BERT[version]
    assert "verified against Git" in done.stdout


def test_a_version_that_git_does_not_know_of_is_told(
    run_dvc: RunDvc, versioned: Team, tmp_path: Path
) -> None:
    clone = versioned.project.clone(tmp_path / "clone")

    with versioned.serving() as registry:
        done = run_dvc("models", "pull", "late", cwd=clone, env=registry.environ)

    assert done.returncode == 4
    assert (
        "Git does not record the version of 'models/late' on the cloud-versioned DVC "
        "remote 'store'; run 'dvc push', commit, and register that"
    ) in " ".join(done.stderr.split())


# -- signatures


@pytest.mark.clock
def test_a_pull_outlives_its_links(
    run_dvc: RunDvc, signed_kind: Kind, tmp_path: Path
) -> None:
    store, place = signed_kind.store, signed_kind.team.place
    slowly = "proxy_max_temp_file_size 0; limit_rate 3m;"  # after a second of burst
    with proxy(tmp_path / "proxy", store.url, more=slowly) as url:
        team = signed_kind.team.fork(tmp_path / "own", store.through(url, place))
        clone = team.project.clone(tmp_path / "clone")

        with team.serving("--expires", "2") as registry:
            (link,) = links(registry.url, "churn").values()
            done = run_dvc(
                *("models", "pull", "large", "--jobs", "1"),
                cwd=clone,
                env=registry.environ,
            )
            dead = fetch(link)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/large").read_bytes() == LARGE
    assert registry.log.read_text().count("status=200") > 2  # with the one for the link
    assert dead.status_code == 403


def test_wrong_keys_of_the_server_are_told(
    run_dvc: RunDvc, cloud: Kind, tmp_path: Path
) -> None:
    place = cloud.team.place
    team = cloud.team.fork(tmp_path / "own", place.wrong_secrets)
    clone = team.project.clone(tmp_path / "clone")

    with team.serving() as registry:
        done = run_dvc(
            "models", "pull", "churn", "-vv", cwd=clone, env=registry.environ
        )

    said = done.stdout + done.stderr
    assert done.returncode == 5
    assert (
        "storage answered 403 Forbidden to a new link too: Studio's "
        "credentials cannot read this object"
    ) in said
    shown = said + registry.log.read_text()
    assert not [secret for secret in place.planted if secret in unquote(shown)]


@pytest.mark.parametrize(
    ("model", "options"),
    [("bert", ()), ("churn", ("--verify-objects",))],
    ids=["directory", "verify"],
)
def test_a_server_that_cannot_read_the_store_says_so(
    run_dvc: RunDvc,
    kinds: Callable[[str], Kind],
    tmp_path: Path,
    model: str,
    options: tuple[str, ...],
) -> None:
    kind = kinds("Azure")  # LocalStack verifies links only
    team = kind.team.fork(tmp_path / "own", kind.team.place.wrong_secrets)
    clone = team.project.clone(tmp_path / "clone")

    with team.serving(*options) as registry:
        done = run_dvc("models", "pull", model, cwd=clone, env=registry.environ)

    assert done.returncode == 5
    assert re.search("502 Bad Gateway, the DVC remote '.*' cannot be read", done.stderr)
    shown = unquote(done.stderr + registry.log.read_text())
    assert not [secret for secret in kind.team.place.planted if secret in shown]


@pytest.mark.parametrize("name", ["S3, version 4", "Azure"])
def test_each_repo_of_one_server_has_its_own_credentials(
    run_dvc: RunDvc,
    kinds: Callable[[str], Kind],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    kind = kinds(name)
    place = kind.team.place
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "not-the-key")
    clones = {}
    repos = []
    for who, secrets in (("right", place.secrets), ("wrong", place.wrong_secrets)):
        mirror = tmp_path / f"{who}.git"
        git(tmp_path, "clone", "--quiet", "--mirror", kind.team.project.repo, mirror)
        clones[who] = kind.team.project.clone(tmp_path / who)
        repos.append(RepoConfig(str(mirror), name=who, credentials=secrets))
    config = ServeConfig(tuple(repos), known_tokens({TOKEN: "tests"}))

    with serving_config(config) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        done = {
            who: run_dvc(
                *("models", "pull", "churn", "--repo", who), cwd=clone, env=env
            )
            for who, clone in clones.items()
        }

    assert done["right"].returncode == 0, done["right"].stderr
    assert (clones["right"] / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert done["wrong"].returncode == 5
    assert "credentials cannot read this object" in done["wrong"].stderr


# -- what stands in between


def test_a_server_behind_tls_and_a_path_prefix_is_reached_with_its_ca(
    run_dvc: RunDvc, kinds: Callable[[str], Kind], tls: Tls, tmp_path: Path
) -> None:
    kind = kinds("S3, version 4")
    clone = kind.team.project.clone(tmp_path / "clone")
    folder = tmp_path / "proxy"

    with proxy(folder, kind.registry.url, path="/studio", tls=tls) as url:
        env = {**kind.registry.environ, "DVC_STUDIO_URL": url}
        stranger = run_dvc("models", "pull", "bert", cwd=clone, env=env)
        env["REQUESTS_CA_BUNDLE"] = str(tls.ca)
        done = run_dvc("models", "pull", "bert", cwd=clone, env=env)

    assert url.startswith("https://")
    assert stranger.returncode == 5
    assert "TLS certificate refused" in stranger.stderr
    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


def test_links_to_local_folders_lead_through_tls_and_the_path_prefix(
    run_dvc: RunDvc,
    tls: Tls,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, tmp_path / "project")
    clone = project.clone(tmp_path / "clone")

    with (
        serving(project.repo) as inner,
        proxy(tmp_path / "proxy", inner, path="/studio", tls=tls) as url,
    ):
        env = {
            "DVC_STUDIO_URL": url,
            "DVC_STUDIO_TOKEN": TOKEN,
            "REQUESTS_CA_BUNDLE": str(tls.ca),
        }
        (link,) = links(url, "churn", token=TOKEN, ca=tls.ca).values()
        done = run_dvc("models", "pull", "churn", cwd=clone, env=env)

    assert link.startswith(f"{url}/objects/")
    assert done.returncode == 0, done.stderr
    assert (clone / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]


def test_a_store_behind_tls_is_reached_with_its_ca(
    run_dvc: RunDvc, tls: Tls, tmp_path: Path
) -> None:
    with http_store(tmp_path, tls) as store:
        place = store.new_place(ssl_verify=str(tls.ca))
        team = Team.create(tmp_path / "own", place)
        team.push()
        clone = team.project.clone(tmp_path / "clone")
        with team.serving() as registry:
            env = {**registry.environ}
            stranger = run_dvc("models", "pull", "bert", cwd=clone, env=env)
            env["REQUESTS_CA_BUNDLE"] = str(tls.ca)
            done = run_dvc("models", "pull", "bert", cwd=clone, env=env)

    assert store.url.startswith("https://")
    assert stranger.returncode == 5
    assert "TLS certificate refused" in stranger.stderr
    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "models/bert") == BERT["v2.0.0"]


# -- links that are none of ours


def secure_link(url: str, path: str, *, expires: int) -> str:
    """Return a link that nginx's ``secure_link`` accepts until ``expires``."""
    digest = hashlib.md5(f"{expires}{path} secret".encode()).digest()
    signature = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    return f"{url}{path}?md5={signature}&expires={expires}"


@pytest.mark.parametrize(
    ("life_s", "code"), [(3600, 0), (-1, 5)], ids=["alive", "dead"]
)
def test_links_of_nginx_are_followed_while_they_live(
    run_dvc: RunDvc, tmp_path: Path, life_s: int, code: int
) -> None:
    content = CHURN["v1.0.0"]
    path = "/" + hashlib.md5(content).hexdigest()
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / path[1:]).write_bytes(content)
    port = free_port()
    checked = (
        "secure_link $arg_md5,$arg_expires;"
        ' secure_link_md5 "$secure_link_expires$uri secret";'
        ' if ($secure_link != "1") { return 403; }'
    )
    body = f"root {tmp_path}/www; location / {{ {checked} }}"

    with (
        nginx(tmp_path / "nginx", nginx_server(port, body)),
        StudioServer() as studio,
    ):
        link = secure_link(
            f"http://127.0.0.1:{port}", path, expires=int(time.time()) + life_s
        )
        studio.serve("churn", {"models/churn.pkl": link})
        done = run_dvc(
            *("models", "pull", "churn", "--repo", "acme/models", "-o", "out"),
            cwd=tmp_path,
            env=studio.environ,
        )

    assert done.returncode == code, done.stderr
    assert ("403 Forbidden to a new link too" in done.stderr) == bool(code)
    assert (tmp_path / "out/models/churn.pkl").exists() == (not code)
