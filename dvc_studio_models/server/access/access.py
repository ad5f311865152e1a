"""Checks the tokens of requests, of whatever kind they are."""

from __future__ import annotations

import asyncio
import functools
import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.server.access.principal import EVERYBODY, Principal
from dvc_studio_models.server.access.tokens import Tokens, utc_now
from dvc_studio_models.server.errors.requests import (
    GitBusyError,
    GitSilentError,
    TokenRefusedError,
    TokenUncheckedError,
)
from dvc_studio_models.server.monitoring.access_log import note
from dvc_studio_models.server.waiting.slow_calls import SlowCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from starlette.requests import Request

    from dvc_studio_models.server.access.git_hosts import GitHost
    from dvc_studio_models.server.access.oidc import Issuer
    from dvc_studio_models.server.config.values import ServeConfig

    Homes = Iterable[tuple[str, Iterable[tuple[str, str]]]]

SCHEMES = ("token", "bearer")
"""Of the header ``Authorization``: Studio's own, and that of RFC 6750."""

CHECKS_AT_ONCE = 64
"""Tokens that are being checked by others than this server."""

MAX_JOBS = 10_000
"""Jobs whose tokens are remembered."""


class Access:
    """Says whose a token is."""

    def __init__(
        self,
        config: ServeConfig,
        homes: Callable[[], Homes] = tuple,
        *,
        previous: Access | None = None,
    ) -> None:
        """Accept the tokens of the config; all requests if it requires none.

        Args:
            config: The operator's choices.
            homes: Returns the names of the served repos, and host and path of each of
                their URLs, the most reliable first.
            previous: Of the config before; what it knows of issuers and Git hosts that
                are still there is used.

        Raises:
            StudioConfigError: A package is missing.
        """
        self._tokens = None if config.tokens is None else Tokens(config.tokens)
        self._homes = homes
        self._repos = config.repos
        self._slow_calls = SlowCalls(most=CHECKS_AT_ONCE)
        self._issuers: dict[str, Issuer] = {}
        self._hosts: list[GitHost] = []
        self._jobs: OrderedDict[str, Principal] = OrderedDict()
        self._checks: dict[str, asyncio.Task[Principal | None]] = {}
        if config.oidc:
            self._accept_jobs(config, previous)
        if config.git_hosts:
            self._accept_users(config, previous)

    def _accept_jobs(self, config: ServeConfig, previous: Access | None) -> None:
        try:
            import cryptography  # noqa: F401 - without it, PyJWT knows no public keys
            import jwt  # noqa: F401
        except ImportError as error:
            msg = (
                f"'oidc' needs the package '{error.name}'\n"
                "Install it with: pip install 'pyjwt[crypto]'"
            )
            raise StudioConfigError(msg) from None
        from dvc_studio_models.server.access.oidc import Issuer, Jobs

        known = previous._issuers if previous else {}
        for url in {rule.issuer for rule in config.oidc}:
            self._issuers[url] = known.get(url) or Issuer(url)
        self._check_job = Jobs(config.oidc, self._issuers).check

    def _accept_users(self, config: ServeConfig, previous: Access | None) -> None:
        from dvc_studio_models.server.access.git_hosts import GitHost

        # What a host said is by the names of repos, and not of new ones.
        is_same = previous is not None and previous._repos == config.repos
        known = previous._hosts if previous and is_same else []
        by_config = {host.config: host for host in known}
        for each in config.git_hosts:
            self._hosts.append(by_config.get(each) or GitHost(each))

    def forget_users(self) -> None:
        """Ask the Git hosts again whose repos have changed."""
        for host in self._hosts:
            host.forget()

    async def authenticate(self, request: Request) -> Principal:
        """Return who sends a request, and note it for the log.

        Raises:
            TokenRefusedError: The request has no token, or one that is not accepted.
            TokenUncheckedError: Who could check it does not respond.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() in SCHEMES else ""
        principal = await self.authenticate_token(given)
        if principal.name:
            note(request, user=principal.name)
        return principal

    async def authenticate_token(self, token: str) -> Principal:
        """Return the owner of a token.

        Args:
            token: As it was sent; empty for none.

        Raises:
            TokenRefusedError: There is no token, or it is not accepted.
            TokenUncheckedError: Who could check it does not respond.
        """
        if self._tokens is None:
            return EVERYBODY
        found = None
        if token:
            raw = token.encode("utf-8", "surrogateescape")
            sha256 = hashlib.sha256(raw).hexdigest()
            found = self._tokens.find(sha256) or await self._check(token, sha256)
        if found is None:
            raise TokenRefusedError(given=bool(token), issuers=self._issuers)
        return found

    async def _check(self, token: str, sha256: str) -> Principal | None:
        """Return the job or the user of a Git host whose token this is."""
        if self._issuers and (job := self._jobs.get(sha256)):
            if job.ends and utc_now() < job.ends:
                return job
            del self._jobs[sha256]
        if self._issuers and token.startswith("eyJ"):  # a JSON Web Token
            job = await self._run(sha256, functools.partial(self._check_job, token))
            if job:
                self._jobs[sha256] = job
                while len(self._jobs) > MAX_JOBS:
                    self._jobs.popitem(last=False)
            return job
        for host in self._hosts:
            if host.may_have(token) and (user := await self._ask(host, token, sha256)):
                return user
        return None

    async def _ask(self, host: GitHost, token: str, sha256: str) -> Principal | None:
        if verdict := host.recall(sha256):
            return verdict.principal
        from dvc_studio_models.server.access.git_hosts import projects_on

        def check() -> Principal | None:
            return host.check(token, sha256, projects_on(host, self._homes()))

        return await self._run(f"{host.host} {sha256}", check)

    async def _run(
        self, key: str, check: Callable[[], Principal | None]
    ) -> Principal | None:
        """Run a check in a thread; requests with the same token wait for one.

        Raises:
            TokenUncheckedError: Who could check it does not respond.
        """
        running = self._checks.get(key)
        if running is None:
            running = asyncio.ensure_future(self._slow_calls.run(check))
            self._checks[key] = running
            running.add_done_callback(functools.partial(self._forget, key))
        try:
            return await asyncio.shield(running)
        except GitSilentError:
            raise TokenUncheckedError from None
        except GitBusyError:
            reason = "too many others are being checked"
            raise TokenUncheckedError(reason) from None

    def _forget(self, key: str, done: asyncio.Task[Principal | None]) -> None:
        self._checks.pop(key, None)
        if not done.cancelled():
            done.exception()  # all who waited for it may have left
