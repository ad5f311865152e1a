"""Whether each served repo can be read, and links to its files can be signed."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from dvc_studio_models.model import ModelRef
from dvc_studio_models.server.access.principal import EVERYBODY
from dvc_studio_models.server.errors.models import RepoUnreadableError
from dvc_studio_models.server.errors.requests import RefusedError
from dvc_studio_models.server.repos.refs import file_stamp
from dvc_studio_models.server.stores.remotes import check_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dvc_studio_models.model import ModelVersion
    from dvc_studio_models.server.links.signers import Signers
    from dvc_studio_models.server.mirrors.state import MirrorStatus
    from dvc_studio_models.server.site.served import Served
    from dvc_studio_models.server.site.site import Site

logger = logging.getLogger(f"dvc.{__name__}")

CHECK_S = 10.0
"""How long, in seconds, a result counts. Anybody may ask, so it must cost little."""

WAIT_S = 2.0
"""The longest, in seconds, that a caller waits for checks; probes wait little."""

_SERVER_ERROR = 500
_ALL = ModelRef("")


@dataclass(frozen=True)
class RepoState:
    """What is known of one repo."""

    name: str
    problem: str | None
    """Why its models cannot be served; None if nothing is wrong."""

    mirror: MirrorStatus | None = None
    """How old it is, if this server fetches it."""


@dataclass
class _Check:
    """The last check of one repo, and the one that is running."""

    problem: str | None = "it has not been read yet"
    until: float = 0.0
    """When the result no longer counts, on the monotonic clock."""

    key: object = None
    """Of refs and configs at that time."""

    samples: list[ModelRef] = field(default_factory=list)
    running: asyncio.Task[None] | None = None


class Readiness:
    """Checks the repos of a site, each at most every ten seconds."""

    def __init__(
        self, site: Site, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Store the site; nothing is checked before it is asked for."""
        self._site = site
        self._now = now
        self._checks: WeakKeyDictionary[Served, _Check] = WeakKeyDictionary()

    async def read(self) -> list[RepoState]:
        """Return the state of each repo, also of those that could not be opened."""
        served = self._site.visible_to(EVERYBODY)
        checks = {
            each.repo.key: self._checks.setdefault(each, _Check()) for each in served
        }
        for each in served:
            check = checks[each.repo.key]
            if check.running is None and self._now() >= check.until:
                check.running = asyncio.create_task(self._check(each, check))
        running = [check.running for check in checks.values() if check.running]
        if running:
            await asyncio.wait(running, timeout=WAIT_S)
        problems = {name: check.problem for name, check in checks.items()}
        status = self._site.mirrors.status
        return [
            RepoState(name, problem, status(name))
            for name, problem in sorted({**self._site.left_out(), **problems}.items())
        ]

    async def _check(self, served: Served, check: _Check) -> None:
        find = functools.partial(_find_problem, served, self._site.signers, check)
        try:
            check.problem = await served.slow_calls.run(find)
        except RefusedError as error:  # it hangs, or there are too many requests
            check.problem = str(error)
        except Exception:
            logger.exception("cannot check the repo '%s'", served.repo.key)
            check.problem = "internal error; the server's log has details"
        finally:
            check.until = self._now() + CHECK_S
            check.running = None


def _find_problem(served: Served, signers: Signers, check: _Check) -> str | None:
    """Return what keeps models of a repo from being served.

    What is wrong with one version, as files that were never pushed, is no fault of the
    server.
    """
    key = _key(served)
    if key is None or key != check.key:
        check.key = None
        try:
            registry = served.index.whole_registry()
            with served.index.git_errors():
                check.samples = served.index.samples()
                newest = map(registry.resolve, check.samples)
                _check_commits(served, [each for each in newest if each])
        except RefusedError as error:
            return str(error)
        check.key = key
    for ref in check.samples:
        try:
            files = served.index.find(ref).files
            one_of_each = {file.store: file for file in files}
            for store in one_of_each:
                check_folder(store)
            signers.sign([*one_of_each.values()], "")
        except RefusedError as error:
            if error.status >= _SERVER_ERROR:
                check.key = None
                return str(error)
    return None


def _key(served: Served) -> object:
    """Return a value that changes when the answers may, or what Git can read."""
    key = served.index.key(_ALL)
    objects = served.repo.reader.common_dir / "objects"
    return key and (key, file_stamp(objects), file_stamp(objects / "pack"))


def _check_commits(served: Served, versions: Sequence[ModelVersion]) -> None:
    """Check that Git has the commits of versions, whose answers may be cached.

    Raises:
        UnreadableRepoError: Git cannot read the repo.
        RepoUnreadableError: It has not all of them.
    """
    kinds = served.repo.reader.kinds([each.commit for each in versions])
    for version, kind in zip(versions, kinds, strict=True):
        if kind is None:
            reason = f"it has no commit {version.commit[:7]}, of {version.version}"
            raise RepoUnreadableError(served.repo.label, reason)
