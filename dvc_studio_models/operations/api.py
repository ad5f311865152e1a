"""The Python interface: what ``dvc models pull`` does, as two functions.

Owns names and defaults, and nothing else. Both functions may be called from any thread,
inside a Git repo or, with ``repo`` and ``out``, outside of one. They print nothing.
Of two pulls of one model into one folder the second to place may be refused, since what
it has planned for changed: call it again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.model import DEFAULT_JOBS, PullOptions
from dvc_studio_models.operations import pull as flow

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from dvc_studio_models.model import PullResult


def pull(  # noqa: PLR0913 - as many as the command has options, all named
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    out: str | os.PathLike[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    source: str | None = None,
    lock: bool | str | os.PathLike[str] = False,
    locked: bool | str | os.PathLike[str] = False,
    force: bool = False,
    cache: bool = True,
    dry_run: bool = False,
    jobs: int = DEFAULT_JOBS,
    token: str | None = None,
    url: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> PullResult:
    """Bring models to their paths in the workspace: all of their files, or none.

    >>> result = pull("churn", stage="prod")
    >>> result.models[0].version
    'v2.0.0'
    >>> [(file.path, file.action) for file in result.models[0].files]
    [('models/churn.pkl', 'downloaded')]

    Args:
        names: ``churn``, ``churn@v1.2.0``, ``churn#prod``, ``dir:churn``.
        stage: For every name without a selector of its own.
        version: The same; with or without the leading ``v``.
        repo: The Git repo as Studio knows it; by default inferred from the Git remote.
        git_remote: Which Git remote to infer it from.
        folder: Where to act: a folder of the clone.
        out: Place below this folder instead of the Git root.
        include: Globs on repo-relative paths, as in ``.dvcignore``.
        exclude: The same, for files not to pull.
        source: ``studio``; ``remote``, the user's own DVC remote; ``cache``, the DVC
            cache alone. The last two know versions from local Git tags. By default
            Studio, or the cache where the settings say offline.
        lock: Pin what was pulled in this file; True is ``models.lock`` in the Git root.
        locked: Pull exactly what this file pins; without names all of its models.
        force: Replace files whose content would be lost.
        cache: Keep a copy in the DVC cache.
        dry_run: Only tell what would be done.
        jobs: The most connections at a time, 1 to 256.
        token: For Studio; by default from the settings, as with ``url``.
        url: Studio's base URL.
        progress: Called from this thread with the bytes at hand and their total, which
            is None until it is known.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    options = PullOptions(
        repo=repo,
        git_remote=git_remote,
        folder=folder,
        out=out,
        include=include,
        exclude=exclude,
        source=source,
        lock=lock,
        locked=locked,
        force=force,
        cache=cache,
        dry_run=dry_run,
        jobs=jobs,
        token=token,
        url=url,
    )
    told = _Told(progress) if progress else None
    return flow.pull(
        *names, stage=stage, version=version, options=options, progress=told
    )


def download_urls(  # noqa: PLR0913 - see pull
    *names: str,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    locked: bool | str | os.PathLike[str] = False,
    token: str | None = None,
    url: str | None = None,
) -> dict[str, str]:
    """Ask for the signed URLs of models' files; fetch and change nothing.

    >>> sorted(download_urls("churn", version="v1.0.0"))
    ['models/churn.pkl']

    Args:
        names: See :func:`pull`, as for all others.
        stage: See there.
        version: See there.
        repo: See there.
        git_remote: See there.
        folder: See there.
        include: See there.
        exclude: See there.
        locked: See there.
        token: See there.
        url: See there.

    Returns:
        Repo-relative path to URL. The URLs are secrets; most live for an hour.

    Raises:
        StudioModelsError: See there.
    """
    options = PullOptions(
        repo=repo,
        git_remote=git_remote,
        folder=folder,
        include=include,
        exclude=exclude,
        locked=locked,
        token=token,
        url=url,
    )
    return flow.download_urls(*names, stage=stage, version=version, options=options)


class _Told:
    """Progress that a function is told of."""

    def __init__(self, tell: Callable[[int, int | None], None]) -> None:
        self._tell = tell

    def update(self, done: int, total: int | None) -> None:
        self._tell(done, total)

    def close(self) -> None:
        """Nothing was opened."""
