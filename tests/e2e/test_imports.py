"""Models that come from ``dvc import`` and ``dvc import-url``."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from dvc.repo import Repo
from environments import DVC
from projects import (
    ORIGIN_URL,
    TOKEN,
    Project,
    commit_all,
    git,
    init_project,
    read_tree,
    serving,
    track,
    write,
)
from terminals import heed_ctrl_c

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import RunDvc

SECRET = "PLANTED_SECRET_KEY"
PULL = ("models", "pull", "--source", "remote")

ZOO = {
    "base.bin": b"a base model\n" * 300,
    "bert/config.json": b'{"layers": 2}\n',
    "bert/weights/part.bin": bytes(range(256)) * 40,
}
INNER = b"of a project inside the zoo\n" * 50
DVC_YAML = b"""\
artifacts:
  base: {path: models/base.bin, type: model}
  bert: {path: models/bert, type: model}
  inner: {path: models/inner.bin, type: model}
  plain: {path: models/plain.txt, type: model}
"""


@dataclass(frozen=True)
class Zoo:
    """A source repo, and a project that imports its models from it."""

    source: Project
    project: Project
    run_dvc: RunDvc

    def imported(self, url: str, *models: tuple[str, str], options: str = "") -> None:
        """Import everything, commit it, and register it as v1.0.0."""
        write(self.project.repo, {"dvc.yaml": DVC_YAML, "models/.keep": b""})
        for path, out in models:
            done = self.run_dvc(
                *("import", url, path, "-o", f"models/{out}", *options.split()),
                cwd=self.project.repo,
            )
            assert done.returncode == 0, done.stderr
        self.registered()

    def registered(self) -> None:
        commit_all(self.project, "Import models")
        for name in ("base", "bert", "inner", "plain"):
            self.project.tag(f"{name}@v1.0.0")

    def clone(self, to: Path) -> Path:
        """Clone without a cache, with a home folder without settings for the source."""
        return self.project.clone(to)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The source, but for its commit and for the places of its storages."""
    source = init_project(tmp_path_factory.mktemp("built") / "zoo")
    write(source.repo, {**ZOO, "plain.txt": b"kept in Git\n"})
    track(source.repo, "base.bin", "bert")
    inner = source.repo / "inner"
    inner.mkdir()
    Repo.init(str(inner), subdir=True).close()
    config = "[core]\n    remote = inner\n['remote \"inner\"']\n    url = {}\n"
    (inner / ".dvc/config").write_text(config.format("../../../inner-storage"))
    write(inner, {"model.bin": INNER})
    track(inner, "model.bin")
    return source


@pytest.fixture
def zoo(built: Project, tmp_path: Path, run_dvc: RunDvc) -> Zoo:
    source = Project(tmp_path / "zoo")
    shutil.copytree(built.root, source.root, symlinks=True)
    for folder, storage in (
        (source.repo, "../../storage"),
        (source.repo / "inner", "../../../inner-storage"),
    ):
        config = folder / ".dvc/config"
        absolute = str(source.root / Path(storage).name)
        config.write_text(config.read_text().replace(storage, absolute))
    commit_all(source, "Train")
    return Zoo(source, init_project(tmp_path / "project"), run_dvc)


MODELS = (("base.bin", "base.bin"), ("bert", "bert"))

URLS = {
    "path": lambda repo: f"{repo}",
    "file URL": lambda repo: f"file://{repo}",
    "relative path": lambda _: "../../zoo/repo",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS.keys())
@pytest.mark.cold
def test_an_import_comes_from_its_repo(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, url: Callable[[Path], str]
) -> None:
    zoo.imported(url(zoo.source.repo), *MODELS)
    clone = zoo.clone(tmp_path / "project/clone")

    done = run_dvc(*PULL, "base", "bert", "--json", cwd=clone)

    assert (done.returncode, done.stderr) == (0, "")
    files = [f for model in json.loads(done.stdout)["models"] for f in model["files"]]
    assert {(f["action"], f["verified_by"]) for f in files} == {("downloaded", "git")}
    assert read_tree(clone / "models/bert") == {
        "config.json": ZOO["bert/config.json"],
        "weights/part.bin": ZOO["bert/weights/part.bin"],
    }
    assert (clone / "models/base.bin").read_bytes() == ZOO["base.bin"]
    status = run_dvc("status", "--json", "models/bert.dvc", cwd=clone)
    assert json.loads(status.stdout) == {}


def test_an_import_comes_from_the_commit_of_the_import(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"{zoo.source.repo}", *MODELS)
    write(zoo.source.repo, {"base.bin": b"newer", "bert/new.txt": b"newer"})
    track(zoo.source.repo, "base.bin", "bert")
    commit_all(zoo.source, "Train again")
    clone = zoo.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "base", "bert", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/base.bin").read_bytes() == ZOO["base.bin"]
    assert not (clone / "models/bert/new.txt").exists()


@pytest.mark.parametrize("url", list(URLS)[:2])
def test_an_import_of_a_project_inside_the_source_and_of_a_git_file(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, url: str
) -> None:
    zoo.imported(
        URLS[url](zoo.source.repo),
        ("inner/model.bin", "inner.bin"),
        ("plain.txt", "plain.txt"),
    )
    clone = zoo.clone(tmp_path / "clone")
    shutil.rmtree(zoo.source.repo / "inner/.dvc/cache")

    done = run_dvc(*PULL, "inner", "plain", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert (clone / "models/inner.bin").read_bytes() == INNER
    assert (clone / "models/plain.txt").read_bytes() == b"kept in Git\n"


def test_an_import_of_a_folder_that_git_keeps(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    files = {"config.json": b"{}\n", "in/w.bin": b"weights"}
    write(zoo.source.repo / "kept", files)
    commit_all(zoo.source, "Keep a folder in Git")
    zoo.imported(f"{zoo.source.repo}", ("kept", "bert"))
    clone = zoo.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "bert", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert read_tree(clone / "models/bert") == files


def test_an_import_is_listed_pinned_and_told_like_any_other_model(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"file://{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")

    before = json.loads(run_dvc("models", "list", "--json", cwd=clone).stdout)
    run_dvc(*PULL, "base", "bert", "--lock", cwd=clone)
    after = json.loads(run_dvc("models", "list", "--json", cwd=clone).stdout)
    status = run_dvc("models", "status", "--source", "cache", cwd=clone)
    shutil.rmtree(clone / "models/bert")
    (clone / "models/base.bin").unlink()
    from_cache = run_dvc("models", "pull", "--locked", "--source", "cache", cwd=clone)
    shutil.rmtree(clone / ".dvc/cache")
    shutil.rmtree(clone / "models/bert")
    again = run_dvc(*PULL, "--locked", cwd=clone)

    states = [
        {m["name"]: m["workspace"]["state"] for m in listed}
        for listed in (before, after)
    ]
    assert (states[0]["base"], states[0]["bert"]) == ("absent", "absent")
    assert (states[1]["base"], states[1]["bert"]) == ("registered", "registered")
    assert status.returncode == 0, status.stdout + status.stderr
    assert from_cache.returncode == 0, from_cache.stderr
    assert again.returncode == 0, again.stderr
    assert (clone / "models/bert/weights/part.bin").read_bytes() == (
        ZOO["bert/weights/part.bin"]
    )


def test_an_import_goes_to_another_folder(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "bert", "-o", tmp_path / "out", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/models/bert/config.json").exists()
    assert not (clone / "models/bert").exists()


def test_a_dry_run_of_an_import_changes_nothing(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"file://{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "bert", "base", "--dry-run", cwd=clone)

    assert done.returncode == 0, done.stderr
    assert "models/bert/weights/part.bin" in done.stdout
    assert not (clone / "models/bert").exists()
    assert not (clone / ".dvc/cache/files").exists()


def test_what_the_cache_has_needs_no_source(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")
    shutil.copytree(zoo.project.repo / ".dvc/cache", clone / ".dvc/cache")
    zoo.source.root.rename(tmp_path / "away")

    cached = run_dvc("models", "pull", "base", "--source", "cache", cwd=clone)
    done = run_dvc(*PULL, "bert", cwd=clone)

    assert (cached.returncode, done.returncode) == (0, 0), cached.stderr + done.stderr


@pytest.mark.parametrize("url", list(URLS)[:2])
@pytest.mark.parametrize("model", ["base", "bert"])
def test_a_source_that_fails_is_told(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, url: str, model: str
) -> None:
    zoo.imported(URLS[url](zoo.source.repo), *MODELS)
    clone = zoo.clone(tmp_path / "clone")
    zoo.source.root.rename(tmp_path / "away")

    done = run_dvc(*PULL, model, cwd=clone)

    assert done.returncode == 5, done.stderr
    assert "the repo that these files are imported from:" in done.stderr
    assert f"models/{model}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((clone / "models").glob("b*[!c]"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param("gone", "it is not there; was it pushed", id="not pushed"),
        pytest.param("other", "its hash is different", id="damaged"),
    ],
)
def test_a_source_without_the_content_is_told(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, damage: str, reason: str
) -> None:
    zoo.imported(f"file://{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")
    for path in zoo.source.storage.rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"other") if damage == "other" else path.unlink()

    done = run_dvc(*PULL, "base", cwd=clone)

    assert done.returncode == 5, done.stderr
    assert reason in done.stderr
    assert not (clone / "models/base.bin").exists()
    parts = clone / ".dvc/cache/models"
    assert not [path for path in clone.rglob("*.part*") if parts in path.parents]


def test_a_commit_that_the_source_no_longer_has_is_told(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"file://{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")
    git(zoo.source.repo, "commit", "--amend", "--quiet", "--message", "Anew")
    git(zoo.source.repo, "reflog", "expire", "--expire=now", "--all")
    git(zoo.source.repo, "gc", "--quiet", "--prune=now")

    done = run_dvc(*PULL, "base", cwd=clone)

    assert done.returncode == 5, done.stderr
    assert "it no longer has the commit of the import" in done.stderr


# -- a committed file names the address


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% ran",
        "fd::17",
        "-oProxyCommand=touch ran",
        "--upload-pack=touch ran",
        "ssh://-oProxyCommand=touch/x",
        "git@-oProxyCommand=touch:x",
        "s3://bucket/repo",
    ],
)
def test_an_address_that_could_run_a_program_is_refused(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, url: str
) -> None:
    zoo.imported(f"{zoo.source.repo}", *MODELS)
    dvc_file = zoo.project.repo / "models/base.bin.dvc"
    dvc_file.write_text(
        dvc_file.read_text().replace(f"{zoo.source.repo}", json.dumps(url))
    )
    zoo.project.tag("base@v2.0.0", _committed(zoo.project))
    clone = zoo.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "base", cwd=clone)

    assert done.returncode == 5, done.stderr
    assert "models/base.bin.dvc: its address" in done.stderr
    assert not (clone / "ran").exists()


def _committed(project: Project) -> str:
    commit_all(project, "Change an import")
    return "HEAD"


@pytest.mark.parametrize("where", ["import", "source"])
def test_a_config_that_names_programs_is_refused(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, where: str
) -> None:
    zoo.imported(f"file://{zoo.source.repo}", *MODELS)
    program = f"[default]\ncredential_process = touch {tmp_path}/ran\n"
    (tmp_path / "aws.cfg").write_text(program)
    remote = {"url": "s3://bucket/x", "configpath": f"{tmp_path}/aws.cfg"}
    dvc_file = zoo.project.repo / "models/base.bin.dvc"
    if where == "import":
        dvc_file.write_text(
            dvc_file.read_text().replace(
                "    rev_lock:", f"    remote: {json.dumps(remote)}\n    rev_lock:"
            )
        )
    else:
        lines = "".join(f"    {key} = {value}\n" for key, value in remote.items())
        config = zoo.source.repo / ".dvc/config"
        config.write_text(f"[core]\n    remote = x\n['remote \"x\"']\n{lines}")
        before = zoo.source.commit("HEAD")
        commit_all(zoo.source, "Keep it in a cloud")
        now = zoo.source.commit("HEAD")
        dvc_file.write_text(dvc_file.read_text().replace(before, now))
    zoo.project.tag("base@v2.0.0", _committed(zoo.project))
    clone = zoo.clone(tmp_path / "clone")

    done = run_dvc(*PULL, "base", cwd=clone)

    assert done.returncode == 5, done.stderr
    assert "sets 'configpath', which is refused" in done.stderr
    assert not (tmp_path / "ran").exists()


@dataclass(frozen=True)
class Silent:
    """A server that accepts connections and never responds."""

    port: int
    came: threading.Event


@pytest.fixture
def silent() -> Iterator[Silent]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        came = threading.Event()
        kept = []

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return
                came.set()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Silent(listener.getsockname()[1], came)
        listener.shutdown(socket.SHUT_RDWR)
        for each in kept:
            each.close()
        thread.join(5)


def _imported_from(zoo: Zoo, url: str, clone: Path) -> Path:
    zoo.imported(f"{zoo.source.repo}", *MODELS)
    for name in ("base.bin", "bert"):
        dvc_file = zoo.project.repo / f"models/{name}.dvc"
        dvc_file.write_text(dvc_file.read_text().replace(f"{zoo.source.repo}", url))
    commit_all(zoo.project, "Import from elsewhere")
    for name in ("base", "bert"):
        zoo.project.tag(f"{name}@v2.0.0")
    return zoo.clone(clone)


def test_nobody_but_the_remote_source_follows_an_import(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path, silent: Silent
) -> None:
    clone = _imported_from(zoo, f"http://127.0.0.1:{silent.port}/zoo", tmp_path / "c")
    with serving(zoo.project.repo, no_auth=True) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        codes = [
            run_dvc("models", *args, cwd=clone, env=env).returncode
            for args in (
                ("list",),
                ("status", "base", "bert"),
                ("pull", "base"),
                ("pull", "bert", "--lock"),
                ("pull", "base", "--source", "cache"),
            )
        ]

    assert codes == [0, 4, 4, 4, 5]
    assert not silent.came.is_set()


@pytest.mark.clock
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("model", ["base", "bert"])
def test_a_source_that_hangs_holds_nobody(
    zoo: Zoo, tmp_path: Path, silent: Silent, number: signal.Signals, model: str
) -> None:
    url = f"http://ada:{SECRET}@127.0.0.1:{silent.port}/zoo"
    clone = _imported_from(zoo, url, tmp_path / "clone")
    with subprocess.Popen(
        [DVC, *PULL, model, "-v"],
        cwd=clone,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509 - no other thread forks here
    ) as pull:
        assert silent.came.wait(30)
        time.sleep(0.3)
        began = time.monotonic()
        pull.send_signal(number)
        out, errors = pull.communicate(timeout=30)

    assert time.monotonic() - began < 5, errors
    assert pull.returncode == (252 if number == signal.SIGINT else 143)
    assert SECRET.encode() not in out + errors
    assert not (clone / "models/base.bin").exists()


def test_no_password_of_a_source_is_shown(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://ada:{SECRET}@127.0.0.1:{port}/zoo"
    clone = _imported_from(zoo, url, tmp_path / "clone")

    done = run_dvc(*PULL, "base", "-v", cwd=clone)

    assert done.returncode == 5, done.stderr
    assert f"from 'http://127.0.0.1:{port}/zoo', the repo" in done.stderr
    assert SECRET not in done.stdout + done.stderr


# -- through Studio


def test_what_a_server_says_of_an_import_helps(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    zoo.imported(f"{zoo.source.repo}", *MODELS)
    clone = zoo.clone(tmp_path / "clone")
    with serving(zoo.project.repo, no_auth=True) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        refused = run_dvc("models", "pull", "base", cwd=clone, env=env)

    assert refused.returncode == 4
    assert f"'models/base.bin' is imported from '{zoo.source.repo}'" in refused.stderr
    assert "The repo that it is imported from may have base@v1.0.0" in refused.stderr
    assert "use '--source remote'" in refused.stderr
    assert run_dvc(*PULL, "base", cwd=clone).returncode == 0
    assert ORIGIN_URL in refused.stderr


# -- without a hash


def _far(tmp_path: Path, kind: str) -> str:
    files = {"far": b"far\n"} if kind == "file" else {"far/x": b"far\n"}
    write(tmp_path, files)
    return f"{tmp_path}/far"


@pytest.mark.parametrize("option", ["--no-download", "--no-exec"])
@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("command", ["import", "import-url"])
def test_what_was_imported_without_its_hash_is_told_with_what_gets_it(
    run_dvc: RunDvc,
    zoo: Zoo,
    tmp_path: Path,
    command: str,
    kind: str,
    option: str,
) -> None:
    name = "base" if kind == "file" else "bert"
    out = "models/base.bin" if kind == "file" else "models/bert"
    write(zoo.project.repo, {"dvc.yaml": DVC_YAML, "models/.keep": b""})
    what = [f"{zoo.source.repo}", "base.bin" if kind == "file" else "bert", "-o", out]
    if command == "import-url":
        what = [_far(tmp_path, kind), out]
    made = run_dvc(command, *what, option, cwd=zoo.project.repo)
    assert made.returncode == 0, made.stderr
    zoo.registered()
    clone = zoo.clone(tmp_path / "clone")
    git(clone, "rm", "--quiet", "-r", "models")
    folder = clone / "inner"
    folder.mkdir()

    refused = run_dvc(*PULL, name, cwd=folder)
    hint = refused.stderr.rpartition("Run '")[2].strip().removesuffix("'")
    path = f"{DVC.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", hint],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )

    assert refused.returncode == 4
    assert f"'{out}' is imported from '" in refused.stderr
    assert "without a hash" in refused.stderr
    assert done.returncode == 0, hint + done.stderr
    assert (clone / out).exists()


def test_what_import_url_stored_is_a_model_like_any_other(
    run_dvc: RunDvc, zoo: Zoo, tmp_path: Path
) -> None:
    write(zoo.project.repo, {"dvc.yaml": DVC_YAML, "models/.keep": b""})
    far = _far(tmp_path, "file")
    run_dvc("import-url", far, "models/base.bin", cwd=zoo.project.repo)
    run_dvc("push", cwd=zoo.project.repo)
    zoo.registered()
    clone = zoo.clone(tmp_path / "project/clone")
    (tmp_path / "far").unlink()

    done = run_dvc(*PULL, "base", cwd=clone)
    with serving(zoo.project.repo, no_auth=True) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        served = run_dvc("models", "pull", "base", "-o", "../o", cwd=clone, env=env)

    assert done.returncode == 0, done.stderr
    assert served.returncode == 0, served.stderr
    assert (clone / "models/base.bin").read_bytes() == b"far\n"
