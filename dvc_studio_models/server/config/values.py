"""The operator's choices, as frozen values. No I/O."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date


@dataclass(frozen=True)
class RepoConfig:
    """One repo to serve."""

    path: str
    """Of a clone or a bare repo, as given."""

    name: str = ""
    """Its name in links and in the scopes of tokens; empty to take the URL's."""

    aliases: tuple[str, ...] = ()
    """Further URLs of it, or ``owner/name``."""

    remote: str | None = None
    """DVC remote to serve from; None for each project's default."""

    remote_option: str = "--remote NAME"
    """How the operator chooses ``remote``, for messages."""

    roots: tuple[str, ...] | None = None
    """URLs and folders below which its DVC remotes may be; None for its own default."""

    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    """DVC's options of a remote, as ``access_key_id``; only from the server's side."""

    url: str | None = field(default=None, repr=False)
    """Where the mirror at ``path`` is fetched from; None for a repo of others."""

    fetch_s: int = 60
    """Pause between two fetches, in seconds."""

    webhook_secret: str | None = field(default=None, repr=False)
    """Signs the requests that make the server fetch at once; None accepts none."""

    problem: str | None = None
    """Why it cannot be served, such as a secret that cannot be read."""

    @classmethod
    def parse(cls, argument: str, *, remote: str | None = None) -> RepoConfig:
        """Read ``PATH`` or ``NAME=PATH``, where NAME is ``owner/name`` or a URL."""
        name, equals, path = argument.partition("=")
        if equals and not Path(argument).exists():
            return cls(path, aliases=(name,), remote=remote)
        return cls(argument, remote=remote)


@dataclass(frozen=True)
class TokenConfig:
    """One token that is accepted."""

    name: str
    """Of its owner, for the access log; may be empty."""

    sha256: str = field(repr=False)
    """Of the token, in hex."""

    repos: tuple[str, ...] = ("*",)
    """Globs of the names of the repos that it may see."""

    until: date | None = None
    """The last day, in UTC, on which it is accepted; None for ever."""

    @classmethod
    def of(cls, token: str, name: str = "") -> TokenConfig:
        """Return the config of a token that is known."""
        return cls(name, hashlib.sha256(token.encode()).hexdigest())


@dataclass(frozen=True)
class OidcConfig:
    """Jobs whose own tokens (OpenID Connect) are accepted."""

    issuer: str
    """Base URL of what issues the tokens, exactly as their claim ``iss`` says it."""

    audience: str
    """The claim ``aud``: the origin of this server, as its clients know it."""

    claims: Mapping[str, tuple[str, ...]]
    """Claim -> globs, of which one has to match; ``*`` matches ``/`` too."""

    repos: tuple[str, ...] = ("*",)
    """Globs of the names of the repos that such a job may see."""


@dataclass(frozen=True)
class GitHostConfig:
    """A Git host whose users may use their own tokens."""

    url: str
    """Its base URL, as ``https://github.com``."""

    kind: str
    """``github`` or ``gitlab``."""

    repos: tuple[str, ...] = ("*",)
    """Globs of the names of the repos that they may see if they may clone them."""


@dataclass(frozen=True)
class ServeConfig:
    """All choices of the operator."""

    repos: tuple[RepoConfig, ...]
    tokens: tuple[TokenConfig, ...] | None
    """None to require no token."""

    expires_s: int = 3600
    """Life of a link, in seconds."""

    verify_objects: bool = False
    """Return links only to objects that are on the remote."""

    behind_proxy: bool = False
    """Whether only a TLS proxy can connect to this server."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    port: int = 8501
    """Port to listen on; 0 for a free one."""

    data: Path | None = None
    """The folder of mirrors; needed only for repos with a ``url``."""

    log_format: str = "logfmt"
    """``logfmt`` or ``json``."""

    oidc: tuple[OidcConfig, ...] = ()
    """Jobs that need no configured token."""

    git_hosts: tuple[GitHostConfig, ...] = ()
    """Git hosts whose tokens are accepted."""

    workers: int = 1
    """Processes that answer requests."""


def known_tokens(owners: Mapping[str, str] | None) -> tuple[TokenConfig, ...] | None:
    """Return the configs of tokens with their owners' names; None for no tokens."""
    if owners is None:
        return None
    return tuple(TokenConfig.of(token, name) for token, name in owners.items())
