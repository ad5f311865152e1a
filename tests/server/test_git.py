"""What the server reads of Git: mirrors and clones as operators make and keep them."""

from __future__ import annotations

import functools
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from dvc.repo import Repo
from environments import DVC
from projects import (
    CHURN,
    ORIGIN_URL,
    TOKEN,
    Project,
    age,
    commit_all,
    copy_project,
    git,
    serving,
    serving_config,
    track,
    write,
)
from spies import SpyGit

from dvc_studio_models.server.config.values import RepoConfig
from dvc_studio_models.server.waiting.slow_calls import SlowCalls
from tests.server.api import config_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

API = "/api/model-registry/get-download-uris"
TIMEOUT_S = 30
END_S = 5
REFUSAL = "this server cannot read its copy of 'acme/models': "


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    template = tmp_path_factory.getbasetemp() / "template"
    return copy_project(template, tmp_path / "project")


@pytest.fixture
def mirror(project: Project) -> Path:
    """A mirror as the documentation makes it, beside the storage."""
    return clone(project, "--mirror")


@pytest.fixture
def spy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpyGit:
    return SpyGit.install(tmp_path / "spy", monkeypatch)


def clone(project: Project, *options: str, name: str = "mirror.git") -> Path:
    """Clone as over a network, where filters count."""
    git(project.repo, "config", "uploadpack.allowFilter", "true")
    git(project.repo, "config", "uploadpack.allowAnySHA1InWant", "true")
    url = f"file://{project.repo}"
    git(project.root, "clone", "--quiet", *options, url, name)
    return project.root / name


def fetch(mirror: Path) -> None:
    """Bring a mirror up to date as the documentation does."""
    git(mirror, "fetch", "--quiet", "--prune")


def named(path: Path) -> str:
    return f"acme/models={path}"


def ask(url: str, name: str = "churn", **query: str) -> requests.Response:
    return requests.get(
        url + API,
        params={"repo": "acme/models", "name": name, **query},
        headers={"Authorization": f"token {TOKEN}"},
        timeout=TIMEOUT_S,
    )


def content(url: str, name: str = "churn", **query: str) -> bytes:
    """Ask for a model of one file, and follow its link."""
    reply = ask(url, name, **query)
    assert reply.status_code == 200, reply.text
    (link,) = reply.json().values()
    found = requests.get(link, timeout=TIMEOUT_S)
    assert found.status_code == 200, found.text
    return found.content


def refusal(reply: requests.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["detail"]


def release(project: Project, tag: str, what: bytes) -> None:
    """Train churn anew, and put a tag there, wherever it was before."""
    write(project.repo, {"models/churn.pkl": what})
    track(project.repo, "models/churn.pkl")
    commit_all(project, "Train")
    git(project.repo, "tag", "--force", "--annotate", "--message", "x", tag)


# -- tags that move


def pack(mirror: Path) -> None:
    git(mirror, "pack-refs", "--all")


def collect(mirror: Path) -> None:
    git(mirror, "gc", "--quiet", "--prune=now")


def leave(_mirror: Path) -> None:
    pass


@pytest.mark.parametrize("after", [leave, pack, collect])
@pytest.mark.parametrize("before", [leave, pack, collect])
def test_a_version_registered_anew_is_served_after_the_fetch(
    project: Project,
    mirror: Path,
    before: Callable[[Path], None],
    after: Callable[[Path], None],
) -> None:
    before(mirror)
    age(mirror)
    with serving(named(mirror)) as url:
        old = [content(url, version="v2.0.0") for _ in range(2)]
        release(project, "churn@v2.0.0", b"anew")
        fetch(mirror)
        anew = content(url, version="v2.0.0")
        after(mirror)
        later = content(url, version="v2.0.0")
    with serving(named(mirror)) as url:
        restarted = content(url, version="v2.0.0")

    assert old == [CHURN["v2.0.0"]] * 2
    assert (anew, later, restarted) == (b"anew", b"anew", b"anew")


def test_a_simple_tag_of_a_stage_moves_with_each_promotion(
    project: Project, mirror: Path
) -> None:
    project.tag("churn#live", "churn@v1.0.0")
    fetch(mirror)
    pack(mirror)
    age(mirror)
    served = []
    with serving(named(mirror)) as url:
        for version in ("v1.0.0", "v2.0.0", "v1.0.0"):
            git(project.repo, "tag", "--delete", "churn#live")
            project.tag("churn#live", f"churn@{version}")
            fetch(mirror)
            served.append(content(url, stage="live"))

    assert served == [CHURN["v1.0.0"], CHURN["v2.0.0"], CHURN["v1.0.0"]]


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_a_tag_deleted_upstream_is_gone_after_the_fetch(
    project: Project, mirror: Path, *, packed: bool
) -> None:
    (pack if packed else leave)(mirror)
    age(mirror)
    with serving(named(mirror)) as url:
        before = content(url)
        git(project.repo, "tag", "--delete", "churn@v2.0.0", "churn#prod#3")
        fetch(mirror)
        latest, prod = content(url), content(url, stage="prod")
        gone = refusal(ask(url, version="v2.0.0"))

    assert before == CHURN["v2.0.0"]
    assert (latest, prod) == (CHURN["v1.0.0"], CHURN["v1.0.0"])
    known = "version 'v2.0.0' is not registered; known versions: v1.0.0"
    assert gone == (404, known)


def test_a_ref_that_is_set_by_hand_is_seen(mirror: Path) -> None:
    first = git(mirror, "rev-parse", "churn@v1.0.0").strip()
    age(mirror)
    with serving(named(mirror)) as url:
        before = content(url, stage="prod")
        # A tag object of another name: GTO counts the ref's.
        git(mirror, "update-ref", "refs/tags/churn#prod#3", first)
        after = content(url, stage="prod")

    assert (before, after) == (CHURN["v2.0.0"], CHURN["v1.0.0"])


def test_who_asks_while_git_collects_garbage_is_answered(
    project: Project, mirror: Path
) -> None:
    answers: list[tuple[str, bytes]] = []
    with serving(named(mirror)) as url, ThreadPoolExecutor(1) as pool:
        for _ in range(5):
            project.tag("other@v1.0.0", "HEAD")
            git(project.repo, "tag", "--delete", "other@v1.0.0")
            fetch(mirror)
            collecting = pool.submit(collect, mirror)
            while not collecting.done():
                answers += [(v, content(url, version=v)) for v in CHURN]

    assert answers
    assert all(CHURN[version] == served for version, served in answers)


# -- clones that lack something


def test_a_partial_mirror_is_served_from_its_remote(project: Project) -> None:
    mirror = clone(project, "--mirror", "--filter=blob:none")

    with serving(named(mirror)) as url:
        served = [content(url), content(url, version="v1.0.0")]

    assert served == [CHURN["v2.0.0"], CHURN["v1.0.0"]]


@pytest.mark.parametrize("lost", ["remote", "folder"])
def test_a_partial_mirror_whose_remote_is_gone_is_the_servers_fault(
    project: Project, lost: str
) -> None:
    mirror = clone(project, "--mirror", "--filter=blob:none")
    if lost == "remote":
        git(mirror, "remote", "remove", "origin")
    else:
        project.repo.rename(project.root / "elsewhere")

    with serving(named(mirror)) as url:
        status, detail = refusal(ask(url))
        missing = refusal(ask(url, "nobody"))

    assert status == 500
    assert detail.startswith(REFUSAL)
    assert detail.endswith("; its operator can fix that")
    assert str(project.root) not in detail
    assert missing[0] == 404


def lose_blob(project: Project, rev: str) -> Path:
    """Make a mirror that lacks one file of one commit."""
    mirror = clone(project, "--mirror")
    blob = git(mirror, "rev-parse", rev).strip()
    packs = (mirror / "objects/pack").rename(mirror / "packs")
    (mirror / "objects/pack").mkdir()
    for path in packs.glob("*.pack"):
        with path.open("rb") as pack:
            subprocess.run(
                ["git", "unpack-objects", "-q"], cwd=mirror, stdin=pack, check=True
            )
    (mirror / "objects" / blob[:2] / blob[2:]).unlink()
    return mirror


def test_a_lost_blob_stops_only_what_needs_it(project: Project) -> None:
    mirror = lose_blob(project, "churn@v1.0.0:models/churn.pkl.dvc")

    with serving(named(mirror)) as url:
        refused = [refusal(ask(url, version="v1.0.0")) for _ in range(3)]
        served = content(url), content(url, version="v2.0.0")
        other = ask(url, "bert", version="v1.0.0")

    assert {status for status, _ in refused} == {500}
    assert all(d.startswith(f"{REFUSAL}it has no object ") for _, d in refused)
    assert served == (CHURN["v2.0.0"], CHURN["v2.0.0"])
    assert other.status_code == 200


def test_a_lost_blob_is_back_after_the_command_of_the_documentation(
    project: Project,
) -> None:
    mirror = lose_blob(project, "churn@v1.0.0:models/churn.pkl.dvc")

    with serving(named(mirror)) as url:
        before = ask(url, version="v1.0.0").status_code
        git(mirror, "fetch", "--quiet", "--refetch")
        after = content(url, version="v1.0.0")

    assert (before, after) == (500, CHURN["v1.0.0"])


def test_a_partial_mirror_runs_no_program_that_its_config_names(
    project: Project, tmp_path: Path
) -> None:
    mirror = clone(project, "--mirror", "--filter=blob:none")
    ran = tmp_path / "ran"
    git(mirror, "config", "remote.origin.uploadpack", f"touch {ran}; git-upload-pack")

    with serving(named(mirror)) as url:
        status, detail = refusal(ask(url))

    assert (status, detail.startswith(REFUSAL)) == (500, True)
    assert not ran.exists()


def test_a_clone_with_a_sparse_index_is_served_with_the_config_of_its_commit(
    project: Project,
) -> None:
    sparse = clone(project, "--sparse", name="sparse")
    git(sparse, "sparse-checkout", "set", "--cone", "--sparse-index", "services")

    with serving(named(sparse)) as url:
        before = content(url)
        write(sparse, {".dvc/config.local": b"['remote \"other\"']\nurl = /x\n"})
        after = content(url, version="v1.0.0")

    assert not (sparse / ".dvc/config").exists()
    assert (before, after) == (CHURN["v2.0.0"], CHURN["v1.0.0"])


def test_a_sparse_clone_may_have_a_config_of_its_own(project: Project) -> None:
    sparse = clone(project, "--sparse", name="sparse")
    git(sparse, "sparse-checkout", "set", "--cone", "--sparse-index", "services")
    moved = project.storage.rename(project.root / "moved")
    local = f"['remote \"storage\"']\nurl = {moved}\n"

    with serving(named(sparse)) as url:
        missing = ask(url).status_code
        write(sparse, {".dvc/config.local": local.encode()})
        served = content(url)

    assert (missing, served) == (502, CHURN["v2.0.0"])


# -- branches that are renamed, or none


def test_a_default_branch_that_was_renamed_upstream_changes_nothing(
    project: Project, mirror: Path
) -> None:
    age(mirror)
    with serving(named(mirror)) as url:
        before = content(url)
        git(project.repo, "branch", "--move", "main", "trunk")
        fetch(mirror)
        after = content(url), content(url, version="v1.0.0")
    with serving(named(mirror)) as url:
        restarted = content(url)

    assert "refs/heads/main" not in git(mirror, "for-each-ref")
    assert {before, after[0], restarted} == {CHURN["v2.0.0"]}
    assert after[1] == CHURN["v1.0.0"]


def move_storage(project: Project, place: str) -> None:
    """Name another place in the config, and commit that; nothing is moved there."""
    config = project.repo / ".dvc/config"
    config.write_text(config.read_text().replace("../../storage", place))
    commit_all(project, "Move the storage")


@pytest.mark.parametrize(
    ("branches", "served"),
    [
        (("trunk", "an-experiment"), 200),
        (("renamed",), 200),
        (("an-experiment", "renamed"), 502),
        ((), 502),
    ],
    ids=["known", "only", "several", "none"],
)
def test_the_config_is_that_of_a_branch_that_can_only_be_meant_else_the_versions(
    project: Project, branches: tuple[str, ...], served: int
) -> None:
    moved = project.storage.rename(project.root / "moved")
    experiment = project.commit("HEAD")
    move_storage(project, "../../moved")
    newest = project.commit("HEAD")
    mirror = clone(project, "--mirror")
    git(mirror, "update-ref", "-d", "refs/heads/main")
    for branch in branches:
        commit = experiment if branch == "an-experiment" else newest
        git(mirror, "update-ref", f"refs/heads/{branch}", commit)

    with serving(named(mirror)) as url:
        reply = ask(url)
        if reply.status_code != 200:
            moved.rename(project.storage)
        after = content(url)

    assert (reply.status_code, after) == (served, CHURN["v2.0.0"])


def test_without_a_branch_each_version_has_its_own_config_also_in_links(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_STUDIO_MODELS_SIGNING_KEY", "shared" * 6)
    mirror_of = project.storage.with_name("second")
    move_storage(project, "../../second")
    mirror_of.mkdir()
    release(project, "churn@v3.0.0", b"third")
    mirror = clone(project, "--mirror")
    git(mirror, "update-ref", "-d", "refs/heads/main")

    with serving(named(mirror)) as url:
        served = [content(url, version=v) for v in ("v1.0.0", "v3.0.0", "v2.0.0")]
        paths = [
            link.removeprefix(url)
            for v in ("v1.0.0", "v3.0.0")
            for link in ask(url, version=v).json().values()
        ]
    with serving(named(mirror)) as url:
        elsewhere = [requests.get(url + path, timeout=TIMEOUT_S) for path in paths]

    assert served == [CHURN["v1.0.0"], b"third", CHURN["v2.0.0"]]
    assert [reply.content for reply in elsewhere] == [CHURN["v1.0.0"], b"third"]


# -- remotes with a relative URL


def missing(remote: str) -> str:
    return (
        f"the DVC remote '{remote}' is a folder that this server does not have; its "
        "operator can copy it there, or serve from another remote with "
        "'--remote NAME'"
    )


def test_a_mirror_elsewhere_says_where_it_looks_for_a_relative_remote(
    project: Project, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mirror = clone(project, "--mirror", name="../srv/m.git")
    looked_for = tmp_path / "srv/storage"

    with serving(named(mirror)) as url:
        at_start = caplog.text
        refused = refusal(ask(url)), refusal(ask(url, "bert"))
        in_log = caplog.text.removeprefix(at_start)
        project.storage.rename(looked_for)
        there = ask(url, "bert").status_code, content(url)
        (link,) = ask(url).json().values()
        looked_for.rename(project.storage)
        gone = requests.get(link, timeout=TIMEOUT_S)

    told = missing("storage")
    assert f"{told}; the folder is '{looked_for}'" in at_start
    assert refused == ((502, told), (502, told))
    assert f"{told}; the folder is '{looked_for}'" in in_log
    assert there == (200, CHURN["v2.0.0"])
    assert refusal(gone) == (502, told)


def test_every_project_of_a_repo_says_at_the_start_which_folder_it_lacks(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    folder = project.repo / "services/other"
    folder.mkdir()
    Repo.init(str(folder), subdir=True).close()
    config = "[core]\nremote = own\n['remote \"own\"']\nurl = ../own\n"
    out = "outs:\n- md5: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n  path: m.bin\n"
    write(
        folder,
        {
            ".dvc/config": config.encode(),
            "dvc.yaml": b"artifacts: {m: {path: m.bin}}\n",
            "m.bin.dvc": f"{out}  hash: md5\n".encode(),
        },
    )
    commit_all(project, "Add a project")
    project.tag("services/other=m@v1.0.0")
    mirror = clone(project, "--mirror")

    with serving(named(mirror)) as url:
        served = content(url)

    folder = mirror / "services/other/own"
    assert f"{missing('own')}; the folder is '{folder}'" in caplog.text
    assert served == CHURN["v2.0.0"]


def test_only_the_version_whose_remote_is_missing_is_refused(project: Project) -> None:
    with (project.repo / ".dvc/config").open("a") as file:
        file.write("['remote \"own\"']\nurl = ../../own\n")
    with (project.repo / "models/churn.pkl.dvc").open("a") as file:
        file.write("  remote: own\n")
    commit_all(project, "Keep churn elsewhere")
    project.tag("churn@v3.0.0")

    roots = (str(project.storage), str(project.root / "own"))
    repo = RepoConfig(str(project.repo), aliases=("acme/models",), roots=roots)

    with serving_config(config_of(repo)) as url:
        served = content(url, version="v2.0.0"), ask(url, "bert").status_code
        refused = refusal(ask(url, version="v3.0.0"))
        shutil.copytree(project.storage, project.root / "own")
        later = content(url, version="v3.0.0")

    assert served == (CHURN["v2.0.0"], 200)
    assert refused == (502, missing("own"))
    assert later == CHURN["v2.0.0"]


def test_a_remote_that_is_chosen_stands_in_for_one_that_is_missing(
    project: Project, caplog: pytest.LogCaptureFixture
) -> None:
    moved = project.storage.rename(project.root / "moved")
    folder = Path(os.environ["DVC_GLOBAL_CONFIG_DIR"])
    write(folder, {"config": f"['remote \"here\"']\nurl = {moved}\n".encode()})
    mirror = clone(project, "--mirror")

    with serving(named(mirror), remote="here") as url:
        served = content(url)

    assert served == CHURN["v2.0.0"]
    assert "that this server does not have" not in caplog.text


def test_a_remote_that_was_chosen_and_is_not_there_is_the_servers_fault(
    mirror: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(named(mirror), remote="nowhere") as url:
        refused = refusal(ask(url))

    told = (
        "this server is set to serve from the DVC remote 'nowhere', which the config "
        "of 'acme/models' does not have; its operator can fix that"
    )
    assert refused == (500, told)
    assert f"repo 'models': {told}" in caplog.text


# -- a git that hangs


@pytest.fixture
def serve(project: Project) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``dvc models serve`` as an operator does; ended in any case."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: str | Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [DVC, "models", "serve", "--port", "0", *args],
            cwd=project.root,
            env={**os.environ, "DVC_STUDIO_TOKEN": TOKEN},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def url_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip().rpartition(" ")[2]


def children_left(spy: SpyGit) -> list[str]:
    """List the processes that the spy has started and that still run."""
    told = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout
    return [line for line in told.splitlines() if str(spy.folder) in line]


@pytest.mark.parametrize("partial", [False, True], ids=["whole", "partial"])
def test_without_the_program_a_whole_mirror_is_served_and_a_partial_one_told(
    project: Project,
    tmp_path: Path,
    serve: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    partial: bool,
) -> None:
    mirror = clone(project, "--mirror", *(["--filter=blob:none"] if partial else []))
    monkeypatch.setenv("PATH", str(tmp_path))

    reply = ask(url_of(serve(named(mirror))))

    assert reply.status_code == (500 if partial else 200)
    assert reply.text.startswith(f'{{"detail":"{REFUSAL}') == partial


@pytest.mark.clock
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("word", ["cat-file", "for-each-ref", "rev-parse", "config"])
def test_a_server_whose_git_hangs_listens_and_ends(
    mirror: Path,
    serve: Callable[..., subprocess.Popen[str]],
    spy: SpyGit,
    word: str,
    number: signal.Signals,
) -> None:
    spy.hang(word)
    process = serve(named(mirror))
    url = url_of(process)
    healthy = requests.get(f"{url}/healthz", timeout=TIMEOUT_S).status_code

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, url)
        time.sleep(0.5)
        process.send_signal(number)
        began = time.monotonic()
        _, errors = process.communicate(timeout=TIMEOUT_S)
        took_s = time.monotonic() - began

    assert healthy == 200
    assert waiting.result().status_code == 503
    assert took_s < END_S
    assert "Traceback" not in errors
    assert process.returncode == 0
    assert children_left(spy) == []


@pytest.mark.clock
def test_a_signal_before_the_server_listens_ends_it(
    mirror: Path, serve: Callable[..., subprocess.Popen[str]], spy: SpyGit
) -> None:
    spy.hang("rev-parse")
    process = serve(named(mirror))
    while not spy.count():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    process.communicate(timeout=TIMEOUT_S)

    assert time.monotonic() - began < END_S
    assert children_left(spy) == []


@pytest.mark.clock
def test_a_read_of_git_that_hangs_is_told_as_such_and_keeps_no_other_repo(
    project: Project, mirror: Path, spy: SpyGit
) -> None:
    age(mirror)
    age(project.repo)
    slow = functools.partial(SlowCalls, seconds=1)
    with serving(named(mirror), f"acme/other={project.repo}", slow_calls=slow) as url:
        spy.hang(f"--git-dir={mirror}")
        project.tag("x@v1.0.0")
        fetch(mirror)
        with ThreadPoolExecutor(8) as pool:
            replies = [pool.submit(ask, url) for _ in range(8)]
            other = [ask(url, repo="acme/other").status_code for _ in range(8)]
            hung = {refusal(reply.result()) for reply in replies}
        spy.hang()

    assert set(other) == {200}
    told = (
        "this server could not read its copy of the repo within 1 s; try again "
        "later, or ask its operator"
    )
    assert hung == {(504, told)}


def test_a_repo_that_could_not_be_opened_is_served_once_it_can(
    project: Project, mirror: Path, spy: SpyGit
) -> None:
    spy.hang(f"--git-dir={mirror}")
    with serving(named(mirror), project.repo, open_s=0.5) as url:
        refused = refusal(ask(url))
        other = ask(url, repo=ORIGIN_URL).status_code
        unknown = ask(url, repo="acme/unknown").status_code
        spy.hang()
        deadline = time.monotonic() + TIMEOUT_S
        while ask(url).status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        served = content(url)

    assert refused[0] == 503
    assert "cannot read its copy of 'acme/models' now" in refused[1]
    assert (other, unknown) == (200, 503)
    assert served == CHURN["v2.0.0"]
