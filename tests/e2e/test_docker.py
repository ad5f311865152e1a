"""The examples of docs/docker.md, as far as they run without a container engine.

Each command of a Dockerfile and of a container in Kubernetes is run, with the paths of
the container in a temporary folder.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from needs import mount_namespace, stranger
from projects import BERT, CHURN, copy_project, git, read_tree
from ruamel.yaml import YAML
from servers import free_port
from warm import COVERAGE

from tests.e2e.conftest import serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import RunDvc

    from tests.e2e.conftest import Registry

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "docker"
PAGE = (ROOT / "docs/docker.md").read_text("utf-8")
BIN = Path(sys.executable).parent
INSTALL = "pip install git+https://git.example.com/dvc-studio-models"
URL = "git@github.com:acme/models.git"
INNER = re.compile(r"(?<![\w.])(?=/(?:app|srv|var|tmp|kserve|mnt)\b)")
"""Where paths of a container begin."""

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Container:
    """A folder that stands for the root of a container."""

    root: Path
    environ: dict[str, str]

    def inner(self, text: str) -> str:
        """Return a text with the paths of the container below the folder."""
        return INNER.sub(str(self.root), text)

    def run(
        self, *command: str, folder: str = "/", prefix: Any = (), **env: str
    ) -> Done:
        cwd = self.root / folder.strip("/")
        cwd.mkdir(parents=True, exist_ok=True)
        return subprocess.run(
            [*prefix, *map(self.inner, command)],
            cwd=cwd,
            env={**self.environ, **{name: self.inner(env[name]) for name in env}},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry of the repo that the examples name."""
    folder = tmp_path_factory.mktemp("acme")
    template = tmp_path_factory.getbasetemp() / "template"
    project = copy_project(template, folder / "project")
    git(project.repo, "remote", "set-url", "origin", URL)
    with serve(project, folder) as served:
        yield served


@pytest.fixture
def container(registry: Registry, tmp_path: Path) -> Container:
    """A container that has the token."""
    root = tmp_path / "root"
    root.mkdir()
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    # Coverage writes a file where a container can write none.
    names = (name for name in os.environ if not name.startswith(COVERAGE))
    inherited = {name: os.environ[name] for name in names}
    environ = {**inherited, **registry.environ, "PATH": path}
    return Container(root, environ)


def read(name: str) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all((EXAMPLES / name).read_text("utf-8")))


def instructions(name: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile with their arguments."""
    lines = re.sub(r"^#.*\n", "", (EXAMPLES / name).read_text("utf-8"), flags=re.M)
    for line in lines.replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def mounts(arguments: str) -> tuple[dict[str, dict[str, str]], str]:
    """Split the mounts of a RUN, by their types, from its command."""
    found = {}
    while arguments.startswith("--mount="):
        option, _, arguments = arguments.partition(" ")
        pairs = dict(
            each.split("=", 1) for each in option.removeprefix("--mount=").split(",")
        )
        found[pairs["type"]] = pairs
        arguments = arguments.strip()
    return found, arguments


def build(name: str, container: Container, context: Path) -> dict[str, str]:
    """Run a Dockerfile; return the environment of its image.

    All stages have one root, so their paths must differ.
    """
    env: dict[str, str] = {}
    folder = "/"
    for word, arguments in instructions(name):
        if word == "ENV":
            env.update([arguments.split("=", 1)])
        elif word == "WORKDIR":
            folder = arguments
        elif word == "COPY":
            copy(arguments, container.root, folder.strip("/"), context)
        elif word == "RUN":
            mounted, command = mounts(arguments)
            if command == INSTALL:  # which the environment of the tests has done
                continue
            if "secret" in mounted:
                assert mounted["secret"]["env"] == "DVC_STUDIO_TOKEN"
            done = container.run("/bin/sh", "-c", command, folder=folder, **env)
            assert (done.returncode, done.stderr) == (0, "")
        else:
            assert word in {"FROM", "ENTRYPOINT", "CMD", ""}, word
    return env


def copy(arguments: str, root: Path, folder: str, context: Path) -> None:
    *options, source, target = arguments.split()
    place = root / folder / target.removeprefix("/")
    if target.startswith("/"):
        place = root / target.strip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if source == ".":
        ignored = (EXAMPLES / "Dockerfile.dockerignore").read_text().splitlines()
        leave_out = shutil.ignore_patterns(*ignored)
        shutil.copytree(context, place, dirs_exist_ok=True, ignore=leave_out)
    elif options:
        assert options == ["--link", "--from=models"]
        shutil.copytree(root / source.strip("/"), place, dirs_exist_ok=True)
    else:
        place.mkdir(parents=True, exist_ok=True) if target == "./" else None
        shutil.copy(context / source, place)


@pytest.fixture
def context(run_dvc: RunDvc, registry: Registry, tmp_path: Path) -> Path:
    """The repo of a service that pins a model of another repo."""
    git(tmp_path, "init", "--quiet", "service")
    service = tmp_path / "service"
    run = ("models", "pull", "churn#prod", "--repo", URL, "--lock", "--no-cache")
    done = run_dvc(*run, cwd=service, env=registry.environ)
    assert done.returncode == 0, done.stderr
    (service / "models" / "churn.pkl").write_bytes(b"another version")
    (service / ".dvc").mkdir()
    (service / ".dvc" / "config.local").write_text("secrets")
    shutil.copy(EXAMPLES / "entrypoint.sh", service)
    (service / "service.py").write_text("print(open('models/churn.pkl').read()[:5])")
    return service


# The image of a service


def test_an_image_is_built_with_what_is_pinned(
    container: Container, context: Path
) -> None:
    build("Dockerfile", container, context)

    app = container.root / "app"
    assert (app / "models/churn.pkl").read_bytes() == CHURN["v2.0.0"]
    assert not (app / "models/churn.pkl").is_symlink()
    assert {path.name for path in app.iterdir()} == {
        *("entrypoint.sh", "models", "models.lock", "service.py"),
    }


def test_the_next_build_downloads_nothing(container: Container, context: Path) -> None:
    build("Dockerfile", container, context)
    shutil.rmtree(container.root / "srv")
    runs = [each for word, each in instructions("Dockerfile") if word == "RUN"]
    _, command = mounts(runs[-1])

    env = {"DVC_STUDIO_REPO_URL": URL}
    done = container.run("/bin/sh", "-c", f"{command} --json", folder="/app", **env)

    assert (done.returncode, done.stderr) == (0, "")
    assert '"bytes_downloaded": 0' in done.stdout


def test_the_entry_point_pulls_and_then_starts_the_service(
    container: Container, context: Path
) -> None:
    env = build("Dockerfile", container, context)
    entry, command = (
        YAML(typ="safe").load(arguments)
        for word, arguments in instructions("Dockerfile")
        if word in {"ENTRYPOINT", "CMD"}
    )
    script = container.root / "app" / "entrypoint.sh"
    script.write_text(container.inner(script.read_text()))
    model = container.root / "app" / "models" / "churn.pkl"
    model.unlink()

    started = container.run(*entry, *command, folder="/app", **env)
    down = {"DVC_STUDIO_URL": f"http://127.0.0.1:{free_port()}"}
    offline = container.run(*entry, *command, folder="/app", **env, **down)
    model.unlink()
    missing = container.run(*entry, *command, folder="/app", **env, **down)
    refused = container.run(
        *entry, *command, folder="/app", **env, DVC_STUDIO_TOKEN="wrong"
    )

    assert (started.returncode, started.stdout) == (0, "churn\n"), started.stderr
    assert (offline.returncode, offline.stdout) == (0, "churn\n")
    assert "cannot reach Studio" in offline.stderr
    assert (missing.returncode, missing.stdout) == (5, "")
    assert (refused.returncode, refused.stdout) == (3, "")


# Kubernetes


def environ_of(container: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a container in YAML, without the token."""
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env.pop("DVC_STUDIO_TOKEN") is None
    return env


def read_only_root(volumes: list[Path]) -> list[str]:
    """Return a prefix: only these folders can be written, by a user without a name."""
    binds = "".join(f"mount --bind {each} {each} && " for each in volumes)
    script = f'{binds}mount -o remount,bind,ro / && exec "$@"'
    return [*mount_namespace(), "sh", "-c", script, "sh", *stranger()]


def test_an_init_container_pulls_as_a_user_without_a_name(
    container: Container,
) -> None:
    (deployment,) = read("kubernetes.yaml")
    spec = deployment["spec"]["template"]["spec"]
    (init,) = spec["initContainers"]
    mounted = {each["name"]: each["mountPath"] for each in init["volumeMounts"]}
    assert set(mounted) == {volume["name"] for volume in spec["volumes"]}
    for path in mounted.values():
        (container.root / path.strip("/")).mkdir(parents=True)
    env = environ_of(init) | {"HOME": "/app", "TMPDIR": "/tmp"}
    home = container.root / "app"
    home.mkdir(mode=0o555)
    for name in [each for each in container.environ if each.startswith("XDG_")]:
        del container.environ[name]
    for name in ("DVC_SITE_CACHE_DIR", "DVC_GLOBAL_CONFIG_DIR"):
        del container.environ[name]

    assert init["securityContext"] == {"readOnlyRootFilesystem": True}
    prefix = read_only_root(
        [container.root / each.strip("/") for each in mounted.values()]
    )
    first = container.run(*init["command"], prefix=prefix, **env)
    placed = container.root / mounted["models"].strip("/")
    shutil.rmtree(placed)
    placed.mkdir()
    again = container.run(*init["command"], "--json", prefix=prefix, **env)

    assert (first.returncode, first.stderr) == (0, "")
    assert (again.returncode, again.stderr) == (0, "")
    assert '"bytes_downloaded": 0' in again.stdout
    assert read_tree(placed) == {"models/churn.pkl": CHURN["v2.0.0"]}
    assert list(home.iterdir()) == []


# KServe


def kserve(container: Container, *pairs: str, **env: str) -> Done:
    """Run the storage container as KServe does."""
    storage, _ = read("kserve.yaml")
    inner = storage["spec"]["container"]
    build("models.Dockerfile", container, EXAMPLES)
    (entry,) = (
        YAML(typ="safe").load(arguments)
        for word, arguments in instructions("models.Dockerfile")
        if word == "ENTRYPOINT"
    )
    return container.run(*entry, *pairs, **{**environ_of(inner), **env})


def test_kserve_finds_a_model_of_one_file_where_its_server_looks(
    container: Container,
) -> None:
    storage, service = read("kserve.yaml")
    uri = service["spec"]["predictor"]["model"]["storageUri"]
    (scheme,) = storage["spec"]["supportedUriFormats"]
    assert uri.startswith(scheme["prefix"])
    assert storage["spec"]["container"]["name"] == "storage-initializer"

    for _ in range(2):
        done = kserve(container, uri, "/mnt/models")

        assert (done.returncode, done.stderr) == (0, "")
        placed = read_tree(container.root / "mnt" / "models")
        assert placed == {"churn.pkl": CHURN["v2.0.0"]}


def test_kserve_gets_several_models_and_folders(container: Container) -> None:
    one = ("dvc-models://bert@v1.0.0", "/mnt/one")
    two = ("dvc-models://churn#dev", "/mnt/two")

    done = kserve(container, *one, *two)

    assert (done.returncode, done.stderr) == (0, "")
    assert read_tree(container.root / "mnt" / "one") == BERT["v1.0.0"]
    assert read_tree(container.root / "mnt" / "two") == {"churn.pkl": CHURN["v1.0.0"]}


def test_kserve_is_told_why_a_model_is_not_there(container: Container) -> None:
    done = kserve(container, "dvc-models://none", "/mnt/models")

    assert done.returncode == 4
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [(), ("dvc-models://churn",), ("a", "b", "c")])
def test_kserve_wants_pairs(container: Container, words: tuple[str, ...]) -> None:
    done = kserve(container, *words)

    assert done.returncode == 1
    assert done.stderr == "usage: kserve.py dvc-models://NAME FOLDER [...]\n"


# The page


def test_the_page_shows_each_file_and_no_other() -> None:
    linked = set(re.findall(r"\(\.\./examples/docker/([\w.-]+)\)", PAGE))
    named = set(re.findall(r"examples/docker/([\w-]+\.\w+)", PAGE))

    assert linked == {path.name for path in EXAMPLES.iterdir()}
    assert named <= linked | {"Dockerfile"}


def test_each_command_of_the_page_needs_an_engine() -> None:
    blocks = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.S))
    commands = re.findall(r"^\$ (.*)", blocks, re.M)

    assert len(commands) >= 4
    assert {shlex.split(command)[0] for command in commands} <= {"docker", "kubectl"}
