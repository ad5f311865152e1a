"""The steps of a pull that change something.

Downloads go into the stores. Files, receipts and pins are written in one hold of DVC's
lock.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import TargetChangedError
from dvc_studio_models.files.workspace import Staged
from dvc_studio_models.operations.steps.lock import pin_models
from dvc_studio_models.operations.steps.plan import DOWNLOAD, LINK, link_arrived
from dvc_studio_models.operations.steps.progress import DownloadProgress
from dvc_studio_models.operations.steps.report import (
    digests_of,
    ended_claims,
    new_receipts,
    with_downloads,
)
from dvc_studio_models.operations.steps.targets import (
    already_placed,
    dropped_by,
    find_leftovers,
    respell,
    tracked_paths,
)
from dvc_studio_models.registry.recorded import is_inside
from dvc_studio_models.registry.urls import key_of
from dvc_studio_models.store.base import share_disk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from dvc_studio_models.files.receipts import Receipt
    from dvc_studio_models.files.workspace import FileStamp
    from dvc_studio_models.model import Digest, PullOptions
    from dvc_studio_models.operations.steps.plan import PreparedPull, ProjectPull
    from dvc_studio_models.operations.steps.progress import Report
    from dvc_studio_models.operations.steps.targets import Key, Stamps
    from dvc_studio_models.registry.recorded import RecordedOutput
    from dvc_studio_models.sources.resolve import ResolvedModel
    from dvc_studio_models.store.base import Store
    from dvc_studio_models.store.parts.part import DownloadedFile


def download(
    prepared: PreparedPull, report: Report, *, jobs: int | None
) -> PreparedPull:
    """Download what is missing, and add it to the caches as it is verified.

    Returns:
        The pull; projects that share a cache link what another one has downloaded.
    """
    progress = DownloadProgress(report, prepared)
    projects: list[ProjectPull] = []
    for at, planned in enumerate(prepared.projects):
        later = prepared.projects[at + 1 :]
        project = link_arrived(planned) if progress.has_begun else planned
        projects.append(project)
        paths = {file.path for file in project.to_download()}
        progress.drop(f for f in planned.to_download() if f.path not in paths)
        for batches in _deliver(prepared, project, later, progress, jobs):
            with contextlib.closing(batches):
                for batch in batches:
                    _add(project, batch)
                    progress.finish(batch)
    progress.end()
    return replace(prepared, projects=projects)


def _deliver(
    prepared: PreparedPull,
    project: ProjectPull,
    later: Sequence[ProjectPull],
    progress: DownloadProgress,
    jobs: int | None,
) -> Iterator[Generator[list[DownloadedFile]]]:
    """Take what Git stores from the clone, and everything else from the source."""
    files, store = project.to_download(), project.store
    if in_git := [file for file in files if file.git_oid]:
        progress.start(in_git)
        from dvc_studio_models.sources.local.git_files import deliver_git_files

        yield deliver_git_files(in_git, prepared.registry, store)
    if others := [file for file in files if not file.git_oid]:
        reserved = _bytes_of(later, store)
        source = prepared.source
        progress.start(others)
        yield source.deliver(others, store, progress, jobs=jobs, reserved=reserved)


def _bytes_of(projects: Sequence[ProjectPull], store: Store) -> int:
    """Return how many bytes projects will write to a store's disk, as far as known."""
    sizes: dict[object, int] = {}
    for project in projects:
        files, other = project.to_download(), project.store
        if files and share_disk(store, other):
            for file in files:
                size = (file.size or 0) * (2 if other.needs_second_copy else 1)
                sizes[other.parts, file.content] = size
    return sum(sizes.values())


def _add(project: ProjectPull, batch: Sequence[DownloadedFile]) -> None:
    """Move verified contents into the cache; then they are no parts any more."""
    project.downloads.update((each.file.path, each) for each in batch)
    parts = [(each, part) for each in batch if (part := each.copy or each.part)]
    if project.store.add([(each.digest, part.path) for each, part in parts]):
        for each, part in parts:
            part.moved()
            left = each.part if each.copy else None
            project.downloads[each.file.path] = replace(each, part=left, copy=None)


def release_parts(prepared: PreparedPull) -> None:
    """Release the parts; those whose content is not in the cache can be resumed."""
    for project in prepared.projects:
        for downloaded in project.downloads.values():
            part = downloaded.part
            if part and part.is_owned:
                if project.store.size_of(downloaded.digest) is None:
                    part.release()
                else:
                    part.discard()
            if downloaded.copy:
                downloaded.copy.discard()


@dataclass(frozen=True)
class _Changes:
    """What is to change in one project."""

    project: ProjectPull
    targets: dict[str, Digest | None]
    """The new content of each; None where it is to be removed."""

    parts: Mapping[str, Path]
    """Target to the part that becomes it."""

    has_records: bool
    """Whether receipts, or listings of folders, are to be written."""


def place(prepared: PreparedPull, lock_file: Path | None, options: PullOptions) -> None:
    """Give all files of all projects their names, or none, and note that.

    No other DVC command runs meanwhile in a project that changes.

    Args:
        prepared: The pull, with all downloads verified.
        lock_file: Where to pin the models.
        options: Whether a part of the models was pulled.

    Raises:
        LockHeldError: Another DVC command runs.
        TargetChangedError: Targets changed since the plan was made.
        LockFileError: The lock file cannot be read any more.
        LocalDiskError: The file system refused.
    """
    root = prepared.workspace.root
    every = [_changes_of(project, root, options) for project in prepared.projects]
    changes = [each for each in every if each.targets or each.has_records]
    files = [file for model in prepared.models for file in model.files]
    executable = {file.path for file in files if file.is_executable}
    with contextlib.ExitStack() as stack:
        scratch = {}
        for each in _in_order(changes or (every[:1] if lock_file else [])):
            store = each.project.store
            scratch[store] = stack.enter_context(store.lock())
        placed = _place(prepared, changes, scratch, executable, options)
        prepared.workspace.make_executable(executable - placed.keys())
        if changes:
            respell(prepared)
        for each in changes:
            _save_receipts(each.project, root, options, placed)
        if lock_file:
            pin_models(lock_file, prepared.projects)
    for project in prepared.projects:
        for downloaded in project.downloads.values():
            if downloaded.part:
                downloaded.part.discard()


def _in_order(changes: list[_Changes]) -> list[_Changes]:
    """Sort projects: two pulls that wait for the same locks must not wait for ever."""
    return sorted(changes, key=lambda each: str(each.project.store.receipts))


def _changes_of(project: ProjectPull, root: Path, options: PullOptions) -> _Changes:
    targets: dict[str, Digest | None] = {}
    parts: dict[str, Path] = {}
    for plan in project.plans:
        targets.update(dict.fromkeys(plan.leftovers))
        for step, downloaded in with_downloads(plan, project.downloads):
            digest = downloaded.digest if downloaded else step.file.digest
            if step.action not in {LINK, DOWNLOAD} or digest is None:
                continue
            targets[step.file.path] = digest
            if downloaded and downloaded.part and downloaded.part.is_owned:
                parts[step.file.path] = downloaded.part.path
    has_records = bool(_new_receipts(project, root, options)) or (
        not options.is_partial and bool(_missing_listings(project, options))
    )
    return _Changes(project, targets, parts, has_records)


def _place(
    prepared: PreparedPull,
    changes: list[_Changes],
    scratch: Mapping[Store, Path],
    executable: set[str],
    options: PullOptions,
) -> Mapping[str, FileStamp | None]:
    """Look at the targets again, and change those that are not right by now.

    Returns:
        The stamps of the targets that were changed; None for those removed.

    Raises:
        TargetChangedError: Some are neither as they were nor as they are to be.
    """
    changes = [each for each in changes if each.targets]
    if not changes:
        return {}
    workspace, planned = prepared.workspace, prepared.stamps
    dropped = {} if options.is_partial else dropped_by(prepared, again=True)
    dropped_paths = [path for files in dropped.values() for path in files]
    targets = [path for each in changes for path in each.targets]
    now = workspace.stat_targets([*targets, *dropped_paths])
    _refuse_new_leftovers(prepared, dropped, now)
    todo = [_without_placed(each, planned, now, workspace.root) for each in changes]
    paths = [path for each in todo for path in each.targets]
    if changed := [path for path in paths if now[path] != planned[path]]:
        raise TargetChangedError(changed)
    files: dict[str, Path | str] = {}
    stamps: dict[str, FileStamp] = {}
    folders: dict[str, Path] = {}
    missing = workspace.missing_folders(path for path in paths if not now[path])
    for each in todo:
        cached = {path: digest for path, digest in each.targets.items() if digest}
        parts = {path: part for path, part in each.parts.items() if path in cached}
        linked = {path: cached[path] for path in cached if path not in parts}
        store = each.project.store
        new_folders = missing.difference(folders)
        staged = store.stage(linked, parts, scratch[store], new_folders=new_folders)
        files.update(staged.files)
        stamps.update(staged.stamps)
        folders.update(staged.folders)
    return workspace.place(
        Staged(files, stamps, folders),
        remove=[p for each in todo for p, digest in each.targets.items() if not digest],
        seen={path: planned[path] for path in paths},
        now=now,
        backups=next(iter(scratch.values())),
        executable=executable,
    )


def _refuse_new_leftovers(
    prepared: PreparedPull, dropped: Mapping[Key, Mapping[str, Digest]], now: Stamps
) -> None:
    """Refuse to mix with what another pull has placed since this one was planned.

    Raises:
        TargetChangedError: It has placed files that this version does not have.
    """
    root = prepared.workspace.root
    new = {
        path
        for project in prepared.projects
        for model, plan in zip(project.models, project.plans, strict=True)
        for path in find_leftovers(
            dropped.get(key_of(model.ref), {}), now, root, project.store
        )
        if path not in plan.leftovers
    }
    new.difference_update(tracked_paths(prepared.context, root, new))
    if new:
        raise TargetChangedError(sorted(new))


def _without_placed(
    changes: _Changes, planned: Stamps, now: Stamps, root: Path
) -> _Changes:
    """Drop the targets that another pull of the same model has placed meanwhile."""
    done = already_placed(
        changes.targets,
        planned=planned,
        now=now,
        root=root,
        store=changes.project.store,
    )
    targets = {p: digest for p, digest in changes.targets.items() if p not in done}
    return replace(changes, targets=targets)


# Receipts


def _new_receipts(
    project: ProjectPull, root: Path, options: PullOptions
) -> list[tuple[ResolvedModel, Receipt]]:
    if project.store.receipts is None:
        return []
    known = project.receipts.load(root)
    return new_receipts(project, known, root, is_partial=options.is_partial)


def _save_receipts(
    project: ProjectPull,
    root: Path,
    options: PullOptions,
    stamps: Stamps,
) -> None:
    """Save the hashes for DVC, and the receipts for later pulls."""
    new = _new_receipts(project, root, options)
    placed = {p: digest for _, receipt in new for p, digest in receipt.files.items()}
    project.store.save_hashes(root, placed, stamps)
    files = {receipt.key: receipt.files for _, receipt in new}
    for model, output in _missing_listings(project, options):
        assert output.digest  # noqa: S101 - a folder has the hash of its listing
        at = len(output.path) + 1
        digests = files.get(key_of(model.ref)) or digests_of(model, project.downloads)
        inner = {p[at:]: d for p, d in digests.items() if output.holds(p)}
        project.store.add_tree(inner, output.digest)
    receipts = [receipt for _, receipt in new]
    left, ended = ended_claims(receipts, project.receipts.load(root))
    project.receipts.save(*receipts, *left)
    project.receipts.discard(*ended)


def _missing_listings(
    project: ProjectPull, options: PullOptions
) -> list[tuple[ResolvedModel, RecordedOutput]]:
    """Return the folders whose listing the cache lacks; Studio does not serve it."""
    if not options.cache or project.store.receipts is None:
        return []
    return [
        (model, output)
        for model in project.models
        if (record := model.record)
        for output in record.outputs
        if output.is_folder and is_inside(output.path, record.path)
        if output.digest and not project.store.has_object(output.digest)
    ]
