"""Finding a model's version and where DVC stores it, by tags, Git and pins alone."""

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
from dvc_studio_models.model import ModelFile, ModelVersion, StatedVersion
from dvc_studio_models.registry.commands import dvc_import, git_checkout
from dvc_studio_models.registry.urls import strip_secrets
from dvc_studio_models.sources.resolve import ResolvedModel

if TYPE_CHECKING:
    from dvc_studio_models.model import ModelRef, Pin
    from dvc_studio_models.registry.git_registry import GitRegistry
    from dvc_studio_models.registry.recorded import RecordedModel, RecordedOutput


@dataclass(frozen=True)
class Location:
    """A model, and where it is stored according to its commit."""

    model: ResolvedModel
    """With its files if it is pinned; else with what Git recorded."""

    outputs: tuple[RecordedOutput, ...] = ()
    """Empty if the clone lacks the commit of the pin."""

    @property
    def places(self) -> list[str]:
        """The paths of the model, even if its files are not listed yet."""
        record = self.model.record
        return [record.path] if record else self.model.paths

    @property
    def remotes(self) -> set[str | None]:
        """The DVC remotes that store it; None is the project's default one."""
        files = {file.remote for file in self.model.files if not file.git_oid}
        return files or {output.remote for output in self.outputs}

    def output_of(self, path: str) -> RecordedOutput | None:
        """Return the output that a file is or lies in."""
        return next((out for out in self.outputs if out.holds(path)), None)


def locate(ref: ModelRef, pin: Pin | None, registry: GitRegistry) -> Location:
    """Find a model.

    Raises:
        VersionUnknownError: The local tags lack it.
        NotStoredError: DVC stores nothing of it, or nothing with a hash.
        RecordUnreadableError: Its commit cannot be read.
    """
    if pin:
        return _locate_pinned(ref, pin, registry)
    if ref.repo:
        reason = f"it is a model of '{ref.repo}', and this is not a clone of that repo"
        hint = "Pull it from Studio, or pull what is pinned with '--locked'"
        raise VersionUnknownError(ref, reason, hint=hint)
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
    """List the pinned files; if the clone lacks the commit, without their remotes."""
    version = _pinned_version(ref, pin, registry)
    record = None
    with contextlib.suppress(RecordUnreadableError, UnreadableRepoError):
        record = registry.read_record(ref.name, version) if version else None
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
    stated = StatedVersion(pin.version, pin.commit)
    return Location(ResolvedModel(ref, tuple(files), version, stated=stated), outputs)


def _pinned_version(
    ref: ModelRef, pin: Pin, registry: GitRegistry
) -> ModelVersion | None:
    """Return the version of a pin; None if it is of another repo, or not known."""
    if ref.repo or not pin.version:
        return None
    if pin.commit:
        return ModelVersion(pin.version, pin.commit)
    return registry.resolve(ref)


def _refuse_unstored(
    ref: ModelRef, record: RecordedModel, version: ModelVersion
) -> None:
    """Refuse a model that DVC does not store.

    Raises:
        NotStoredError: Git stores it, or it is an import that was not downloaded.
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
