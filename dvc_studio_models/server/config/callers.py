"""The keys of ``serve.yaml`` about those who may read: tokens, jobs, Git hosts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dvc_studio_models.registry.urls import is_loopback_host
from dvc_studio_models.server.config.claims import (
    find_audience_problem,
    find_problem,
)
from dvc_studio_models.server.config.kinds import Choice, Day, Text
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
    TokenConfig,
)

if TYPE_CHECKING:
    from dvc_studio_models.server.config.kinds import Place

KINDS = {"github.com": "github", "gitlab.com": "gitlab"}
"""What runs at the public Git hosts."""

_GLOBS = Items(Text(), least=1)


_OF_EXAMPLES = {
    hashlib.sha256(token.encode()).hexdigest(): token for token in ("1", "2", "test")
}


def _check_sha256(text: str) -> str | None:
    sha256 = parse_sha256(text)
    if sha256 is None:
        return "this is not the SHA-256 of a token; make both with 'dvc models token'"
    if token := _OF_EXAMPLES.get(sha256):
        return (
            f"this is the SHA-256 of '{token}', which anybody can guess; make a token "
            "with 'dvc models token'"
        )
    return None


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
    parts = urlsplit(text)
    if parts.username is not None:
        return "this must not have a user or a password"
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
