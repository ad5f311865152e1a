"""Which objects of a cache a project needs, and why.

Everything is read here that may need an object. What cannot be read is a problem, and
never counts as "needs nothing".
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from dvc_studio_models.errors import LockFileError, UnsafePathError
from dvc_studio_models.files.receipts import read_every
from dvc_studio_models.operations.cache.roots import detached_heads, is_shallow
from dvc_studio_models.registry.commits import CommitReader, outputs_of
from dvc_studio_models.registry.gto.tags import parse_tag
from dvc_studio_models.registry.lockfile import (
    SUFFIXES,
    is_lock_file,
    parse_pins,
)
from dvc_studio_models.store.dvc.project import receipts_folder
from dvc_studio_models.store.upkeep.workspace import links_into

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.operations.cache.needs import Needs
    from dvc_studio_models.operations.cache.roots import UserRoot
    from dvc_studio_models.operations.cache.versions import KnownVersion
    from dvc_studio_models.registry.git.reader import GitReader
    from dvc_studio_models.store.upkeep.folder import CacheFolder
    from dvc_studio_models.store.upkeep.workspace import DvcWorkspace
    from dvc_studio_models.store.usage import UsageRecord

WORKSPACE = "workspace"
PLAIN_SUFFIX = ".lock"
EXPERIMENTS = "refs/exps"
LINK = "hard link"
"""A working tree has the object itself; to remove it would free nothing."""

ENDS = tuple(f"*{suffix}" for suffix in SUFFIXES)
ABOUT_TAGS = "Run 'git fetch --unshallow --tags', or 'git fetch --tags --force'"


def collect(
    root: UserRoot,
    needs: Needs,
    cache: CacheFolder,
    *,
    reads: bool,
) -> None:
    """Add what one root needs.

    Args:
        root: It uses the cache, or may.
        needs: Receives objects, reasons and problems.
        cache: The cache.
        reads: Whether to hash files of the working tree that DVC's state does not know.
    """
    for workspace in root.workspaces:
        reason = _label(root, WORKSPACE)
        folder = receipts_folder(workspace.root, workspace.root)
        receipts = read_receipts([folder] if folder else [], needs)
        paths = add_receipts(receipts, needs, reason)
        _add_workspace(workspace, paths, needs, cache, reason=reason, reads=reads)
    if root.clone:
        _add_stages(root, needs)
        _add_commits(root, needs)
    _add_own_locks(root, needs)


def _label(root: UserRoot, reason: str) -> str:
    return f"{root.label}: {reason}" if root.label else reason


# The working tree


def read_receipts(folders: Iterable[Path], needs: Needs) -> list[Receipt]:
    """Read the receipts of all pulls into any folder; damaged ones are problems."""
    found: list[Receipt] = []
    for folder in folders:
        with needs.reading(f"the records of pulls, '{folder}'"):
            receipts, unreadable = read_every(folder)
            found += receipts
            for path in unreadable:
                needs.problems[f"the record of a pull, '{path}': it is damaged"] = None
    return found


def add_receipts(
    receipts: Iterable[Receipt], needs: Needs, reason: str | None = None
) -> list[str]:
    """Add the files of pulls that are still there, and return their paths.

    Args:
        receipts: Of the pulls.
        needs: Receives their objects.
        reason: By default, the folder that was pulled to.
    """
    paths: list[str] = []
    for receipt in receipts:
        placed = {f"{receipt.root}/{path}": d for path, d in receipt.files.items()}
        there = {path: digest for path, digest in placed.items() if _may_exist(path)}
        why = reason or receipt.root
        needs.add(there.values(), why)
        if there:
            needs.add_version(receipt.model, (receipt.version, receipt.commit), why)
        paths += there
    return paths


def _add_workspace(
    workspace: DvcWorkspace,
    paths: list[str],
    needs: Needs,
    cache: CacheFolder,
    *,
    reason: str,
    reads: bool,
) -> None:
    with needs.reading(reason):
        needs.add(outputs_of(workspace.repo), reason)
        paths += workspace.output_paths()
    with needs.reading(reason):
        contents = workspace.contents(paths, cache, reads=reads)
        needs.add((digest for each in contents.values() for digest in each), reason)


def add_usage(records: Iterable[UsageRecord], needs: Needs, cache: CacheFolder) -> None:
    """Add objects that symbolic links lead to, in any folder that was pulled to."""
    for record in records:
        with needs.reading(f"the files in '{record.root}'"):
            paths = (f"{record.root}/{path}" for path in record.files)
            needs.add(links_into(paths, cache), record.root)


def _may_exist(path: str) -> bool:
    """Whether a file is there, or cannot be looked at."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


# Git


def _add_stages(root: UserRoot, needs: Needs) -> None:
    registry = root.registry
    assert registry  # noqa: S101 - the caller has checked
    with needs.reading(_label(root, "tags")):
        tags = registry.tags
        missing = [tag.tag for tag in tags.unreadable]
        ignored = [t.tag for t in tags.lightweight if t.stage]
        relevant = set(tags.all_ignored_tags())
        for tag in [*missing, *(tag for tag in ignored if tag in relevant)]:
            what = "it, or its commit, is missing in this clone"
            if tag not in missing:
                what = "it is lightweight, so GTO does not read it"
            needs.problems[f"the tag '{tag}': {what}. {ABOUT_TAGS}"] = None
        for model in registry.models:
            for stage, version in model.stages.items():
                reason = _label(root, f"#{stage}")
                with needs.reading(f"{model.name}{reason}"):
                    record = registry.read_record(model.name, version)
                    for output in record.outputs if record else ():
                        needs.add(filter(None, [output.digest]), reason)
                        needs.add((file.digest for file in output.files), reason)


def add_untagged(root: UserRoot, records: Iterable[UsageRecord], needs: Needs) -> None:
    """Note models of a clone that were pulled, and that none of its tags names.

    Then the clone lacks its tags, so that nobody knows what is in the stages.
    """
    if root.clone is None:
        return
    with needs.reading(_label(root, "tags")):
        tags = (parse_tag(name) for name, _ in root.clone.reader.tags())
        named = {tag.name for tag in tags if tag}
        ours = {each.model for each in records if root.is_own_repo(each.repo)}
        if is_shallow(root) and (ours or named):
            what = "this clone is shallow, so it may lack tags of stages"
            needs.problems[f"{_label(root, what)}. {ABOUT_TAGS}"] = None
        for name in sorted(ours - named):
            what = f"'{name}' was pulled, but this clone has no tag of it"
            needs.problems[f"{_label(root, what)}. {ABOUT_TAGS}"] = None


def _add_commits(root: UserRoot, needs: Needs) -> None:
    """Add all that is checked out or has a name, and the lock files there."""
    assert root.clone  # noqa: S101 - the caller has checked
    heads: dict[str, str] = {}
    with needs.reading(_label(root, "branches")):
        heads = _heads(root, root.clone.reader, needs)
    with contextlib.closing(CommitReader(root.clone.reader)) as commits:
        for commit, name in heads.items():
            reason = _label(root, name)
            is_branch = name != "HEAD" and " " not in name
            with needs.reading(f"branch {reason}" if is_branch else reason):
                projects = {*root.inner, *commits.projects(commit)}
                for inner in projects - root.elsewhere:
                    needs.add(commits.digests(commit, inner), reason)
                for path, raw in commits.find_files(commit, SUFFIXES):
                    _add_lock(path, raw, needs, f"{reason}:{path}")


def _heads(root: UserRoot, reader: GitReader, needs: Needs) -> dict[str, str]:
    """Return HEAD, all local branches, heads of worktrees, and DVC's experiments.

    Returns:
        Commit to name.
    """
    found: dict[str, str] = {}
    for name, commit in reader.refs("refs/heads"):
        found.setdefault(commit, name)
    with needs.reading(_label(root, "HEAD")):
        if head := reader.head():
            found.setdefault(head, "HEAD")
    for name, commit in detached_heads(root).items():
        found.setdefault(commit, f"worktree {name}")
    for name, commit in reader.refs(EXPERIMENTS):
        found.setdefault(commit, f"experiment {name.rpartition('/')[2]}")
    return found


# Lock files


def _add_own_locks(root: UserRoot, needs: Needs) -> None:
    """Add the lock files of the working tree, or right in a folder without Git."""
    with needs.reading(_label(root, "lock files")):
        for path in _lock_paths(root):
            with needs.reading(_label(root, path)):
                raw = (root.root / path).read_bytes()
                _add_lock(path, raw, needs, _label(root, path))


def _lock_paths(root: UserRoot) -> Iterator[str]:
    here = (path.name for path in sorted(root.root.iterdir()))
    found = dict.fromkeys(name for name in here if name.endswith(SUFFIXES))
    if root.clone:
        found |= dict.fromkeys(root.clone.reader.find_files(*ENDS))
        found |= dict.fromkeys(root.find_files((PLAIN_SUFFIX,)))  # also ignored ones
    elif root.workspaces:
        found |= dict.fromkeys(root.find_files(SUFFIXES))
    for path in found:
        if (root.root / path).is_file():
            yield path


def _add_lock(path: str, raw: bytes, needs: Needs, reason: str) -> None:
    if not is_lock_file(Path(path).name, raw):
        return
    try:
        pins = parse_pins(Path(path), raw)
    except (LockFileError, UnsafePathError) as error:
        needs.problems[str(error).partition("\n")[0]] = None
        return
    for pin in pins.values():
        needs.add((file.digest for file in pin.files), reason)
        needs.add_version(pin.ref.name, (pin.version, pin.commit), reason)


def add_links(
    versions: Iterable[KnownVersion], needs: Needs, cache: CacheFolder
) -> None:
    """Add objects that have a second hard link: a working tree has them, too."""
    for version in versions:
        for digest in version.digests:
            found = cache.find(digest)
            if found and found.links > 1 and not needs.needs(digest):
                needs.add([digest], LINK)
