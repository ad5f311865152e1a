"""The served repos and the accepted tokens of a running server."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from dvc_studio_models.server.errors.requests import (
    RepoNotServedError,
    TokenUncheckedError,
)
from dvc_studio_models.server.mirrors.mirrors import Mirrors
from dvc_studio_models.server.mirrors.places import with_paths
from dvc_studio_models.server.repos.repos import OPEN_S
from dvc_studio_models.server.site.check import find_shared
from dvc_studio_models.server.site.state import SiteState
from dvc_studio_models.server.stores.first_seen import FirstSeen, Which
from dvc_studio_models.server.waiting.slow_calls import SlowCalls
from dvc_studio_models.server.waiting.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from starlette.requests import Request

    from dvc_studio_models.server.access.access import Access
    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.config.values import ServeConfig
    from dvc_studio_models.server.links.signers import Signers
    from dvc_studio_models.server.repos.repos import Catalog
    from dvc_studio_models.server.site.served import Served

logger = logging.getLogger(f"dvc.{__name__}")

UNCHECKED = "this Git host did not answer for some repos; try again later"

TOGETHER_S = 0.2
"""How long, in seconds, is waited for the places of more repos before a comparison."""

WARM_UP_S = 3.0  # for reading Git before listening; importing S3 takes longer
WARM_THREADS = 4  # most of the time, each waits for Git


class Site:
    """What a running server serves, and to whom."""

    def __init__(
        self,
        config: ServeConfig,
        *,
        open_s: float = OPEN_S,
        slow_calls: Callable[[], SlowCalls] | None = None,
        must_open: bool = False,
        shared: Path | None = None,
    ) -> None:
        """Open the repos; what cannot be opened is left out until it can.

        Args:
            config: The operator's choices.
            open_s: The longest, in seconds, to wait for Git, for all repos together.
            slow_calls: Called once for each repo; by default, all use the same threads.
            must_open: Raise if no repo at all can be opened.
            shared: The folder that several workers share.

        Raises:
            NotGitRepoError: None can be opened, and a path is no Git repo.
            UnreadableRepoError: None can be opened, and Git refuses one.
            UsageError: No repo is given, or no folder for mirrors.
        """
        config = with_paths(config)
        self._open_s = open_s
        self._make_slow_calls = slow_calls or partial(SlowCalls, threads=Threads())
        self._lock = threading.Lock()
        self.mirrors = Mirrors(on_cloned=self._retry)
        self._seen = FirstSeen(shared)
        self._is_about_to_warn = threading.Event()
        self._seen.apply(config.repos)
        self._state = SiteState(
            config,
            open_s=open_s,
            slow_calls=self._make_slow_calls,
            seen=self._seen,
            must_open=must_open,
        )
        self.mirrors.apply(config)  # when a clone is done, the state is there
        self._watch()

    @property
    def config(self) -> ServeConfig:
        """The operator's choices, as they are now."""
        return self._state.config

    @property
    def catalog(self) -> Catalog:
        """The served repos, by all their URLs."""
        return self._state.catalog

    @property
    def access(self) -> Access:
        """Says whose a token is."""
        return self._state.access

    @property
    def signers(self) -> Signers:
        """Signs links to files."""
        return self._state.signers

    def apply(self, config: ServeConfig) -> None:
        """Serve by another config from now on, as a whole.

        What has not changed stays as it is, with all that was read of it. New repos
        are opened and read first, while requests are answered by the old config.

        Raises:
            UsageError: No repo is given, or no folder for mirrors. The old config
                stays.
        """
        config = with_paths(config)
        with self._lock:
            before = self._state
            after = SiteState(
                config,
                open_s=self._open_s,
                slow_calls=self._make_slow_calls,
                seen=self._seen,
                previous=before,
            )
            new = [s for s in after.served.values() if s not in before.served.values()]
            _warm_up(new, WARM_UP_S)
            self._state = after
            before.catalog.close()
            self._seen.apply(config.repos)
            self.mirrors.apply(config)
        self._watch()

    def _watch(self) -> None:
        """Warn of what repos share, now and when one is served later."""
        self._state.catalog.on_late = self._on_late
        self._seen.on_place = self._start_to_warn
        self._start_to_warn()

    def _on_late(self) -> None:
        """Take note of a repo that is served only now."""
        self.access.forget_users()
        self._start_to_warn()

    def _start_to_warn(self) -> None:
        """Note where the remotes are, and warn of what repos share, once of each repo.

        This is done in a thread, as Git may hang, and once for what comes together.
        """
        if len(self.catalog) == 1 or self._is_about_to_warn.is_set():
            return
        self._is_about_to_warn.set()

        def warn() -> None:
            time.sleep(TOGETHER_S)
            self._is_about_to_warn.clear()
            state = self._state
            shared = find_shared(state.catalog, lambda repo: state.serve(repo).index)
            for group in shared:
                new = [
                    each
                    for each in group
                    if self._seen.is_new(Which.of(each.repo.config), each.what)
                ]
                for each in new[:1]:
                    logger.warning("repo '%s': %s", each.repo.key, each.text)

        threading.Thread(target=warn, daemon=True).start()

    def warm_up(self, seconds: float = WARM_UP_S) -> None:
        """Import and read in advance, so that the first responses are fast.

        Args:
            seconds: The longest wait; the rest is done while requests are served.
        """
        _warm_up(tuple(self._state.served.values()), seconds)

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
            RepoNotOpenError: It is, or may be, one that could not be opened yet.
            TokenUncheckedError: It may be one that he may see; his Git host did not
                answer for some.
        """
        state = self._state
        try:
            repo = state.catalog.find(url, principal.may_see)
        except RepoNotServedError:
            if principal.unchecked:
                raise TokenUncheckedError from None
            raise
        return state.serve(repo)

    def find_key(self, key: str) -> Served | None:
        """Return the served repo of this name in links, None if there is none."""
        state = self._state
        repo = state.catalog.get(key)
        return state.serve(repo) if repo else None

    def visible_to(self, principal: Principal) -> list[Served]:
        """Return the served repos that he may see."""
        state = self._state
        return [
            state.serve(repo) for repo in state.catalog if principal.may_see(repo.key)
        ]

    def left_out(self) -> dict[str, str]:
        """Return the name of each repo that is not served -> why, without a path."""
        return self.catalog.left_out()

    def left_out_for(self, principal: Principal) -> dict[str, str]:
        """Return the repos that he may see and that are left out, and why.

        A Git host that did not answer for some repos counts as one.
        """
        found = {k: why for k, why in self.left_out().items() if principal.may_see(k)}
        if principal.unchecked:
            found[principal.unchecked] = UNCHECKED
        return found

    def _retry(self, name: str) -> None:
        """Try at once to open the repo of this name, if it is left out."""
        self.catalog.retry(name)


def _warm_up(repos: Iterable[Served], seconds: float) -> None:
    """Read repos, a few at once; one that hangs delays no other."""
    left: SimpleQueue[Served] = SimpleQueue()
    for served in repos:
        left.put(served)

    def work() -> None:
        with contextlib.suppress(Empty):
            while True:
                served = left.get_nowait()
                try:
                    served.index.warm_up()
                except Exception:  # requests are answered with the error
                    logger.exception("cannot read the repo '%s'", served.repo.key)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(WARM_THREADS)]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
