"""Real projects for tests: Git, DVC, a DVC remote in a local folder, GTO tags.

``build_project`` creates one. ``copy_project`` copies the one that is built once per
session, which is faster. Projects contain no absolute paths, so copies work anywhere.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import itertools
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc.repo import Repo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dvc_studio_models.server.config.values import ServeConfig
    from dvc_studio_models.server.site.site import Site
    from dvc_studio_models.server.waiting.slow_calls import SlowCalls

ORIGIN_URL = "git@git.example.com:acme/models.git"
"""URL of the remote ``origin`` in all clones. No test contacts it."""

TOKEN = "isat_tests-only"
"""The token that :func:`serving` accepts."""

MAIN_DVC_YAML = """\
artifacts:
  churn:
    path: models/churn.pkl
    type: model
  bert:
    path: models/bert
    type: model
"""
FRAUD_DVC_YAML = """\
artifacts:
  fraud:
    path: model.bin
    type: model
"""

CHURN = {
    "v1.0.0": b"churn, the first\n" * 100,
    "v2.0.0": b"churn, the second\r\n" * 20_000,
}
BERT = {
    "v1.0.0": {
        "config.json": b'{"layers": 2}\n',
        "empty.txt": b"",
        "weights/part one.bin": bytes(range(256)) * 64,
        "weights/größe-模型.bin": b"\x00\xff" * 4000,
        "vocab.txt": b"only in the first version\n",
    },
    "v2.0.0": {
        "config.json": b'{"layers": 4}\n',
        "empty.txt": b"",
        "weights/part one.bin": bytes(range(256)) * 64,
        "weights/größe-模型.bin": b"\x01\xfe" * 5000,
    },
}
FRAUD = b"fraud model\n" * 50

_seconds = itertools.count(1_700_000_000)
SECONDS_TO_BUILD = 1000
"""More than the calls of Git that ``build_project`` takes."""


@dataclass(frozen=True)
class Project:
    """One project on disk; all paths are under ``root``."""

    root: Path

    @property
    def repo(self) -> Path:
        """The clone in which everything was created; its ``origin`` is ORIGIN_URL."""
        return self.root / "repo"

    @property
    def bare(self) -> Path:
        """A bare mirror of the clone."""
        return self.root / "models.git"

    @property
    def storage(self) -> Path:
        """The DVC remote, a local folder; its configured URL is ``../../storage``."""
        return self.root / "storage"

    def commit(self, rev: str) -> str:
        """Return the full SHA-1 of the commit of ``rev`` (a branch or tag)."""
        return git(self.repo, "rev-parse", f"{rev}^{{commit}}").strip()

    def clone(self, to: Path, *, origin: str = ORIGIN_URL) -> Path:
        """Clone with tags and without a DVC cache; set the URL of its ``origin``."""
        git(self.root, "clone", "--quiet", "--no-hardlinks", str(self.repo), str(to))
        git(to, "remote", "set-url", "origin", origin)
        return to

    def tag(self, name: str, rev: str = "HEAD") -> None:
        """Create an annotated tag, as GTO does, later than all previous tags."""
        git(
            self.repo, "tag", "--annotate", "--message", name, name, f"{rev}^{{commit}}"
        )

    def mirror(self) -> None:
        """Push all refs to the bare mirror."""
        git(self.repo, "push", "--quiet", "--mirror", str(self.bare))


def git(folder: Path, *args: str) -> str:
    """Run Git with a date one second after the previous call; return its stdout."""
    date = f"{next(_seconds)} +0000"
    env = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.com",
        "GIT_COMMITTER_DATE": date,
    }
    return subprocess.run(
        ["git", *args], cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Write files (path relative to ``folder`` -> content)."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def read_tree(folder: Path) -> dict[str, bytes]:
    """Read all files below ``folder``; return path relative to it -> content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def init_project(root: Path, *, subdir: str = "") -> Project:
    """Create an empty Git and DVC project whose default remote is ``root/storage``.

    Args:
        root: Folder to create.
        subdir: Folder of the DVC project in the Git repo; ``""`` for its root.
    """
    project = Project(root)
    folder = project.repo / subdir
    folder.mkdir(parents=True)
    project.storage.mkdir()
    git(project.repo, "init", "--quiet", "--initial-branch", "main")
    git(project.repo, "remote", "add", "origin", ORIGIN_URL)
    Repo.init(str(folder), subdir=bool(subdir)).close()
    storage = os.path.relpath(project.storage, folder / ".dvc").replace(os.sep, "/")
    (folder / ".dvc" / "config").write_text(
        f"[core]\n    remote = storage\n    analytics = false\n"
        f"['remote \"storage\"']\n    url = {storage}\n"
    )
    return project


def track(folder: Path, *paths: str) -> None:
    """Run ``dvc add`` and ``dvc push`` for paths of the project at ``folder``."""
    with Repo(str(folder)) as repo:
        repo.add([str(folder / path) for path in paths])
        repo.push()


def commit_all(project: Project, message: str) -> None:
    """Commit all changes in the clone."""
    git(project.repo, "add", "--all")
    git(project.repo, "commit", "--quiet", "--message", message)


@contextlib.contextmanager
def lock_held(folder: Path) -> Iterator[None]:
    """Hold the lock of the DVC project at ``folder`` in another process."""
    code = (
        "import sys; from dvc.repo import Repo, lock_repo\n"
        "with Repo() as repo, lock_repo(repo):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        yield


def build_project(root: Path) -> Project:
    """Create the project that most tests use.

    Its models are ``churn`` (a file), ``bert`` (a folder) and ``services/fraud:fraud``,
    all pushed. churn and bert have v1.0.0 and v2.0.0, fraud has v1.0.0. churn#dev is
    v1.0.0; churn#prod was v1.0.0 and is v2.0.0. The branch is at v2.0.0.
    """
    project = init_project(root)
    write(
        project.repo,
        {
            "dvc.yaml": MAIN_DVC_YAML.encode(),
            "services/fraud/dvc.yaml": FRAUD_DVC_YAML.encode(),
            "services/fraud/model.bin": FRAUD,
        },
    )
    for version in CHURN:
        _release(project, version)
    project.tag("services/fraud=fraud@v1.0.0", "churn@v1.0.0")
    project.tag("churn#dev#1", "churn@v1.0.0")
    project.tag("churn#prod#2", "churn@v1.0.0")
    project.tag("churn#prod#3", "churn@v2.0.0")
    project.bare.mkdir()
    git(project.bare, "init", "--quiet", "--bare", "--initial-branch", "main")
    project.mirror()
    return project


def _release(project: Project, version: str) -> None:
    shutil.rmtree(project.repo / "models" / "bert", ignore_errors=True)
    (project.repo / "models" / "churn.pkl").unlink(missing_ok=True)
    write(project.repo / "models", {"churn.pkl": CHURN[version]})
    write(project.repo / "models" / "bert", BERT[version])
    track(project.repo, "models/churn.pkl", "models/bert", "services/fraud/model.bin")
    commit_all(project, f"Train for {version}")
    project.tag(f"churn@{version}")
    project.tag(f"bert@{version}")


@functools.cache
def _template(folder: Path) -> Project:
    """Build the project once; with several workers of pytest, only one builds it."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent.parent / folder.name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "project").exists():
            build_project(folder / "unfinished")
            (folder / "unfinished").rename(folder / "project")
    for _ in range(SECONDS_TO_BUILD):  # what a test tags is later, whoever has built it
        next(_seconds)
    return Project(folder / "project")


def copy_project(template_folder: Path, root: Path) -> Project:
    """Copy the session's project to ``root``.

    Args:
        template_folder: Folder in which the session's project is built on first use,
            e.g. ``tmp_path_factory.getbasetemp() / "template"``.
        root: Folder to create.
    """
    shutil.copytree(_template(template_folder).root, root, symlinks=True)
    return Project(root)


def age(repo: Path) -> None:
    """Set old mtimes on the refs of a clone or bare repo, as if unchanged for long."""
    git_dir = repo / ".git" if (repo / ".git").is_dir() else repo
    refs = [git_dir / "HEAD", git_dir / "packed-refs", *git_dir.glob("refs/**")]
    for path in refs:
        if path.exists():
            os.utime(path, (1_700_000_000, 1_700_000_000))


@contextlib.contextmanager
def serving(
    *repos: Path | str,
    tokens: dict[str, str] | None = None,
    no_auth: bool = False,
    expires_s: int = 3600,
    remote: str | None = None,
    verify_objects: bool = False,
    slow_calls: Callable[[], SlowCalls] | None = None,
    open_s: float = 10,
    warm_up_s: float = 3,
    **limits: int,
) -> Iterator[str]:
    """Run ``dvc models serve`` in a thread, on a free port; yield its URL.

    Args:
        repos: ``PATH`` or ``NAME=PATH``.
        tokens: Token -> owner; default: only TOKEN.
        no_auth: Require no token.
        expires_s: Lifetime of a link, in seconds.
        remote: DVC remote to serve from; None for the default one.
        verify_objects: Check that objects exist before links are returned.
        slow_calls: Called once for each repo.
        open_s: Time limit for Git at the start, in seconds.
        warm_up_s: Time limit for reading in advance, in seconds.
        limits: The limits of ``make_server``.
    """
    from dvc_studio_models.server.config import values

    config = values.ServeConfig(
        tuple(values.RepoConfig.parse(str(repo), remote=remote) for repo in repos),
        values.known_tokens(None if no_auth else tokens or {TOKEN: "tests"}),
        expires_s,
        verify_objects=verify_objects,
    )
    times = {"open_s": open_s, "warm_up_s": warm_up_s}
    with serving_config(config, slow_calls=slow_calls, **times, **limits) as url:
        yield url


@contextlib.contextmanager
def serving_config(
    config: ServeConfig,
    *,
    slow_calls: Callable[[], SlowCalls] | None = None,
    open_s: float = 10,
    warm_up_s: float = 3,
    **limits: int,
) -> Iterator[str]:
    """Serve in a thread, on a free port, what a config says; yield the URL.

    Args:
        config: The operator's choices; its host and port do not matter.
        slow_calls: Called once for each repo.
        open_s: Time limit for Git at the start, in seconds.
        warm_up_s: Time limit for reading in advance, in seconds.
        limits: The limits of ``make_server``.
    """
    from dvc_studio_models.server.site.site import Site

    waits = {"slow_calls": slow_calls} if slow_calls else {}
    site = Site(config, open_s=open_s, **waits)
    with serving_site(site, warm_up_s=warm_up_s, **limits) as url:
        yield url


@contextlib.contextmanager
def serving_site(site: Site, *, warm_up_s: float = 3, **limits: int) -> Iterator[str]:
    """Serve a site in a thread, on a free port; yield its URL."""
    from dvc_studio_models.server import app, service

    site.warm_up(warm_up_s)
    server = service.make_server(app.create_app(site), **limits)
    with service.listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield service.url_of(listener)
        finally:
            server.should_exit = True
            site.mirrors.stop()
            thread.join()
