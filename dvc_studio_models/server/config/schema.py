"""The keys of ``serve.yaml``, and what is made of them."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dvc_studio_models.registry.urls import is_local
from dvc_studio_models.server.config.callers import GIT_HOST, OIDC, TOKEN
from dvc_studio_models.server.config.exposure import exposure_problem
from dvc_studio_models.server.config.kinds import (
    Choice,
    PathText,
    Secret,
    SecretUrl,
    Switch,
    Text,
    Whole,
    resolve,
)
from dvc_studio_models.server.config.sections import (
    Items,
    Key,
    Pairs,
    Section,
)
from dvc_studio_models.server.config.values import (
    RepoConfig,
    ServeConfig,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.server.config.kinds import Place

LAST_PORT = (1 << 16) - 1
LONGEST_S = 7 * 24 * 3600
"""The longest life of a link, in seconds: what S3 signs at most."""

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_LISTEN = r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]\s/]+):(?P<port>[0-9]{1,5})"
_PATHS = ("cert_path", "configpath", "credentialpath", "key_path", "keyfile")
"""DVC's options that name files."""

_DAY_S = 24 * 3600


def _check_name(text: str) -> str | None:
    if re.fullmatch(_NAME, text) and not text.endswith(".git"):
        return None
    return "a name has only letters, digits, '.', '_' and '-', and no '.git'"


def _check_listen(text: str) -> str | None:
    match = re.fullmatch(_LISTEN, text)
    if match and int(match["port"]) <= LAST_PORT:
        return None
    return f"'{text}' is not HOST:PORT, such as 127.0.0.1:8501"


def _check_root(text: str) -> str | None:
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:(?!//)", text):
        return "this is neither a path nor a URL, such as s3://bucket/folder"
    return None


def _make_repo(read: dict[str, Any], place: Place) -> RepoConfig:
    if ("path" in read) == ("url" in read):
        place.wrong("a repo has either a 'path' or a 'url'")
    for key in ("fetch", "webhook_secret"):
        if key in read and "url" not in read:
            place.at(key).wrong("only a repo with a 'url' is fetched")
    roots = read.get("roots")
    return RepoConfig(
        read.get("path") or "",
        name=read.get("name") or "",
        aliases=read.get("aliases", ()),
        remote=read.get("remote"),
        remote_option="remote: NAME",
        roots=roots and tuple(_root(root, place) for root in roots if root),
        credentials={
            name: resolve(value, place) if name in _PATHS and value else value
            for name, value in read.get("credentials", {}).items()
        },
        url=_url(read.get("url"), place),
        fetch_s=read.get("fetch") or 60,
        webhook_secret=read.get("webhook_secret"),
        problem=place.problem(),
    )


def remote_options() -> set[str]:
    """Return the names of DVC's options of remotes, of all kinds."""
    names = {name for schema in remote_schemas().values() for name in schema}
    return {name for name in names if isinstance(name, str)} - {"url"}


def remote_schemas() -> Mapping[str, Mapping[Any, Any]]:
    """Return DVC's options for each kind of remote, and how it checks values."""
    from dvc import config_schema

    if hasattr(config_schema, "REMOTE_SCHEMAS"):
        schemas: Mapping[str, Mapping[Any, Any]] = config_schema.REMOTE_SCHEMAS
        return schemas
    check = inspect.getclosurevars(config_schema.SCHEMA["remote"][str])  # before 3.64
    return {kind: each.schema for kind, each in check.nonlocals["schemas"].items()}


def _url(url: str | None, place: Place) -> str | None:
    """Return a URL as it is, and a path as an absolute one."""
    is_path = url and "://" not in url and is_local(url)
    return resolve(url, place) if url and is_path else url


def _root(root: str, place: Place) -> str:
    """Return a URL as it is, and a folder as an absolute path."""
    return root if "://" in root else resolve(root, place)


REPO = Section(
    {
        "name": Key(
            Text(_check_name, f"^{_NAME}$"),
            "Its name in links and in 'repos' of tokens; by default from its URL.",
        ),
        "path": Key(PathText(), "A clone or a bare repo on this machine."),
        "url": Key(SecretUrl(), "Where to clone it from, into a mirror below 'data'."),
        "fetch": Key(Whole(1, _DAY_S), "Seconds between fetches of its mirror; 60."),
        "webhook_secret": Key(
            Secret(), "Signs the requests to /webhook/NAME, which fetch at once."
        ),
        "aliases": Key(Items(Text()), "Further URLs of it, or owner/name."),
        "remote": Key(
            Text(), "The DVC remote to serve from; each project's default by default."
        ),
        "roots": Key(
            Items(Text(_check_root)),
            "URLs and folders below which its DVC remotes may be; by default those of "
            "its default remote.",
        ),
        "credentials": Key(
            Pairs(Secret(), remote_options),
            "Credentials of its DVC remotes, by DVC's option names.",
        ),
    },
    _make_repo,
)


def _make_config(read: dict[str, Any], place: Place) -> ServeConfig:
    host, port = _split(read.get("listen") or "127.0.0.1:8501")
    no_auth = bool(read.get("no_auth"))
    repos = _present(read.get("repos", ()))
    config = ServeConfig(
        repos,
        None if no_auth else _present(read.get("tokens", ())),
        expires_s=read.get("expires") or 3600,
        verify_objects=bool(read.get("verify_objects")),
        behind_proxy=bool(read.get("behind_proxy")),
        host=host,
        port=port,
        data=Path(read["data"]) if read.get("data") else None,
        log_format=read.get("log_format") or "logfmt",
        oidc=_present(read.get("oidc", ())),
        git_hosts=_present(read.get("git_hosts", ())),
        workers=read.get("workers") or 1,
    )
    _check_config(config, read, place)
    return config


def _check_config(config: ServeConfig, read: dict[str, Any], place: Place) -> None:
    _check_unique([repo.name for repo in config.repos], "repos", "name", place)
    hashes = [token.sha256 for token in config.tokens or ()]
    _check_unique(hashes, "tokens", "sha256", place)
    callers = [key for key in ("tokens", "oidc", "git_hosts") if read.get(key)]
    for number, repo in enumerate(read.get("repos", ())):
        if repo and repo.url and config.data is None:
            at = place.at("repos", number, "url")
            at.wrong("its mirror needs a folder: add 'data'")
    no_auth = config.tokens is None
    if no_auth and callers:
        place.at("no_auth").wrong(f"'no_auth' and '{callers[0]}' cannot be combined")
    if not no_auth and not callers:
        place.wrong("there is nobody to serve: add 'tokens', or 'no_auth: true'")
    problem = exposure_problem(
        config.host,
        behind_proxy=config.behind_proxy,
        no_auth=no_auth,
        option=lambda flag: f"{flag.replace('-', '_')}: true",
    )
    if problem:
        place.at("listen").wrong(problem.replace("\n", ". "))


def _check_unique(values: Sequence[str], section: str, key: str, place: Place) -> None:
    for number, value in enumerate(values):
        if value and value in values[:number]:
            first = values.index(value)
            message = f"{section}[{first}] has the same '{key}'"
            place.at(section, number, key).wrong(message)


def _present(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(value for value in values if value is not None)


def _split(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


SERVE = Section(
    {
        "listen": Key(
            Text(
                _check_listen,
                f"^{_LISTEN.replace('?P<host>', '').replace('?P<port>', '')}$",
            ),
            "HOST:PORT to listen on; 127.0.0.1:8501. Port 0 takes a free one.",
        ),
        "behind_proxy": Key(
            Switch(), "Whether a TLS proxy is in front, so that any host is allowed."
        ),
        "workers": Key(Whole(1, 256), "Processes that answer requests; 1."),
        "log_format": Key(Choice(("logfmt", "json")), "Of the access log; logfmt."),
        "data": Key(PathText(), "The folder of the mirrors of repos with a 'url'."),
        "expires": Key(Whole(1, LONGEST_S), "Lifetime of a link, in seconds; 3600."),
        "verify_objects": Key(
            Switch(), "Whether to check that files are on the DVC remote."
        ),
        "no_auth": Key(Switch(), "Whether to require no token; only on loopback."),
        "repos": Key(Items(REPO, least=1), "The repos to serve.", required=True),
        "tokens": Key(Items(TOKEN), "The accepted tokens."),
        "oidc": Key(Items(OIDC), "CI jobs whose own tokens are accepted."),
        "git_hosts": Key(
            Items(GIT_HOST), "Git hosts whose users may use their own tokens."
        ),
    },
    _make_config,
)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``serve.yaml``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "serve.yaml of dvc models serve",
        **SERVE.json_schema(),
        "$defs": {"secret": Secret.definition()},
    }
