"""Checks the tokens that users have at a Git host, by what they may clone there.

Git itself is asked, as ``git clone`` does, not the host's API: so the answer is exactly
whether this token may read the repo, and a token with that one permission suffices.
"""

from __future__ import annotations

import base64
import glob
import json
import logging
import re
import threading
import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from dvc_studio_models.background import parallel_map
from dvc_studio_models.http.hosts.client import HostClient, HostFailed
from dvc_studio_models.server.access.principal import Principal
from dvc_studio_models.server.errors.requests import TokenUncheckedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dvc_studio_models.http.studio.reply import Reply
    from dvc_studio_models.server.config.values import GitHostConfig

logger = logging.getLogger(f"dvc.{__name__}")

REMEMBERED_S = 300.0
"""How long what a host says of a token or a repo is used, in seconds."""

PARTLY_S = 30.0
"""The same, in seconds, if the host did not answer for some repos."""

MAX_REMEMBERED = 10_000
"""Tokens, of which the least recently checked ones are forgotten."""

REFUSED_PER_MINUTE = 30
"""Tokens that a host may refuse in a minute before no others are tried. A host locks
out an address that sends too many."""

OK, UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
_GONE = {410, 451}
"""Nobody can clone such a repo any more."""
_REFUSALS = {UNAUTHORIZED, FORBIDDEN, NOT_FOUND, *_GONE}
_ADVERTISEMENT = "application/x-git-upload-pack-advertisement"


class _Kind(NamedTuple):
    token: re.Pattern[str]
    """The form of its tokens: others, such as a revoked one of this server, are secrets
    that it must not see."""

    git_user: str
    """With which Git sends a token."""

    name: str
    """The field of the user's name."""


KINDS = {
    "github": _Kind(
        re.compile(r"(?:gh[opu]_|github_pat_)\w{20,255}", re.ASCII),
        "x-access-token",
        "login",
    ),
    "gitlab": _Kind(
        re.compile(r"gl[a-z]+-[\w.-]{20,255}", re.ASCII), "oauth2", "username"
    ),
}


class Verdict(NamedTuple):
    """What a host said of a token."""

    until: float
    """When it is to be asked again, by the clock of :class:`GitHost`."""

    principal: Principal | None
    """None if it refused the token."""


class GitHost:
    """One Git host, and what it said of tokens. Used by several threads."""

    def __init__(
        self, config: GitHostConfig, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask nothing yet."""
        self.config = config
        self._kind = KINDS[config.kind]
        parts = urlsplit(config.url)
        self.host = (parts.hostname or "").lower()
        """As in the URLs of its repos."""
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._clock = clock
        self._client = HostClient()
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()
        self._public: dict[str, tuple[float, bool]] = {}
        self._refused: deque[float] = deque(maxlen=REFUSED_PER_MINUTE)
        self._lock = threading.Lock()

    def may_have(self, token: str) -> bool:
        """Return whether a token has the form of this host's."""
        return self._kind.token.fullmatch(token) is not None

    def recall(self, sha256: str) -> Verdict | None:
        """Return what was found of a token, if that is recent; without waiting."""
        found = self._verdicts.get(sha256)
        return found if found and found.until > self._clock() else None

    def forget(self) -> None:
        """Forget what was said of tokens; also what is being asked now."""
        with self._lock:
            self._verdicts = OrderedDict()

    def check(
        self, token: str, sha256: str, projects: Mapping[str, str]
    ) -> Principal | None:
        """Ask the host which repos a token may clone.

        All repos are asked about, whichever is requested: so the time does not reveal
        whether a repo is served that the token may not clone.

        Args:
            token: Of the form of this host's.
            sha256: Of the token.
            projects: Name of a served repo -> its path on the host.

        Returns:
            The user; None if the host refuses the token.

        Raises:
            TokenUncheckedError: The host does not respond for any repo, or has refused
                too many tokens.
        """
        verdicts = self._verdicts
        known = verdicts.get(sha256)
        if not (known and known.principal):
            self._check_refusals()
        try:
            principal = self._ask(token, projects)
        except HostFailed as error:
            logger.warning("cannot check a token: %s", error)
            raise TokenUncheckedError from None
        if principal is None:
            self._refused.append(self._clock())
        self._remember(verdicts, sha256, principal)
        return principal

    def _check_refusals(self) -> None:
        refused = self._refused
        if len(refused) == refused.maxlen and self._clock() - refused[0] < 60:  # noqa: PLR2004
            reason = f"too many were refused by {self.host} within a minute"
            raise TokenUncheckedError(reason)

    def _remember(
        self,
        verdicts: OrderedDict[str, Verdict],
        sha256: str,
        principal: Principal | None,
    ) -> None:
        is_partial = principal is not None and principal.unchecked
        until = self._clock() + (PARTLY_S if is_partial else REMEMBERED_S)
        with self._lock:
            verdicts[sha256] = Verdict(until, principal)
            verdicts.move_to_end(sha256)
            while len(verdicts) > MAX_REMEMBERED:
                verdicts.popitem(last=False)

    def _ask(self, token: str, projects: Mapping[str, str]) -> Principal | None:
        reply = self._client.get(self._user_url, {"Authorization": f"Bearer {token}"})
        if reply.status == UNAUTHORIZED:
            return None
        if reply.status not in {OK, FORBIDDEN} or _is_limited(reply):
            raise HostFailed(self._user_url, f"it answered {reply.status}")
        allowed: set[str] = set()
        failures: list[HostFailed] = []

        def check(name: str) -> None:
            try:
                if not self._is_public(projects[name]) and self._may_clone(
                    projects[name], token
                ):
                    allowed.add(name)
            except HostFailed as error:
                failures.append(error)

        parallel_map(check, sorted(projects))
        if failures and len(failures) == len(projects):
            raise failures[0]
        for failure in failures[:1]:
            logger.warning("cannot check a token for all repos: %s", failure)
        return Principal(
            f"{self._read_name(reply)}@{self.host}",
            tuple(map(glob.escape, sorted(allowed))),
            unchecked=self.host if failures else "",
        )

    @property
    def _user_url(self) -> str:
        if self.config.kind == "gitlab":
            return f"{self._origin}/api/v4/user"
        if self.host == "github.com":
            return "https://api.github.com/user"
        return f"{self._origin}/api/v3/user"

    def _read_name(self, reply: Reply) -> str:
        """Return the user's name; a token with few permissions may not ask for it."""
        try:
            name = json.loads(reply.body)[self._kind.name]
        except (ValueError, RecursionError, TypeError, KeyError):
            name = None
        usable = isinstance(name, str) and re.fullmatch(r"[\w.-]{1,255}", name)
        return name if usable else "somebody"

    def _is_public(self, path: str) -> bool:
        """Return whether everybody may clone a repo: a token proves nothing then."""
        until, is_public = self._public.get(path, (0.0, False))
        if until <= self._clock():
            is_public = self._may_clone(path, None)
            self._public[path] = self._clock() + REMEMBERED_S, is_public
        return is_public

    def _may_clone(self, path: str, token: str | None) -> bool:
        """Ask what ``git ls-remote`` asks first."""
        url = f"{self._origin}/{quote(path)}.git/info/refs?service=git-upload-pack"
        headers = {"Git-Protocol": "version=2", "User-Agent": "git/2 dvc-studio-models"}
        if token:
            userinfo = f"{self._kind.git_user}:{token}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(userinfo).decode()}"
        reply = self._client.get(url, headers)
        if reply.status == OK:
            # Another type is a page to sign in, say.
            return reply.headers.get("Content-Type", "").strip() == _ADVERTISEMENT
        if reply.status in _REFUSALS and not _is_limited(reply):
            return False
        raise HostFailed(url, f"it answered {reply.status}")


def projects_on(
    host: GitHost, homes: Iterable[tuple[str, Iterable[tuple[str, str]]]]
) -> dict[str, str]:
    """Return the served repos of a host, and their paths there.

    Args:
        host: The Git host.
        homes: Name of a served repo -> host and path of each of its URLs, the most
            reliable first. Only the first on this host counts: a fork may know its
            parent's URL.
    """
    scope = Principal("", host.config.repos)
    found = {}
    for name, urls in homes:
        paths = [path for where, path in urls if where == host.host]
        if paths and scope.may_see(name):
            found[name] = paths[0]
    return found


def _is_limited(reply: Reply) -> bool:
    """Return whether a host refuses only because it was asked too often."""
    headers = reply.headers
    return "Retry-After" in headers or headers.get("X-RateLimit-Remaining") == "0"
