"""The served repos and the accepted tokens of a running server."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from dvc_studio_models.server.access.access import Access
from dvc_studio_models.server.catalog.index import ModelIndex
from dvc_studio_models.server.catalog.listing import Listing
from dvc_studio_models.server.links.signers import Signers
from dvc_studio_models.server.mirrors.mirrors import Mirrors
from dvc_studio_models.server.mirrors.places import with_paths
from dvc_studio_models.server.repos.repos import OPEN_S, Catalog
from dvc_studio_models.server.site.served import Served
from dvc_studio_models.server.waiting.slow_calls import SlowCalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.config.values import ServeConfig
    from dvc_studio_models.server.repos.repos import ServedRepo

logger = logging.getLogger(f"dvc.{__name__}")

WARM_UP_S = 5.0  # for reading Git before listening; importing S3 takes longer


class Site:
    """What a running server serves, and to whom."""

    def __init__(
        self,
        config: ServeConfig,
        *,
        open_s: float = OPEN_S,
        slow_calls: Callable[[], SlowCalls] = SlowCalls,
    ) -> None:
        """Open the repos.

        Args:
            config: The operator's choices.
            open_s: The longest, in seconds, to wait for Git, for all repos together.
            slow_calls: Called once for each repo.

        Raises:
            NotGitRepoError: A path is no Git repo.
            UnreadableRepoError: There is one that Git refuses.
            UsageError: No repo is given, or no folder for mirrors.
        """
        self.config = config = with_paths(config)
        self.signers = Signers.from_environment(expires_s=config.expires_s)
        self.mirrors = Mirrors()
        self.mirrors.apply(config)
        self.catalog = Catalog(config.repos, open_s=open_s)
        self.access = Access(config)
        # During the life of its link, an object may disappear anyway.
        self._verify_s = config.expires_s if config.verify_objects else None
        self._make_slow_calls = slow_calls
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()
        for repo in self.catalog:
            self._serve(repo)

    def warm_up(self, seconds: float = WARM_UP_S) -> None:
        """Import and read in advance, so that the first responses are fast.

        Args:
            seconds: The longest wait; the rest is done while requests are served.
        """
        thread = threading.Thread(target=self._warm_up, daemon=True)
        thread.start()
        thread.join(seconds)

    async def authenticate(self, request: Request) -> Principal:
        """Return who sends a request, and note it for the log.

        Raises:
            TokenRefusedError: The request has no token, or one that is not accepted.
        """
        return await self.access.authenticate(request)

    def find(self, url: str, principal: Principal) -> Served:
        """Find a served repo by any of its URLs.

        Raises:
            RepoNotServedError: No repo has it, or more than one, or he may not see it.
            RepoNotOpenError: It is, or may be, one that Git has not opened yet.
        """
        repo = self.catalog.find(url, principal.may_see)
        return self._served.get(repo.key) or self._serve(repo)

    def find_key(self, key: str) -> Served | None:
        """Return the served repo of this name in links, None if there is none."""
        return self._served.get(key)

    def visible_to(self, principal: Principal) -> list[Served]:
        """Return the served repos that he may see."""
        return [
            self._served.get(repo.key) or self._serve(repo)
            for repo in self.catalog
            if principal.may_see(repo.key)
        ]

    def left_out(self) -> dict[str, str]:
        """Return the repos that are not served now, with the reason."""
        reason = "Git has not been able to read it yet"
        return dict.fromkeys(self.catalog.silent(), reason)

    def _warm_up(self) -> None:
        for key, served in tuple(self._served.items()):
            try:
                served.index.warm_up()
            except Exception:  # requests are answered with the error
                logger.exception("cannot read the repo '%s'", key)

    def _serve(self, repo: ServedRepo) -> Served:
        """Return the index and limits of a repo, created on first use."""
        with self._lock:
            if repo.key not in self._served:
                index = ModelIndex(
                    repo, protocols=self.signers.protocols, verify_s=self._verify_s
                )
                self._served[repo.key] = Served(
                    repo, index, Listing(repo, index), self._make_slow_calls()
                )
            return self._served[repo.key]
