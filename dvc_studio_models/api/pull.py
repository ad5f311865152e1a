"""Pull models, or ask for the URLs of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.api.arguments import check_names
from dvc_studio_models.model import PullOptions
from dvc_studio_models.operations.pull import find_urls, pull_models

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from dvc_studio_models.model import PullResult


def pull(  # noqa: PLR0913 - as many as the command has options, all named
    *names: str,
    all_models: bool = False,
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
    require_signed: bool = False,
    gitignore: bool = False,
    cache: bool = True,
    cache_dir: str | os.PathLike[str] | None = None,
    dry_run: bool = False,
    jobs: int | None = None,
    limit_rate: int | None = None,
    token: str | None = None,
    url: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> PullResult:
    """Download models to their paths in the workspace: all of their files, or none.

    Until all files of all models are verified, a failure leaves the workspace as it
    was; then they are placed together. Of two pulls of one model into one folder at the
    same time, the second to place files may be refused: call it again.

    >>> result = pull("churn", stage="prod")
    >>> result.models[0].version
    'v2.0.0'
    >>> [(file.path, file.action) for file in result.models[0].files]
    [('models/churn.pkl', 'downloaded')]
    >>> result.warnings
    ()

    Args:
        names: ``churn`` (the latest version), ``churn@v1.2.0``, ``churn#prod``; with
            ``dir:`` before it for a model annotated in ``dir/dvc.yaml``. Or a glob,
            such as ``team-*#prod``.
        all_models: All models that have a version, or the stage; without ``names``.
        stage: The stage of every name without a selector of its own.
        version: The version of every name without a selector of its own, with or
            without the leading ``v``.
        repo: URL of the Git repo as registered in Studio; by default that of the Git
            remote of the clone. With ``repo`` and ``out`` no clone is needed.
        git_remote: Name of the Git remote whose URL is the repo's.
        folder: Where to act, as if the process had changed to it.
        out: Place the files below this folder instead of the Git root.
        include: Globs on repo-relative paths, as in ``.dvcignore``; pull only files
            that match one.
        exclude: Globs on repo-relative paths; do not pull files that match one.
        source: Where models come from: ``studio``; ``remote``, the user's own DVC
            remote; ``cache``, the DVC cache only. The last two resolve versions from
            local Git tags. By default Studio, or the cache if the settings say offline.
        lock: Write the versions and hashes to this lock file; True is ``models.lock``
            in the Git root.
        locked: Pull exactly what this lock file pins, and without names all of its
            models; True is ``models.lock`` in the Git root.
        force: Replace files whose content would be lost.
        require_signed: Refuse what no signed Git tag of this clone verifies, with the
            keys in the user's own Git config or GPG keyring.
        gitignore: Add the files to the ``.gitignore`` beside them, also outside of DVC
            projects, and files of the clone's own models.
        cache: Store the files in the cache too.
        cache_dir: The cache of files outside of DVC projects; by default
            ``DVC_STUDIO_MODELS_CACHE``, ``cache.dir`` of DVC's global config, or a
            folder in the user's cache folder.
        dry_run: Return what would be done, and change nothing.
        jobs: The most connections at a time, 1 to 256. By default 16, and up to 64
            for small files where the network is slow.
        limit_rate: The most bytes a second to download, of all connections together;
            not possible with the source ``remote``.
        token: Studio's token; by default from the environment or DVC's config.
        url: Studio's base URL; by default from the environment or DVC's config.
        progress: Called from this thread with the bytes that are there and their total,
            which is None until it is known.

    Returns:
        ``models``, with ``ref``, ``version``, ``commit`` and ``files`` of each. A file
        has ``path``, ``size`` in bytes, ``md5``, and

        - ``action``: ``unchanged``, ``renamed``, ``linked``, ``downloaded`` or
          ``removed``; in a dry run ``unchanged``, ``rename``, ``link``, ``download``,
          ``conflict`` or ``remove``;
        - ``verified_by``: ``git+signature``, ``git``, ``lock``, ``url``, ``storage`` or
          ``size``; None where nothing is to be verified, or not yet.

        Beside them ``repo``, ``source``, ``bytes_downloaded``, ``seconds``;
        ``warnings``: what the command would warn about; ``gitignore``: the files that
        were changed; and, in a dry run, ``refused``: the error of the pull, if any.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`;
            ``exit_code`` is that of the command.
    """
    check_names(names)
    options = PullOptions(
        all_models=all_models,
        stage=stage,
        version=version,
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
        require_signed=require_signed,
        gitignore=gitignore,
        cache=cache,
        cache_dir=cache_dir,
        dry_run=dry_run,
        jobs=jobs,
        limit_rate=limit_rate,
        token=token,
        url=url,
    )
    if progress is None:
        return pull_models(names, options)
    return pull_models(names, options, lambda now: progress(now.bytes, now.total))


def download_urls(  # noqa: PLR0913 - as many as select files
    *names: str,
    all_models: bool = False,
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
    """Ask Studio for the signed URLs of models' files; download and change nothing.

    >>> sorted(download_urls("churn", version="v1.0.0"))
    ['models/churn.pkl']

    Args:
        names: ``churn`` (the latest version), ``churn@v1.2.0``, ``churn#prod``; with
            ``dir:`` before it for a model annotated in ``dir/dvc.yaml``. Or a glob,
            such as ``team-*#prod``.
        all_models: All models that have a version, or the stage; without ``names``.
        stage: The stage of every name without a selector of its own.
        version: The version of every name without a selector of its own, with or
            without the leading ``v``.
        repo: URL of the Git repo as registered in Studio; by default that of the Git
            remote of the clone. With ``repo`` no clone is needed.
        git_remote: Name of the Git remote whose URL is the repo's.
        folder: Where to act, as if the process had changed to it.
        include: Globs on repo-relative paths, as in ``.dvcignore``; only files that
            match one.
        exclude: Globs on repo-relative paths; no files that match one.
        locked: Only what this lock file pins, and without names all of its models;
            True is ``models.lock`` in the Git root.
        token: Studio's token; by default from the environment or DVC's config.
        url: Studio's base URL; by default from the environment or DVC's config.

    Returns:
        Repo-relative path to URL. The URLs are secrets; most expire within an hour.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`;
            ``exit_code`` is that of the command.
    """
    check_names(names)
    options = PullOptions(
        all_models=all_models,
        stage=stage,
        version=version,
        repo=repo,
        git_remote=git_remote,
        folder=folder,
        include=include,
        exclude=exclude,
        locked=locked,
        token=token,
        url=url,
    )
    return find_urls(names, options)
