"""Placed files are added to ``.gitignore``, as ``dvc add`` does.

Those of the clone's own models have it from ``dvc add`` already. Files that Git ignores
or tracks are left as they are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import LocalDiskError, UnreadableRepoError
from dvc_studio_models.files.folders import nearest_existing
from dvc_studio_models.log import get_logger
from dvc_studio_models.operations.steps.plan import DOWNLOAD, LINK
from dvc_studio_models.sources.context import common_folder
from dvc_studio_models.store.dvc.project import project_around

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dvc_studio_models.model import PullOptions
    from dvc_studio_models.operations.steps.plan import PreparedPull
    from dvc_studio_models.registry.clone import Clone
    from dvc_studio_models.sources.resolve import ResolvedModel

logger = get_logger(__name__)


def ignore_placed(prepared: PreparedPull, options: PullOptions) -> tuple[str, ...]:
    """Add the placed files to the ``.gitignore`` files beside them.

    A failure is a warning: the files are placed.

    Args:
        prepared: The pull, after all files are placed.
        options: Whether to do so for all models, and outside of DVC projects.

    Returns:
        The ``.gitignore`` files that were changed, relative to the user's folder.
    """
    root = prepared.workspace.root
    models = list(_placed_models(prepared, options))
    clone = prepared.context.clone_around(nearest_existing(root)) if models else None
    if clone is None:
        return ()
    from dvc_studio_models.registry.git.ignore import IgnoreError, add_to_gitignore

    inner = os.path.relpath(root, clone.root.resolve())
    prefix = "" if inner == "." else f"{Path(inner).as_posix()}/"
    groups = [[prefix + path for path in _stored(model)] for model in models]
    try:
        spelled = [clone.spell(g) for g in groups if _applies(g, clone, options)]
        entries = _find_entries(clone, spelled)
        changed = add_to_gitignore(clone.root, entries) if entries else []
    except (IgnoreError, LocalDiskError, UnreadableRepoError) as error:
        logger.warning("cannot add the files to '.gitignore': %s", error)
        return ()
    folder = Path(os.path.realpath(prepared.context.folder))
    return tuple(sorted(os.path.relpath(file, folder) for file in changed))


def _placed_models(
    prepared: PreparedPull, options: PullOptions
) -> Iterator[ResolvedModel]:
    """Yield the models whose files may be missing in ``.gitignore``."""
    root = prepared.workspace.root
    for project in prepared.projects:
        for model, plan in zip(project.models, project.plans, strict=True):
            is_changed = bool(plan.steps_to(LINK, DOWNLOAD))
            is_elsewhere = model.ref.repo is not None or options.out is not None
            is_lost = is_changed and _lacks_dvc_file(model, root)
            if options.gitignore or is_elsewhere or is_lost:
                yield model


def _lacks_dvc_file(model: ResolvedModel, root: Path) -> bool:
    """Whether DVC tracked one of the clone's own models, and does not any more."""
    record = model.record
    return record is not None and not any(
        (root / f"{output.path}.dvc").is_file() for output in record.outputs
    )


def _applies(paths: Sequence[str], clone: Clone, options: PullOptions) -> bool:
    """Whether files, relative to the clone's root, are of a DVC project."""
    folder = clone.root / common_folder(paths)
    return bool(paths) and (
        options.gitignore or project_around(folder, clone.root) is not None
    )


def _find_entries(clone: Clone, groups: Sequence[Sequence[str]]) -> list[str]:
    """Return what to add for models: their folder if it is all theirs, else the files.

    Args:
        clone: The files' clone.
        groups: The paths of each model, relative to the clone's root.
    """
    places = {place for paths in groups for place in _places(paths)}
    key_of = clone.key_of
    unignored = set(map(key_of, clone.untracked(places) if places else ()))
    entries = []
    for paths in groups:
        mine = {path for path in paths if key_of(path) in unignored}
        folder = common_folder(paths)
        start = f"{key_of(folder)}/"
        inside = {key for key in unignored if key.startswith(start)}
        is_whole = (
            len(paths) > 1 and folder and mine and inside <= set(map(key_of, mine))
        )
        if is_whole and not clone.tracks_below(folder):
            entries.append(folder)
        else:
            entries += sorted(mine)
    return entries


def _places(paths: Sequence[str]) -> Sequence[str]:
    """Return a folder that holds all paths, or the paths themselves."""
    folder = common_folder(paths)
    return [folder] if folder else paths


def _stored(model: ResolvedModel) -> list[str]:
    """Return the paths of the files that Git does not store."""
    return [file.path for file in model.files if not file.git_oid]
