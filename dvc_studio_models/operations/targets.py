"""What is there before a pull changes anything, and what the pull would do about it.

Owns the looking: at the targets, at what Git tracks, at the cache.
Changes nothing. The decisions themselves are ``plan``'s.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import NotGitRepoError, UnsafePathError, disk_errors
from dvc_studio_models.files.folders import nearest_existing
from dvc_studio_models.model import MD5, Digest, ModelFile
from dvc_studio_models.operations.plan import Plan, TargetState, make_plan
from dvc_studio_models.registry.clone import Clone

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.files.workspace import FileStamp, Workspace
    from dvc_studio_models.model import PullOptions
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store


def check_targets(workspace: Workspace, paths: Sequence[str], *, source: str) -> None:
    """Refuse, before anything is written, what must not be written.

    Args:
        workspace: Where the targets are.
        paths: Of the targets.
        source: Who names them, for the error.

    Raises:
        UnsafePathError: All paths that are unsafe, or that Git tracks.
    """
    workspace.check(paths, source=source)
    if tracked := _tracked(workspace.root, paths):
        problems = [(path, "Git tracks it") for path in tracked]
        raise UnsafePathError(problems, source=source)


def _tracked(root: Path, paths: Iterable[str]) -> list[str]:
    """Find what Git tracks of the paths below a root, which need not be a clone's."""
    try:
        clone = Clone.find(nearest_existing(root))
    except NotGitRepoError:
        return []
    inner = os.path.relpath(root.resolve(), clone.root.resolve())
    prefix = "" if inner == "." else f"{Path(inner).as_posix()}/"
    found = clone.tracked(f"{prefix}{path}" for path in paths)
    return [path.removeprefix(prefix) for path in found]


def survey(
    answers: Sequence[ResolvedModel],
    workspace: Workspace,
    store: Store,
    known: Sequence[Receipt],
    *,
    options: PullOptions,
) -> tuple[Plan, dict[str, FileStamp | None]]:
    """Look at every target and decide what it needs.

    Returns:
        The plan, and what was at each path that it may change.
    """
    files = [file for answer in answers for file in answer.files]
    placed = {path: digest for r in known for path, digest in r.files.items()}
    seen = workspace.stat_targets(file.path for file in files)
    held = {
        file.path: inspect_target(file, workspace.root, store, placed)
        for file in files
        if seen[file.path]
    }
    leftovers = (
        {} if options.is_partial else find_leftovers(answers, known, workspace, store)
    )
    seen.update(workspace.stat_targets(leftovers))
    kept_in_git = [file.path for file in files if file.git_oid]
    plan = make_plan(
        files,
        held=held,
        cached_size=store.size_of,
        leftovers=leftovers,
        tracked=_tracked(workspace.root, kept_in_git) if kept_in_git else (),
        force=options.force,
    )
    return plan, seen


def inspect_target(
    file: ModelFile, root: Path, store: Store, placed: Mapping[str, Digest]
) -> TargetState:
    """Find out what is at a target, and whether it could come again."""
    algorithm = file.digest.algorithm if file.digest else MD5
    try:
        here = store.digest_of(root / file.path, algorithm)
        size = os.stat(root / file.path).st_size  # noqa: PTH116 - of thousands of files
    except FileNotFoundError:  # a link to nothing, as after `dvc gc`
        return TargetState(None, recoverable=True, size=0)
    if here == file.digest:
        return TargetState(here, recoverable=True, size=size)
    if file.git_oid and file.digest and is_same_text(root / file.path, file.digest):
        return TargetState(here, recoverable=True, size=size, is_same_text=True)
    recoverable = store.size_of(here) is not None
    before = placed.get(file.path)
    if before and not recoverable:
        recoverable = store.digest_of(root / file.path, before.algorithm) == before
    return TargetState(here, recoverable=recoverable, size=size)


def is_same_text(path: Path, digest: Digest) -> bool:
    """Whether a file has this hash where its line ends are those that Git stores.

    Git may check out text with CRLF (``core.autocrlf``, ``eol`` in ``.gitattributes``).

    Raises:
        LocalDiskError: It cannot be read.
    """
    with disk_errors(path, action="read"):
        text = path.read_bytes().replace(b"\r\n", b"\n")
    return hashlib.md5(text, usedforsecurity=False).hexdigest() == digest.value


def find_leftovers(
    answers: Iterable[ResolvedModel],
    known: Sequence[Receipt],
    workspace: Workspace,
    store: Store,
) -> dict[str, str]:
    """Find what the last pull of these models placed and this one does not have.

    Not what was added to Git since: then it is the user's.

    Returns:
        Path to the name of the model.
    """
    now = {path for answer in answers for path in answer.paths}
    names = {answer.ref.name for answer in answers}
    wanted = now | {path for r in known if r.model not in names for path in r.files}
    gone = {
        path: receipt.model
        for receipt in known
        if receipt.model in names
        for path, digest in receipt.files.items()
        if path not in wanted
        and workspace.stat_target(path)
        and _is_still(workspace.root / path, digest, store)
    }
    tracked = set(_tracked(workspace.root, gone)) if gone else set()
    return {path: model for path, model in gone.items() if path not in tracked}


def _is_still(path: Path, digest: Digest, store: Store) -> bool:
    """Whether a file holds what was placed; a link to nothing holds nothing."""
    try:
        return store.digest_of(path, digest.algorithm) == digest
    except FileNotFoundError:
        return False


def already_placed(
    wanted: Mapping[str, Digest | None],
    seen: Mapping[str, FileStamp | None],
    workspace: Workspace,
    store: Store,
) -> set[str]:
    """Find targets that became what they are to be while the pull ran.

    Another pull of the same model was faster; nothing is left to do about them.

    Args:
        wanted: What each target is to hold; None where it is to be gone.
        seen: What was there when the plan was made.
        workspace: Where they are.
        store: Tells the hash of what is there now.
    """
    now = workspace.stat_targets(wanted)
    return {
        path
        for path, digest in wanted.items()
        if now[path] != seen[path]
        and (
            _is_still(workspace.root / path, digest, store)
            if digest
            else now[path] is None
        )
    }
