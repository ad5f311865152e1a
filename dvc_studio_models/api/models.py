"""List and show models, compare the workspace with them, update their pins."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.api.arguments import check_names
from dvc_studio_models.model import PullOptions
from dvc_studio_models.operations.inventory import Inventory
from dvc_studio_models.operations.show import show_models
from dvc_studio_models.operations.status import compare
from dvc_studio_models.operations.update import update as update_lock

if TYPE_CHECKING:
    import os

    from dvc_studio_models.model import ListedModel, StatusResult
    from dvc_studio_models.operations.show import ShowResult
    from dvc_studio_models.operations.update import UpdateResult


def list_models(*, folder: str | os.PathLike[str] = ".") -> tuple[ListedModel, ...]:
    """List the models of a clone, by name, and the version of each in the workspace.

    These are the models that local Git tags register, those that a ``dvc.yaml``
    annotates, and those that were pulled. Uses no network.

    >>> [(model.name, model.latest) for model in list_models()]
    [('bert', 'v2.0.0'), ('churn', 'v2.0.0'), ('services/fraud:fraud', 'v1.0.0')]

    Args:
        folder: A folder of the clone.

    Returns:
        For each model ``name``, ``path``, ``latest``, ``versions`` and ``stages`` (to
        versions), and ``workspace`` with ``version`` and ``state``: ``registered``, the
        content of that version; ``partial``, the pulled part of it; ``modified``, the
        content of no version; ``present``, no hash to compare with; ``absent``. Of a
        model of another repo, ``repo`` and ``locked``, the version in ``models.lock``.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`;
            ``exit_code`` is that of the command.
    """
    with contextlib.closing(Inventory(Path(folder))) as inventory:
        return tuple(inventory.list_models())


def show(  # noqa: PLR0913 - as many as the command has options, all named
    *names: str,
    all_models: bool = False,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    token: str | None = None,
    url: str | None = None,
) -> ShowResult:
    """Show models: their versions, who registered them, and what of them is here.

    All of it comes from the clone, without a network. A model of another repo is
    described by the server, if that is ``dvc models serve``.

    >>> (model,) = show("churn").models
    >>> [(version.version, version.author) for version in model.details.versions]
    [('v2.0.0', 'Ada'), ('v1.0.0', 'Ada')]
    >>> model.details.size
    380000

    Args:
        names: ``churn``, or ``churn@v1.2.0`` or ``churn#prod`` for the size and path of
            that version; with ``dir:`` before it for a model annotated in
            ``dir/dvc.yaml``. Or a glob, such as ``team-*``.
        all_models: All models that have a version, or the stage; without ``names``.
        stage: The stage of every name without a selector of its own.
        version: The version of every name without a selector of its own, with or
            without the leading ``v``.
        repo: URL of the Git repo as registered in Studio; by default that of the Git
            remote of the clone.
        git_remote: Name of the Git remote whose URL is the repo's.
        folder: Where to act, as if the process had changed to it.
        token: Studio's token; by default from the environment or DVC's config.
        url: Studio's base URL; by default from the environment or DVC's config.

    Returns:
        ``models``, each with ``ref``; ``details``: ``path``, ``type``, ``description``,
        ``labels``, ``size`` in bytes, ``nfiles``, ``stages``, ``versions`` and
        ``history`` (newest first, with ``author``, ``email``, ``time`` in seconds since
        1970, ``commit``, ``message``); and, for a model of the clone, ``workspace``,
        ``cache``, ``metrics`` and ``params``.

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
        token=token,
        url=url,
    )
    return show_models(names, options)


def status(  # noqa: PLR0913 - as many as the command has options, all named
    *names: str,
    all_models: bool = False,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    source: str | None = None,
    token: str | None = None,
    url: str | None = None,
) -> StatusResult:
    """Check whether the workspace matches what Studio currently serves.

    Asks Studio, but not storage. A model that ``models.lock`` pins is compared with its
    pin, unless a selector is given.

    >>> result = status("churn#prod")
    >>> [(model.result.ref.name, model.up_to_date) for model in result.models]
    [('churn', False)]

    Args:
        names: ``churn``, ``churn@v1.2.0``, ``churn#prod``; with ``dir:`` before it for
            a model annotated in ``dir/dvc.yaml``. Or a glob, such as ``team-*#prod``.
            Without names: all models that are pinned or were pulled, or, if there are
            none, all registered models.
        all_models: All models that have a version, or the stage; without ``names``.
        stage: The stage of every name without a selector of its own.
        version: The version of every name without a selector of its own, with or
            without the leading ``v``.
        repo: URL of the Git repo as registered in Studio; by default that of the Git
            remote of the clone.
        git_remote: Name of the Git remote whose URL is the repo's.
        folder: Where to act, as if the process had changed to it.
        source: Where to look up versions: ``studio``; ``remote`` and ``cache``: local
            Git tags. By default Studio, or the tags if the settings say offline.
        token: Studio's token; by default from the environment or DVC's config.
        url: Studio's base URL; by default from the environment or DVC's config.

    Returns:
        ``up_to_date``, and ``models``, each with ``result``: what a pull would do to
        each file, as in a dry run; ``up_to_date``: whether it would do nothing;
        ``pin``, if it is locked; ``outdated``: whether the stage or the latest version
        has moved since it was locked; and ``now``: to which version.

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
        source=source,
        token=token,
        url=url,
    )
    return compare(names, options)


def update(  # noqa: PLR0913 - as many as the command has options, all named
    *names: str,
    all_models: bool = False,
    stage: str | None = None,
    version: str | None = None,
    repo: str | None = None,
    git_remote: str | None = None,
    folder: str | os.PathLike[str] = ".",
    lock: str | os.PathLike[str] | None = None,
    source: str | None = None,
    check: bool = False,
    token: str | None = None,
    url: str | None = None,
) -> UpdateResult:
    """Update a lock file to what its stages and the latest versions are now.

    Downloads no files: ``pull(locked=True)`` does.

    >>> result = update("churn#prod")
    >>> [(model.ref.name, model.moved, model.after.version) for model in result.models]
    [('churn', True, 'v2.0.0')]
    >>> update(check=True).up_to_date
    True

    Args:
        names: ``churn``, which is updated as it was locked; ``churn#prod`` or
            ``churn@v1.2.0``, which locks that from now on, and adds the model; with
            ``dir:`` before it for a model annotated in ``dir/dvc.yaml``. Or a glob,
            such as ``team-*#prod``. Without names: every model that was locked from a
            stage, or as the latest version.
        all_models: All models that have a version, or the stage; without ``names``.
        stage: The stage of every name without a selector of its own.
        version: The version of every name without a selector of its own, with or
            without the leading ``v``.
        repo: URL of the Git repo as registered in Studio; by default the one that the
            lock file names, or that of the Git remote of the clone.
        git_remote: Name of the Git remote whose URL is the repo's.
        folder: Where to act, as if the process had changed to it.
        lock: The lock file; by default ``models.lock`` in the Git root.
        source: Where to look up versions: ``studio``; ``remote`` and ``cache``: local
            Git tags. By default Studio, or the tags if the settings say offline.
        check: Write nothing; only return what would change.
        token: Studio's token; by default from the environment or DVC's config.
        url: Studio's base URL; by default from the environment or DVC's config.

    Returns:
        ``up_to_date``, and ``models``, each with ``ref``, its pins ``before`` and
        ``after``, and ``moved``: whether they differ.

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
        lock=lock or True,
        source=source,
        token=token,
        url=url,
    )
    return update_lock(names, options, check=check)
