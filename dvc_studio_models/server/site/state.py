"""What a server serves by one config. Another config makes another state."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dvc_studio_models.server.access.access import Access
from dvc_studio_models.server.catalog.index import ModelIndex
from dvc_studio_models.server.catalog.listing import Listing
from dvc_studio_models.server.links.signers import Signers
from dvc_studio_models.server.repos.repos import Catalog
from dvc_studio_models.server.site.served import Served

if TYPE_CHECKING:
    from collections.abc import Callable

    from dvc_studio_models.server.config.values import ServeConfig
    from dvc_studio_models.server.repos.repos import ServedRepo
    from dvc_studio_models.server.stores.first_seen import FirstSeen
    from dvc_studio_models.server.waiting.slow_calls import SlowCalls


class SiteState:
    """The repos, tokens and signers of one config."""

    def __init__(
        self,
        config: ServeConfig,
        *,
        open_s: float,
        slow_calls: Callable[[], SlowCalls],
        seen: FirstSeen,
        must_open: bool = False,
        previous: SiteState | None = None,
    ) -> None:
        """Open the repos.

        Args:
            config: The operator's choices.
            open_s: The longest, in seconds, to wait for Git, for all repos together.
            slow_calls: Called once for each repo.
            seen: What the server saw first of the repos.
            must_open: Raise if no repo at all can be opened.
            previous: The state before; what has not changed stays as it is.

        Raises:
            NotGitRepoError: None can be opened, and a path is no Git repo.
            UnreadableRepoError: None can be opened, and Git refuses one.
            UsageError: No repo is given.
        """
        self.config = config
        expires_s = config.expires_s
        self.signers: Signers = (
            Signers(previous.signers.folders, expires_s=expires_s)  # links stay valid
            if previous
            else Signers.from_environment(expires_s=expires_s)
        )
        self.access: Access = Access(
            config, self._homes, previous=previous.access if previous else None
        )
        # During the life of its link, an object may disappear anyway.
        self.verify_s = expires_s if config.verify_objects else None
        self.catalog: Catalog = Catalog(
            config.repos,
            open_s=open_s,
            must_open=must_open,
            previous=previous.catalog if previous else None,
        )
        self.served: dict[str, Served] = {}
        """By the names of the repos."""
        self._make_slow_calls = slow_calls
        self._seen = seen
        self._lock = threading.Lock()
        if previous and previous.verify_s == self.verify_s:
            self._take(previous)
        for repo in self.catalog:
            self.serve(repo)

    def serve(self, repo: ServedRepo) -> Served:
        """Return the index and limits of a repo, created on first use."""
        served = self.served.get(repo.key)
        if served and served.repo is repo:
            return served
        with self._lock:
            served = self.served.get(repo.key)
            if served is None or served.repo is not repo:
                served = self.served[repo.key] = self._make(repo)
            return served

    def _homes(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """Return host and path of the URLs of each repo, for its Git host."""
        return [
            (repo.key, [(home.host, home.path) for home in repo.homes])
            for repo in self.catalog
        ]

    def _make(self, repo: ServedRepo) -> Served:
        index = ModelIndex(
            repo,
            protocols=self.signers.protocols,
            seen=self._seen,
            verify_s=self.verify_s,
        )
        return Served(repo, index, Listing(repo, index), self._make_slow_calls())

    def _take(self, previous: SiteState) -> None:
        """Take over the repos that have not changed, with all that was read of them."""
        repos = {repo.key: repo for repo in self.catalog}
        self.served.update(
            (key, served)
            for key, served in previous.served.items()
            if served.repo is repos.get(key)
        )
