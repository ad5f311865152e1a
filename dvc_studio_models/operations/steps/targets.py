"""Reads the targets when a pull is planned, and again before it changes them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import UnsafePathError, disk_errors
from dvc_studio_models.files.folders import SafeFolders, is_spelled, nearest_existing
from dvc_studio_models.files.paths import fold
from dvc_studio_models.model import MD5, Digest, ModelFile
from dvc_studio_models.operations.steps.plan import (
    Plan,
    TargetState,
    make_plan,
    with_renames,
)
from dvc_studio_models.registry.recorded import is_inside
from dvc_studio_models.registry.urls import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.files.workspace import FileStamp, Workspace
    from dvc_studio_models.model import PullOptions
    from dvc_studio_models.operations.steps.plan import PreparedPull, ProjectPull
    from dvc_studio_models.sources.context import PullContext
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.dvc.light import KnownFile

    Stamps = Mapping[str, FileStamp | None]
    Key = tuple[str, str | None]


def check_targets(
    context: PullContext,
    workspace: Workspace,
    paths: Sequence[str],
    *,
    source: str,
    together: bool,
) -> None:
    """Refuse paths that must not be written, before anything is.

    Args:
        context: Finds the clone that may track them.
        workspace: Where the targets are.
        paths: Of the targets.
        source: The source of the paths, for the error.
        together: Whether all are to be written, so that no two may be one file.

    Raises:
        UnsafePathError: All paths that are unsafe, or that Git tracks.
    """
    workspace.check(paths, source=source, together=together)
    if tracked := tracked_paths(context, workspace.root, paths):
        problems = [
            (path, "Git tracks it" + ("" if is_inside(path, name) else f" as {name!r}"))
            for path, name in tracked.items()
        ]
        raise UnsafePathError(problems, source=source)


def tracked_paths(
    context: PullContext, root: Path, paths: Iterable[str]
) -> dict[str, str]:
    """Return the paths below a root, which may lie in any clone, that Git tracks.

    Returns:
        The names that Git has for them, by path.
    """
    paths = list(paths)
    clone = context.clone_around(nearest_existing(root)) if paths else None
    if clone is None:
        return {}
    inner = os.path.relpath(root.resolve(), clone.root.resolve())
    prefix = "" if inner == "." else f"{Path(inner).as_posix()}/"
    found = clone.tracked(f"{prefix}{path}" for path in paths)
    return {
        path.removeprefix(prefix): name.removeprefix(prefix)
        for path, name in found.items()
    }


def make_plans(prepared: PreparedPull, options: PullOptions) -> PreparedPull:
    """Read every target, and decide the step for each file."""
    root = prepared.workspace.root
    files = [file for model in prepared.models for file in model.files]
    dropped = {} if options.is_partial else dropped_by(prepared)
    dropped_paths = [path for files_of in dropped.values() for path in files_of]
    stamps = prepared.workspace.stat_targets(
        [*(file.path for file in files), *dropped_paths]
    )
    in_git = [file.path for file in files if file.git_oid]
    tracked = set(tracked_paths(prepared.context, root, [*in_git, *dropped_paths]))
    with disk_errors(root, action="read"):
        renamed = {
            path
            for path in _respelled(prepared)
            if stamps[path] and not is_spelled(root, path)
        }

    def plan(model: ResolvedModel, project: ProjectPull) -> Plan:
        placed = {path: d for r in project.earlier for path, d in r.files.items()}
        gone = dropped.get(key_of(model.ref), {})
        left = find_leftovers(gone, stamps, root, project.store)
        there = {
            file.path: f"{root}/{file.path}"
            for file in model.files
            if stamps[file.path]
        }
        known = project.store.look_up(there.values())
        targets = {
            file.path: inspect_target(
                file, root, project.store, placed, known.get(there[file.path])
            )
            for file in model.files
            if file.path in there
        }
        found = {path: target.digest for path, target in targets.items()}
        lacking = [f.digest for f in model.files if f.digest != found.get(f.path)]
        if digests := [digest for digest in lacking if digest]:
            project.store.look_up_objects(digests)
        return make_plan(
            model.files,
            targets=targets,
            cached_size=project.store.size_of,
            leftovers=[path for path in left if path not in tracked],
            tracked=tracked,
            force=options.force,
        )

    def plans(project: ProjectPull) -> list[Plan]:
        return [with_renames(plan(each, project), renamed) for each in project.models]

    projects = [replace(project, plans=plans(project)) for project in prepared.projects]
    return replace(prepared, projects=projects, stamps=stamps)


def dropped_by(
    prepared: PreparedPull, *, again: bool = False
) -> dict[Key, dict[str, Digest]]:
    """List the files that earlier pulls of the models placed, and these do not have.

    Args:
        prepared: The pull.
        again: Whether to read the receipts again.

    Returns:
        Path to digest, by :func:`key_of`.
    """
    keys = {key_of(model.ref) for model in prepared.models}
    wanted = {path for model in prepared.models for path in model.paths}
    dropped = {}
    for project in prepared.projects:
        receipts = project.earlier
        if again:
            receipts = project.receipts.load(prepared.workspace.root)
        dropped.update(dropped_files(receipts, keys, wanted, prepared.workspace))
    return dropped


def respell(prepared: PreparedPull) -> None:
    """Rename the files of earlier versions whose names differ in case or form only.

    Where names are found in any case, they are the files of this version already. They
    keep their names if the file system refuses.
    """
    paths = _respelled(prepared)
    if not paths:
        return
    with contextlib.suppress(OSError), SafeFolders(prepared.workspace.root) as tree:
        for path in paths:
            with contextlib.suppress(OSError, UnsafePathError):
                tree.respell(path)


def _respelled(prepared: PreparedPull) -> list[str]:
    """List the files that earlier versions had in another case or form."""
    wanted = {path for model in prepared.models for path in model.paths}
    keys = {key_of(model.ref) for model in prepared.models}
    earlier = [each for project in prepared.projects for each in project.earlier]
    of_models = (receipt for receipt in earlier if receipt.key in keys)
    gone = {path for receipt in of_models for path in receipt.files} - wanted
    folded = set(map(fold, gone))
    return sorted(path for path in wanted if fold(path) in folded) if gone else []


def inspect_target(
    file: ModelFile,
    root: Path,
    store: Store,
    placed: Mapping[str, Digest],
    known: KnownFile | None,
) -> TargetState:
    """Hash the file at a target, and check whether its content is stored elsewhere.

    Args:
        file: The file that is to be there.
        root: Of the workspace.
        store: Of the file's DVC project.
        placed: Path to digest, of what earlier pulls placed.
        known: What the store knows of it without reading it.
    """
    if (
        known
        and file.digest
        and known[:2] == (file.digest.algorithm, file.digest.value)
    ):
        return TargetState(file.digest, recoverable=True, size=known.size)
    target = root / file.path
    algorithm = file.digest.algorithm if file.digest else MD5
    try:
        there = store.digest_of(target, algorithm)
        size = os.stat(target).st_size  # noqa: PTH116 - of thousands of files
    except FileNotFoundError:  # a link to nothing, as after `dvc gc`
        return TargetState(None, recoverable=True, size=0)
    if there == file.digest:
        return TargetState(there, recoverable=True, size=size)
    if file.git_oid and file.digest and is_same_text(target, file.digest):
        return TargetState(there, recoverable=True, size=size, is_same_text=True)
    recoverable = store.size_of(there) is not None
    before = placed.get(file.path)
    if before and not recoverable:
        recoverable = store.digest_of(target, before.algorithm) == before
    return TargetState(there, recoverable=recoverable, size=size)


def is_same_text(path: Path, digest: Digest) -> bool:
    """Whether a file has this hash where its line ends are those that Git stores.

    Git may check out text with CRLF (``core.autocrlf``, ``eol`` in ``.gitattributes``).

    Raises:
        LocalDiskError: It cannot be read.
    """
    with disk_errors(path, action="read"):
        text = path.read_bytes().replace(b"\r\n", b"\n")
    return hashlib.md5(text, usedforsecurity=False).hexdigest() == digest.value


def dropped_files(
    receipts: Iterable[Receipt],
    keys: Collection[Key],
    wanted: Collection[str],
    workspace: Workspace,
) -> dict[Key, dict[str, Digest]]:
    """List the files that earlier pulls placed, and that no model has any more.

    A file that a model has by another spelling is not one of them, where both are one
    name, as ``Model.pkl`` and ``model.pkl`` mostly are on macOS.

    Args:
        receipts: Of the earlier pulls.
        keys: Of the models that are pulled now, see :func:`key_of`.
        wanted: Paths of all their files.
        workspace: Where the files are.

    Returns:
        Path to digest, by the key of the model.
    """
    receipts = list(receipts)
    others = {path for r in receipts if r.key not in keys for path in r.files}
    dropped = {
        receipt.key: {
            path: digest
            for path, digest in receipt.files.items()
            if path not in wanted and path not in others
        }
        for receipt in receipts
        if receipt.key in keys
    }
    if any(dropped.values()):
        kept = {fold(path): path for path in (*others, *wanted)}
        for files in dropped.values():
            for path in list(files):
                other = kept.get(fold(path))
                if other is not None and workspace.are_one_file(path, other):
                    del files[path]
    return dropped


def find_leftovers(
    dropped: Mapping[str, Digest], stamps: Stamps, root: Path, store: Store
) -> list[str]:
    """Return the dropped files that are still there, as they were placed."""
    return [
        path
        for path, digest in dropped.items()
        if stamps[path] and has_content(root / path, digest, store)
    ]


def has_content(path: Path, digest: Digest, store: Store) -> bool:
    """Whether a file has this content; a link to nothing has none."""
    try:
        return store.digest_of(path, digest.algorithm) == digest
    except FileNotFoundError:
        return False


def already_placed(
    wanted: Mapping[str, Digest | None],
    *,
    planned: Stamps,
    now: Stamps,
    root: Path,
    store: Store,
) -> set[str]:
    """Return the targets that another pull of the same model has placed meanwhile.

    Args:
        wanted: The content of each target; None where it is to be removed.
        planned: The targets when the plan was made.
        now: The same targets now.
        root: Of the workspace.
        store: Of their DVC project.
    """
    return {
        path
        for path, digest in wanted.items()
        if now[path] != planned[path]
        and (has_content(root / path, digest, store) if digest else now[path] is None)
    }
