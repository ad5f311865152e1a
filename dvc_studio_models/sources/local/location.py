"""Which version a model is, and where its files lie, by tags, Git and pins alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dvc_studio_models.errors import (
    NotStoredError,
    RecordUnreadableError,
    UnreadableRepoError,
    VersionUnknownError,
)
from dvc_studio_models.model import ModelFile
from dvc_studio_models.registry.commands import dvc_import, git_checkout
from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.sources.resolve import ResolvedModel

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelRef, ModelVersion, Pin
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.registry.recorded import RecordedModel, RecordedOutput


@dataclass(frozen=True)
class Location:
    """A model, and what its commit says of where it is kept."""

    answer: ResolvedModel
    """Its files only if it is pinned; else what Git recorded."""

    outputs: tuple[RecordedOutput, ...] = ()
    """Empty where the clone lacks the commit of what is pinned."""

    @property
    def places(self) -> list[str]:
        """Name where it lies, though its files may not be listed yet."""
        record = self.answer.record
        return [record.path] if record else self.answer.paths

    @property
    def remotes(self) -> set[str | None]:
        """Name the remotes that keep it; None is the project's default one."""
        files = {file.remote for file in self.answer.files if not file.git_oid}
        return files or {output.remote for output in self.outputs}

    def output_of(self, path: str) -> RecordedOutput | None:
        """Return the output that a file is or lies in."""
        return next((out for out in self.outputs if out.holds(path)), None)


def locate(ref: ModelRef, pin: Pin | None, registry: GitRegistry) -> Location:
    """Tell the version and where it lies.

    Raises:
        VersionUnknownError: The local tags do not know it.
        NotStoredError: DVC stores nothing of it, or nothing that could be verified.
        RecordUnreadableError: Its commit cannot be read.
    """
    if pin:
        return _locate_pinned(ref, pin, registry)
    if error := registry.tags.version_error(ref):
        raise error
    version = registry.resolve(ref)
    if version is None:
        raise VersionUnknownError(ref, registry.tags.describe_missing(ref))
    record = registry.read_record(ref.name, version)
    if record is None:
        reason = f"no 'dvc.yaml' annotates it at {version.commit[:7]}"
        raise NotStoredError(ref, reason)
    _refuse_unstored(ref, record, version)
    return Location(ResolvedModel(ref, (), version, record), record.outputs)


def _locate_pinned(ref: ModelRef, pin: Pin, registry: GitRegistry) -> Location:
    """List what is pinned; the clone may lack the commit that says which remotes."""
    record = None
    with contextlib.suppress(RecordUnreadableError, UnreadableRepoError):
        record = registry.read_record(ref.name, pin.version)
    outputs = record.outputs if record else ()
    files = (
        ModelFile(
            f.path,
            "",
            f.digest,
            f.size,
            next((out.remote for out in outputs if out.holds(f.path)), None),
            f.git_oid,
        )
        for f in pin.files
    )
    return Location(ResolvedModel(ref, tuple(files), pin.version), outputs)


def _refuse_unstored(
    ref: ModelRef, record: RecordedModel, version: ModelVersion
) -> None:
    """Refuse a model that DVC stores nowhere, and say what it is.

    Raises:
        NotStoredError: It is Git's own, or an import that was not downloaded.
    """
    if not record.outputs:
        if not record.git_files:
            reason = f"{record.path!r} is not tracked at {version.commit[:7]}"
            raise NotStoredError(ref, reason)
        raise NotStoredError(
            ref,
            f"{record.path!r} is stored in Git, not in DVC",
            f"Run '{git_checkout(version.commit, [record.path])}'",
        )
    for output in record.outputs:
        if output.digest is None and not output.files:
            raise _without_hash(ref, output, version)


def _without_hash(
    ref: ModelRef, output: RecordedOutput, version: ModelVersion
) -> NotStoredError:
    if output.origin is None:
        return NotStoredError(ref, f"DVC recorded no hash for {output.path!r}")
    source = strip_secrets(output.origin.url)
    return NotStoredError(
        ref,
        f"{output.path!r} is imported from '{source}' without a hash",
        f"Run '{dvc_import(output, version.commit)}'",
    )
