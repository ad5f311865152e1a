"""How two versions differ, or a version and the workspace: by the hashes of files.

No content is downloaded. The files of a folder are listed in the DVC cache, or else on
the DVC remote; those of another repo by Studio.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    NotDvcProjectError,
    StudioModelsError,
    UsageError,
    VersionUnknownError,
)
from dvc_studio_models.model import MD5, MD5_DOS2UNIX, Digest, ModelVersion
from dvc_studio_models.operations.contents import folders_of, read_cached
from dvc_studio_models.operations.inventory import Inventory
from dvc_studio_models.operations.project import find_composed
from dvc_studio_models.operations.show import read_lock, repo_label
from dvc_studio_models.operations.steps.names import with_known_repos
from dvc_studio_models.operations.steps.prepare import open_context, read_names
from dvc_studio_models.registry.recorded import expand
from dvc_studio_models.sources.local.listings import read_remote_listing
from dvc_studio_models.sources.registered import is_of_clone
from dvc_studio_models.sources.resolve import connect, infer_repo_url, object_version_id
from dvc_studio_models.sources.verification import read_record
from dvc_studio_models.store.dvc.store import DvcStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dvc_studio_models.model import ModelFile, ModelRef, PullOptions
    from dvc_studio_models.registry.recorded import (
        GitFile,
        Listing,
        RecordedOutput,
    )
    from dvc_studio_models.sources.context import PullContext


@dataclass(frozen=True)
class Content:
    """The content of one file, by its hash."""

    digest: Digest | None
    """None where DVC has no hash of it."""

    other_id: str | None = None
    """The id of the content in Git or in storage, if ``digest`` is None."""

    size: int | None = field(default=None, compare=False)
    """In bytes; None if neither Git nor the cache has it."""

    @property
    def md5(self) -> str | None:
        """The hash as DVC writes it."""
        return self.digest.value if self.digest else None


@dataclass(frozen=True)
class Side:
    """One of the two things that are compared."""

    ref: ModelRef
    version: str | None
    """None for the workspace, and where it is not known."""

    commit: str | None
    files: Mapping[str, Content] = field(repr=False)
    """By their paths, relative to the Git root."""

    is_workspace: bool = False

    @property
    def size(self) -> int | None:
        """In bytes; None if that of a file is not known."""
        sizes = [content.size for content in self.files.values()]
        known = [size for size in sizes if size is not None]
        return sum(known) if len(known) == len(sizes) else None


@dataclass(frozen=True)
class DiffResult:
    """The files that differ, by their paths."""

    repo: str
    old: Side
    new: Side
    added: Mapping[str, Content]
    deleted: Mapping[str, Content]
    modified: Mapping[str, tuple[Content, Content]]
    renamed: Mapping[tuple[str, str], Content]
    """Old and new path of the same content."""


def diff_models(old: str, new: str | None, options: PullOptions) -> DiffResult:
    """Compare two versions of a model, or of two models.

    Args:
        old: ``churn``, ``churn@v1.0.0`` or ``churn#prod``.
        new: The same; None for the workspace.
        options: Which repo.

    Raises:
        StudioModelsError: One of its subclasses in :mod:`dvc_studio_models.errors`.
    """
    names = [old] if new is None else [old, new]
    with contextlib.ExitStack() as stack:
        context = open_context(replace(options, out=options.out or options.folder))
        stack.callback(context.close)
        refs = [_read_name(name, context, options) for name in names]
        refs = with_known_repos(refs, read_lock(context), context, options)
        if not is_of_clone(context, options) or any(ref.repo for ref in refs):
            return _diff_by_studio(refs, context, options)
        inventory = Inventory(context.folder, context.clone)
        stack.callback(inventory.close)
        sides = [_read_version(ref, inventory, context) for ref in refs]
        if new is None:
            sides.append(_read_workspace(sides[0], inventory))
        return _compare(repo_label(context, options), *sides)


def _read_name(name: str, context: PullContext, options: PullOptions) -> ModelRef:
    refs = read_names([name], context, options)
    if len(refs) > 1:
        msg = f"{name!a} matches {len(refs)} models: name one"
        raise UsageError(msg)
    return refs[0]


# In another repo


def _diff_by_studio(
    refs: list[ModelRef], context: PullContext, options: PullOptions
) -> DiffResult:
    """Compare models of another repo, whose files Studio lists.

    Raises:
        UsageError: The workspace is to be compared.
        StudioError: Studio did not list the files.
    """
    if len(refs) == 1:
        msg = "name two versions: the workspace is not of that repo"
        raise UsageError(msg)
    of_others = all(ref.repo for ref in refs)
    repo = refs[0].repo if of_others else None
    repo = repo or infer_repo_url(context.clone, context.settings, options)
    sides = []
    client = connect(context)
    for ref in refs:
        found, stated = client.find(ref.repo or repo, ref)
        files = {file.path: _served_content(ref, file) for file in found}
        version = ref.version or stated.version
        sides.append(Side(ref, version, stated.commit, files))
    return _compare(repo, *sides)


def _served_content(ref: ModelRef, file: ModelFile) -> Content:
    """Return the content of a file that Studio has a link to.

    Raises:
        VersionUnknownError: The link does not identify it.
    """
    other_id = None if file.digest else object_version_id(file.url)
    if file.digest is None and other_id is None:
        raise VersionUnknownError(
            ref,
            f"Studio's link to {file.path!a} contains no hash",
            problem="cannot compare",
            hint="Compare in a clone of the repo",
        )
    return Content(file.digest, other_id)


# In the clone


def _read_version(ref: ModelRef, inventory: Inventory, context: PullContext) -> Side:
    """Read the files of a version.

    Raises:
        VersionUnknownError: There is none.
        StudioModelsError: Its files cannot be listed.
    """
    registry = inventory.registry
    version = registry.resolve(ref)
    if version is None:
        missing = registry.tags.describe_missing(ref)
        error = registry.tags.version_error(ref)
        raise error or VersionUnknownError(ref, missing, problem="cannot compare")
    record = read_record(ref, version, registry)
    if record is None:
        missing = f"no 'dvc.yaml' annotates it at {version.commit[:7]}"
        raise VersionUnknownError(ref, missing, problem="cannot compare")
    listings = {
        output.digest: _read_listing(output, inventory, context)
        for output in folders_of(record)
        if output.digest
    }
    project = inventory.project_of(record.path)
    files = {
        file.path: Content(
            file.digest,
            None,
            project.size_in_cache(file.digest) if file.size is None else file.size,
        )
        for file in expand(record, listings)
    }
    files.update((f.path, _git_content(f, inventory)) for f in record.git_files)
    return Side(ref, version.registered, version.commit, files)


def _read_listing(
    output: RecordedOutput, inventory: Inventory, context: PullContext
) -> Listing:
    """List the files of a folder, from the cache or from the DVC remote.

    Raises:
        StudioModelsError: Neither has the list.
    """
    listing = read_cached(output, inventory)
    if listing is not None:
        return listing
    assert context.clone  # noqa: S101 - of which the output is
    store = context.open_store(context.clone.root, [output.path])
    if not isinstance(store, DvcStore):
        raise NotDvcProjectError(str(context.clone.root))
    try:
        return read_remote_listing(store, output, save=True)
    except StudioModelsError as error:
        error.add_hint(
            f"The list of the files in '{output.path}' is not in the DVC cache: pull "
            "both versions once, or set up the DVC remote"
        )
        raise


def _git_content(file: GitFile, inventory: Inventory) -> Content:
    """Return the content of a file that Git stores."""
    if file.digest:
        return Content(file.digest, None, file.size)
    data = inventory.registry.read_blob(file.oid)
    if data is None:
        return Content(None, file.oid)
    value = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Content(Digest(MD5, value), None, len(data))


def _read_workspace(side: Side, inventory: Inventory) -> Side:
    """Read the files that are at the path of a version now."""
    assert side.commit  # noqa: S101 - it is of the clone
    version = ModelVersion(side.version or side.commit, side.commit)
    record = inventory.registry.read_record(side.ref.name, version)
    assert record  # noqa: S101 - the files of this version were read
    algorithms = {each.digest.algorithm for each in side.files.values() if each.digest}
    project = inventory.project_of(record.path)
    found = project.list_content(
        inventory.root / record.path, MD5 if MD5 in algorithms else MD5_DOS2UNIX
    )
    files = {}
    for name, (digest, size) in found.items():
        path = f"{record.path}/{name}" if name else record.path
        if path not in side.files:
            path = find_composed(inventory.root, path)
        files[path] = Content(digest, None, size)
    return Side(side.ref, None, None, files, is_workspace=True)


# The difference


def _compare(repo: str, old: Side, new: Side) -> DiffResult:
    """Compare by path, and find files of the same content under another path."""
    added = {path: new.files[path] for path in sorted({*new.files} - {*old.files})}
    deleted = {path: old.files[path] for path in sorted({*old.files} - {*new.files})}
    modified = {
        path: (old.files[path], new.files[path])
        for path in sorted({*old.files} & {*new.files})
        if old.files[path] != new.files[path]
    }
    renamed = _find_renamed(added, deleted)
    for before, after in renamed:
        del deleted[before], added[after]
    return DiffResult(repo, old, new, added, deleted, modified, renamed)


def _find_renamed(
    added: Mapping[str, Content], deleted: Mapping[str, Content]
) -> dict[tuple[str, str], Content]:
    """Pair files of the same content; of several, the first ones by path."""
    waiting: dict[Content, list[str]] = defaultdict(list)
    for path, content in added.items():
        waiting[content].append(path)
    return {
        (path, waiting[content].pop(0)): content
        for path, content in deleted.items()
        if waiting.get(content)
    }
