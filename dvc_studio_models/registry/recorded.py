"""What a commit records of a model: values, no I/O.

A model is one output of DVC, a file or folder inside one, a folder with outputs and
Git's own files, or nothing but what Git keeps itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dvc_studio_models.model import Digest, is_tree

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class CloudVersion:
    """Which version of an object a cloud-versioned remote gave a file."""

    remote: str
    id: str


@dataclass(frozen=True)
class Import:
    """Where ``dvc import`` or ``dvc import-url`` got an output from."""

    url: str
    """Of the source repo, or of the data itself; may hold a password."""

    path: str | None = None
    """In the source repo; None for ``dvc import-url``."""

    rev: str | None = None
    """The source repo's commit; None where DVC never looked."""

    file: str = ""
    """DVC's file that records it, relative to the Git root."""

    config: Any = None
    """What ``dvc import --config`` gave: the path of a DVC config, or its content."""

    remote: Any = None
    """What ``dvc import --remote`` or ``--remote-config`` gave: the source repo's DVC
    remote, or its settings."""


@dataclass(frozen=True)
class RecordedFile:
    """A file as DVC recorded it."""

    path: str
    """Relative to the Git root, with ``/``."""

    digest: Digest
    size: int | None = None
    """In bytes, where DVC recorded it."""

    remote: str | None = None
    """The DVC remote that keeps it; None for the project's default."""

    version: CloudVersion | None = None
    is_executable: bool = False


@dataclass(frozen=True)
class RecordedOutput:
    """An output of DVC: a file or a folder."""

    path: str
    """Relative to the Git root, with ``/``."""

    digest: Digest | None
    """Of a folder, that of its listing; None if DVC recorded no hash."""

    size: int | None = None
    """In bytes, of all its files."""

    remote: str | None = None
    """See :attr:`RecordedFile.remote`."""

    version: CloudVersion | None = None
    is_executable: bool = False
    files: tuple[RecordedFile, ...] = ()
    """Of a folder whose listing is in Git, as for cloud-versioned remotes."""

    origin: Import | None = None
    is_pushed: bool = True
    """Whether ``dvc push`` sends it to a remote."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose listing is an object of its own."""
        return is_tree(self.digest)

    @property
    def is_of_another_repo(self) -> bool:
        """Whether ``dvc import`` brought it, so that ``dvc push`` leaves it out."""
        return self.origin is not None and self.origin.path is not None

    def holds(self, path: str) -> bool:
        """Whether ``path`` is this output or lies in it."""
        return is_inside(path, self.path)


@dataclass(frozen=True)
class GitFile:
    """A file that Git itself keeps."""

    path: str
    """Relative to the Git root, with ``/``."""

    oid: str
    """Of its content in Git."""

    digest: Digest | None = None
    """None where the content was not read, as that of a huge file, is a pointer of Git
    LFS, or where this is a link or a submodule."""

    size: int | None = None
    """In bytes."""

    is_executable: bool = False


@dataclass(frozen=True)
class RecordedModel:
    """A model at a commit."""

    path: str
    """The artifact's path, relative to the Git root: a file or a folder."""

    project: str = ""
    """Folder of the DVC project, relative to the Git root; empty for the root."""

    outputs: tuple[RecordedOutput, ...] = ()
    """The output that the model is or is part of, or else those below its path."""

    git_files: tuple[GitFile, ...] = ()
    """What Git itself keeps at the path or below it."""

    @property
    def output(self) -> RecordedOutput | None:
        """The output that is this very model, file for file."""
        one = self.outputs[0] if len(self.outputs) == 1 else None
        is_same = one is not None and one.path == self.path and not self.git_files
        return one if is_same else None

    @property
    def digest(self) -> Digest | None:
        """The hash of the whole model, where DVC recorded one for it."""
        return self.output.digest if self.output else None

    @property
    def size(self) -> int | None:
        """In bytes, where DVC recorded it for the whole model."""
        return self.output.size if self.output else None

    @property
    def remotes(self) -> set[str | None]:
        """The DVC remotes that keep its files; None is the project's default."""
        return {output.remote for output in self.outputs}


Listing = dict[str, Digest]
"""What is in a folder: path relative to it, and hash, of every file."""


def is_inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def expand(
    record: RecordedModel, listings: Mapping[Digest, Listing]
) -> tuple[RecordedFile, ...]:
    """List the files that DVC keeps of a model, by path.

    Args:
        record: The model.
        listings: Of its folders, by the hash of each.

    Raises:
        KeyError: A listing is missing.
    """
    found = [
        file
        for output in record.outputs
        for file in expand_output(output, listings)
        if is_inside(file.path, record.path)
    ]
    return tuple(sorted(found, key=lambda file: file.path))


def expand_output(
    output: RecordedOutput, listings: Mapping[Digest, Listing]
) -> tuple[RecordedFile, ...]:
    """List the files of one output, see :func:`expand`."""
    if output.files or output.digest is None:
        return output.files
    if not output.is_folder:
        file = RecordedFile(
            output.path,
            output.digest,
            output.size,
            output.remote,
            output.version,
            is_executable=output.is_executable,
        )
        return (file,)
    return tuple(
        RecordedFile(f"{output.path}/{path}", digest, remote=output.remote)
        for path, digest in listings[output.digest].items()
    )
