"""The keys of ``serve.yaml``, and what is made of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dvc_studio_models.registry.urls import is_local, is_loopback_host
from dvc_studio_models.server.config.claims import find_audience_problem, find_problem
from dvc_studio_models.server.config.exposure import exposure_problem
from dvc_studio_models.server.config.kinds import (
    Choice,
    Day,
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
    OneOrMore,
    Pairs,
    Section,
)
from dvc_studio_models.server.config.token_file import parse_sha256
from dvc_studio_models.server.config.values import (
    GitHostConfig,
    OidcConfig,
    RepoConfig,
    ServeConfig,
    TokenConfig,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.server.config.kinds import Place

LAST_PORT = (1 << 16) - 1
LONGEST_S = 7 * 24 * 3600
"""The longest life of a link, in seconds: what S3 signs at most."""

KINDS = {"github.com": "github", "gitlab.com": "gitlab"}
"""What runs at the public Git hosts."""

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


def _check_sha256(text: str) -> str | None:
    if parse_sha256(text):
        return None
    return "this is not the SHA-256 of a token; make both with 'dvc models token'"


_GLOBS = Items(Text())


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
    from dvc.config_schema import REMOTE_SCHEMAS

    names = {name for schema in REMOTE_SCHEMAS.values() for name in schema}
    return {name for name in names if isinstance(name, str)} - {"url"}


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
            Items(Text()),
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


def _make_token(read: dict[str, Any], _: Place) -> TokenConfig:
    return TokenConfig(
        read.get("name") or "",
        parse_sha256(read.get("sha256") or "") or "",
        read.get("repos", ("*",)),
        read.get("until"),
    )


TOKEN = Section(
    {
        "name": Key(Text(), "Of its owner, for the log.", required=True),
        "sha256": Key(
            Text(_check_sha256, "^(sha256:)?[0-9A-Fa-f]{64}$"),
            "The SHA-256 of the token, in hexadecimal digits.",
            required=True,
        ),
        "repos": Key(_GLOBS, "Globs of the names of the repos it may see; all."),
        "until": Key(Day(), "The last day, in UTC, on which it is accepted."),
    },
    _make_token,
)


def _check_url(text: str) -> str | None:
    try:
        parts = urlsplit(text)
    except ValueError:  # unbalanced brackets
        return "this is not a URL"
    is_loopback = parts.scheme == "http" and is_loopback_host(parts.hostname or "")
    if parts.hostname and (parts.scheme == "https" or is_loopback):
        return None
    return "this is not an https URL"


def _make_oidc(read: dict[str, Any], place: Place) -> OidcConfig:
    if "issuer" in read and "claims" in read:
        claims = {name: globs for name, globs in read["claims"].items() if all(globs)}
        if problem := find_problem(read["issuer"] or "", claims):
            place.at("claims").wrong(problem)
    return OidcConfig(
        read.get("issuer") or "",
        read.get("audience") or "",
        read.get("claims", {}),
        read.get("repos", ("*",)),
    )


OIDC = Section(
    {
        "issuer": Key(
            Text(_check_url), "The claim 'iss' of the tokens, a URL.", required=True
        ),
        "audience": Key(
            Text(find_audience_problem),
            "The claim 'aud': the origin of this server, as clients know it.",
            required=True,
        ),
        "claims": Key(
            Pairs(OneOrMore(Text())),
            "Claims that a token has to have: for each, a glob or a list of globs.",
            required=True,
        ),
        "repos": Key(_GLOBS, "Globs of the names of the repos it may see; all."),
    },
    _make_oidc,
)


def _make_git_host(read: dict[str, Any], place: Place) -> GitHostConfig:
    url = read.get("url") or ""
    kind = read.get("kind") or KINDS.get(urlsplit(url).hostname or "")
    if kind is None and "kind" not in read:
        place.wrong("'kind' is missing")
    return GitHostConfig(url, kind or "", read.get("repos", ("*",)))


GIT_HOST = Section(
    {
        "url": Key(
            Text(_check_url), "Its base URL, such as https://github.com.", required=True
        ),
        "kind": Key(Choice(("github", "gitlab")), "What runs there."),
        "repos": Key(_GLOBS, "Globs of the names of the repos they may see; all."),
    },
    _make_git_host,
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
    _check_unique([repo.name for repo in config.repos], "repos", place)
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


def _check_unique(names: Sequence[str], key: str, place: Place) -> None:
    for number, name in enumerate(names):
        if name and name in names[:number]:
            place.at(key, number, "name").wrong(f"there are two of the name '{name}'")


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
