"""Real storage servers: LocalStack (S3), Azurite (Azure) and nginx (http).

Each runs as a process on a free port until the end of its block. ``new_place`` creates
a bucket, container or folder. A ``Team`` pushes a real project to it, and serves it.

``make test-servers`` installs the servers.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from dvc.repo import Repo
from environments import DVC
from needs import lacking, need_package
from projects import (
    BERT,
    CHURN,
    MAIN_DVC_YAML,
    Project,
    commit_all,
    init_project,
    write,
)
from servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CHECKOUT = Path(__file__).parents[2]
STORES = CHECKOUT / ".test-servers"
LOCALSTACK = STORES / "localstack/bin/python"
AZURITE = STORES / "azurite/node_modules/azurite/dist/src/blob/main.js"
SYSTEM_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"  # Debian's nginx

TOKEN = "token-of-the-store-tests"
HOST = "127.0.0.1"
START_S = 60  # enough for two busy cores and a cold disk cache
STOP_S = 20

S3_KEY_ID = "test"
S3_SECRET = "test"  # LocalStack verifies signatures with this key
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_SECRET = (  # Azurite's public key
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr"
    "/KBHBeksoGMGw=="
)
_FOREIGN = re.compile(
    r"(AWS|AZURE|DVC|GIT|GOOGLE|LOCALSTACK|STUDIO)_.*"
    r"|(ALL|HTTPS?)_PROXY|(CURL|REQUESTS)_CA_BUNDLE|SSL_CERT_(DIR|FILE)",
    re.IGNORECASE,
)
_names = (f"place-{number}" for number in itertools.count(1))


@dataclass(frozen=True)
class Place:
    """A bucket, container or folder, as the remote of a DVC project."""

    options: Mapping[str, str]
    """Options in ``.dvc/config``, which is public."""

    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Options in ``.dvc/config.local``, for pushing and serving."""

    wrong_secrets: Mapping[str, str] = field(default_factory=dict)
    """Secrets of the same form, which the server refuses."""

    planted: tuple[str, ...] = ()
    """Texts that must never appear in output."""


@dataclass(frozen=True)
class S3:
    """LocalStack, which verifies signatures of version 2 and 4, and their expiry."""

    url: str

    def new_place(self, *, region: str = "us-east-1", versioned: bool = False) -> Place:
        bucket = next(_names)
        self._create(bucket, region, versioned=versioned)
        options = {
            "url": f"s3://{bucket}/some/folder",
            "endpointurl": self.url,
            "region": region,
            **({"version_aware": "true"} if versioned else {}),
        }
        secrets = {"access_key_id": S3_KEY_ID, "secret_access_key": S3_SECRET}
        wrong = {**secrets, "secret_access_key": "not-the-key"}
        return Place(options, secrets, wrong, ("not-the-key",))

    def through(self, proxy_url: str, place: Place) -> Mapping[str, str]:
        return {**place.secrets, "endpointurl": proxy_url}

    def _create(self, bucket: str, region: str, *, versioned: bool) -> None:
        import botocore.session

        client = botocore.session.Session().create_client(
            "s3",
            region,
            endpoint_url=self.url,
            aws_access_key_id=S3_KEY_ID,
            aws_secret_access_key=S3_SECRET,
        )
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=bucket, **({} if region == "us-east-1" else where))
        if versioned:
            client.put_bucket_versioning(
                Bucket=bucket, VersioningConfiguration={"Status": "Enabled"}
            )
        client.close()


@dataclass(frozen=True)
class Azure:
    """Azurite, which verifies shared access signatures and their expiry."""

    url: str

    def new_place(self) -> Place:
        from azure.storage.blob import ContainerClient

        name = next(_names)
        connection = self._connection(self.url, AZURE_SECRET)
        with ContainerClient.from_connection_string(connection, name) as container:
            container.create_container()
        wrong = "bm90LXRoZS1rZXk="
        return Place(
            {"url": f"azure://{name}/some/folder"},
            {"connection_string": connection},
            {"connection_string": self._connection(self.url, wrong)},
            (AZURE_SECRET, wrong),
        )

    def through(self, proxy_url: str, place: Place) -> Mapping[str, str]:
        del place
        return {"connection_string": self._connection(proxy_url, AZURE_SECRET)}

    @staticmethod
    def _connection(url: str, secret: str) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};"
            f"AccountKey={secret};BlobEndpoint={url}/{AZURE_ACCOUNT}"
        )


@dataclass(frozen=True)
class Http:
    """nginx, which accepts files with WebDAV's PUT, and sends them to anyone."""

    url: str

    def new_place(self, **own: str) -> Place:
        """Create a folder; options in ``own`` are only on this machine."""
        url = f"{self.url}/{next(_names)}/some folder"
        return Place({"url": url, "method": "PUT"}, own)


@dataclass(frozen=True)
class Registry:
    """A running ``dvc models serve``."""

    url: str
    log: Path

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables of a client."""
        return {"DVC_STUDIO_URL": self.url, "DVC_STUDIO_TOKEN": TOKEN}


class Team:
    """A project with its storage, and the processes that push to it and serve it."""

    def __init__(self, project: Project, place: Place, home: Path) -> None:
        """Use a project with the remote ``place``; ``home`` must exist."""
        self.project = project
        self.place = place
        self.environ = environ(home)
        self.home = home
        self._write("config.local", "", place.secrets)

    @classmethod
    def create(cls, root: Path, place: Place, *, push: bool = False) -> Team:
        """Create a project with the tests' models at ``root``, which must not exist.

        ``churn`` (a file) and ``bert`` (a folder) have v1.0.0 and v2.0.0; churn#prod is
        v1.0.0. With ``push``, each version is pushed before it is committed, as
        cloud-versioned storage needs it; otherwise nothing is pushed.
        """
        project = init_project(root)
        team = cls(project, place, root)
        team._write("config", "[core]\n    remote = store\n", place.options)
        write(project.repo, {"dvc.yaml": MAIN_DVC_YAML.encode()})
        for version in CHURN:
            shutil.rmtree(project.repo / "models", ignore_errors=True)
            write(project.repo / "models", {"churn.pkl": CHURN[version]})
            write(project.repo / "models/bert", BERT[version])
            team._track("models/churn.pkl", "models/bert")
            if push:
                team.push()
            commit_all(project, "Train")
            project.tag(f"churn@{version}")
            project.tag(f"bert@{version}")
        project.tag("churn#prod#1", "churn@v1.0.0")
        return team

    def train(self, name: str, files: Mapping[str, bytes]) -> None:
        """Register a new model's first version, without pushing it.

        Args:
            name: The name of the model.
            files: Path below ``models/NAME`` -> content; the path is ``""`` if the
                model is one file.
        """
        repo = self.project.repo
        write(
            repo, {f"models/{name}/{path}".rstrip("/"): files[path] for path in files}
        )
        with (repo / "dvc.yaml").open("a") as annotations:
            annotations.write(f"  {name}:\n    path: models/{name}\n")
        self._track(f"models/{name}")
        commit_all(self.project, "Train")
        self.project.tag(f"{name}@v1.0.0")

    def fork(self, root: Path, secrets: Mapping[str, str] | None = None) -> Team:
        """Create a team with its own clone at ``root``, with other secrets if given."""
        root.mkdir()
        project = Project(root)
        self.project.clone(project.repo)
        known = self.place.secrets if secrets is None else secrets
        return Team(project, replace(self.place, secrets=known), root)

    def _track(self, *paths: str) -> None:
        with Repo(str(self.project.repo)) as repo:
            repo.add([str(self.project.repo / path) for path in paths])

    def push(self, *args: str) -> None:
        """Run ``dvc push``, which must succeed."""
        done = self.dvc("push", *args)
        assert done.returncode == 0, done.stdout + done.stderr

    def dvc(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run ``dvc`` in the project."""
        return subprocess.run(
            [DVC, *args],
            cwd=self.project.repo,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    @contextlib.contextmanager
    def serving(self, *options: str) -> Iterator[Registry]:
        """Run ``dvc models serve`` for the project."""
        log = self.home / f"serve-{next(_names)}.log"
        env = {**self.environ, "DVC_STUDIO_TOKEN": TOKEN}
        with served(self.project.repo, *options, log=log, env=env) as url:
            yield Registry(url, log)

    def _write(self, name: str, head: str, options: Mapping[str, str]) -> None:
        lines = [f"    {key} = {value}\n" for key, value in options.items()]
        text = f"{head}['remote \"store\"']\n{''.join(lines)}"
        (self.project.repo / ".dvc" / name).write_text(text)


# -- the processes


@contextlib.contextmanager
def served(
    repo: Path, *options: str, log: Path, env: Mapping[str, str]
) -> Iterator[str]:
    """Run ``dvc models serve`` for a repo; yield its URL."""
    url = re.compile(r"http://\S+")
    with running(
        [DVC, "models", "serve", "--port", "0", *options, repo],
        is_ready=lambda: url.search(log.read_text()) is not None,
        log=log,
        env=env,
    ):
        found = url.search(log.read_text())
        assert found
        yield found[0]


@contextlib.contextmanager
def localstack(folder: Path) -> Iterator[S3]:
    """Run LocalStack; it only writes to ``folder``, which must exist."""
    need(LOCALSTACK.exists(), "LocalStack")
    need_package("dvc_s3")
    port = free_port()
    log = folder / "localstack.log"
    env = {
        **environ(folder),
        "DISABLE_EVENTS": "1",  # its analytics
        "DNS_ADDRESS": "0",  # no name server
        "FILESYSTEM_ROOT": str(folder / "root"),
        "GATEWAY_LISTEN": f"{HOST}:{port}",
        "GATEWAY_SERVER": "twisted",
        "OVERRIDE_IN_DOCKER": "0",  # otherwise it writes to /var/lib in a container
        "S3_SKIP_SIGNATURE_VALIDATION": "0",
        "SERVICES": "s3",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
    }
    with running(
        [LOCALSTACK, "-m", "localstack.runtime.main"],
        is_ready=lambda: "Ready." in log.read_text(),
        log=log,
        env=env,
        end=signal.SIGKILL,
    ):
        yield S3(f"http://{HOST}:{port}")


@contextlib.contextmanager
def azurite(folder: Path) -> Iterator[Azure]:
    """Run Azurite in memory, with its log in ``folder``, which must exist."""
    node = shutil.which("node")
    need(AZURITE.exists() and node is not None, "Azurite")
    need_package("dvc_azure")
    port = free_port()
    options = ["--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck"]
    with running(
        [str(node), AZURITE, "--blobPort", str(port), *options],
        is_ready=lambda: accepts(port),
        log=folder / "azurite.log",
        env=environ(folder),
    ):
        yield Azure(f"http://{HOST}:{port}")


@contextlib.contextmanager
def nginx(folder: Path, *servers: str) -> Iterator[None]:
    """Run nginx with these ``server`` blocks; its other files are in ``folder``."""
    program = shutil.which("nginx", path=SYSTEM_PATH)
    need(program is not None, "nginx")
    folder.mkdir(exist_ok=True)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        "daemon off;\n"
        "master_process off;\n"  # only one process, which is stopped at the end
        f"pid {folder}/nginx.pid;\n"
        "events {}\n"
        "http {\n"
        "access_log off;\n"
        "client_max_body_size 0;\n"
        "underscores_in_headers on;\n"  # Azure's metadata
        f"{temporary}"
        f"{''.join(servers)}"
        "}\n"
    )
    ports = [
        int(port) for port in re.findall(rf"listen {HOST}:(\d+)", "".join(servers))
    ]
    with running(
        [str(program), "-e", "stderr", "-c", config],
        is_ready=lambda: all(accepts(port) for port in ports),
        log=folder / "nginx.log",
        env=environ(folder),
    ):
        yield


@contextlib.contextmanager
def http_store(folder: Path, tls: Tls | None = None) -> Iterator[Http]:
    """Run nginx as storage; ``folder`` must exist."""
    port = free_port()
    place = "dav_methods PUT DELETE; create_full_put_path on;"
    server = nginx_server(port, f"root {folder}/www; {place}", tls)
    (folder / "www").mkdir()
    with nginx(folder, server):
        yield Http(f"{'https' if tls else 'http'}://{HOST}:{port}")


@contextlib.contextmanager
def proxy(
    folder: Path, to: str, *, path: str = "", more: str = "", tls: Tls | None = None
) -> Iterator[str]:
    """Run nginx in front of the server at ``to``; yield its URL.

    Args:
        folder: Folder for nginx's files.
        to: Scheme, host and port.
        path: Path prefix of ``to``, with the first slash; it is forwarded unchanged.
        more: More directives, such as ``limit_rate``.
        tls: Certificate for TLS.
    """
    port = free_port()
    body = (
        f"location {path}/ {{ proxy_pass {to}; proxy_http_version 1.1;"
        " proxy_set_header Host $http_host;"  # S3 signs it
        f" proxy_set_header X-Forwarded-Proto $scheme; {more} }}"
    )
    with nginx(folder, nginx_server(port, body, tls)):
        yield f"{'https' if tls else 'http'}://{HOST}:{port}{path}"


def nginx_server(port: int, body: str, tls: Tls | None = None) -> str:
    """Return a ``server`` block."""
    keys = (
        f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};"
        if tls
        else ""
    )
    listen = f"listen {HOST}:{port}{' ssl' if tls else ''};"
    return f"server {{ {listen} {keys} {body} }}\n"


@dataclass(frozen=True)
class Tls:
    """A certificate for 127.0.0.1, from an unknown CA."""

    ca: Path
    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Tls:
        """Create the files in ``folder``, which must exist."""
        need(shutil.which("openssl") is not None, "openssl")
        made = cls(folder / "ca.pem", folder / "server.pem", folder / "server.key")
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        signed = ["-CA", made.ca, "-CAkey", folder / "ca.key"]
        for who, extension, out, key, by in (
            ("/CN=CA", "basicConstraints=critical,CA:TRUE", made.ca, "ca.key", []),
            ("/CN=us", f"subjectAltName=IP:{HOST}", made.certificate, made.key, signed),
        ):
            to = ["-out", out, "-keyout", folder / key]
            about = ["-subj", who, "-addext", extension]
            subprocess.run(
                ["openssl", "req", "-x509", "-days", "2", *new, *by, *to, *about],
                check=True,
                capture_output=True,
            )
        return made


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    *,
    is_ready: Callable[[], bool],
    log: Path,
    env: Mapping[str, str],
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the block; enter the block when it is ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + START_S
        while not is_ready():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def session(
    command: Sequence[str | Path], **options: Any
) -> Iterator[subprocess.Popen[str]]:
    """Start a program with ``Popen``; kill its process group at the end."""
    with subprocess.Popen(command, start_new_session=True, **options) as process:
        try:
            yield process
        finally:  # its children may outlive it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def environ(home: Path) -> dict[str, str]:
    """Return the environment of a process whose files are all in ``home``."""
    inherited = {
        name: value for name, value in os.environ.items() if not _FOREIGN.match(name)
    }
    (home / "aws-config").touch()  # dvc-s3 breaks on /dev/null
    return {
        **inherited,
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "AWS_CONFIG_FILE": str(home / "aws-config"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site-cache"),
        "DVC_NO_ANALYTICS": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def need(present: bool, what: str) -> None:
    """Skip the test unless ``make test-servers`` has installed the program."""
    if not present:
        lacking(f"{what} is missing: run 'make test-servers'")


def accepts(port: int) -> bool:
    """Whether a server listens on the port."""
    with socket.socket() as connection:
        return connection.connect_ex((HOST, port)) == 0
