"""A model as a commit records it: values, no I/O.

A model is one output of DVC, a file or folder inside one, a folder with outputs and
files that Git tracks, or only files that Git tracks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dvc_studio_models.model import Digest, is_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class CloudVersion:
    """The version of a file on a cloud-versioned remote."""

    remote: str
    id: str


@dataclass(frozen=True)
class Import:
    """The source of ``dvc import`` or ``dvc import-url``."""

    url: str
    """Of the source repo, or of the data itself; may hold a password."""

    path: str | None = None
    """In the source repo; None for ``dvc import-url``."""

    rev: str | None = None
    """The source repo's commit; None where DVC recorded none."""

    file: str = ""
    """DVC's file that records it, relative to the Git root."""

    config: Any = None
    """From ``dvc import --config``: the path of a DVC config, or its content."""

    remote: Any = None
    """From ``dvc import --remote`` or ``--remote-config``: the source repo's DVC
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
    """The DVC remote that stores it; None for the project's default."""

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

    nfiles: int | None = None
    """Of a folder, the number of its files, where DVC recorded it."""

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose listing is an object of its own."""
        return is_tree(self.digest)

    @property
    def is_of_another_repo(self) -> bool:
        """Whether ``dvc import`` made it, so that ``dvc push`` skips it."""
        return self.origin is not None and self.origin.path is not None

    def holds(self, path: str) -> bool:
        """Whether ``path`` is this output or lies in it."""
        return is_inside(path, self.path)


@dataclass(frozen=True)
class GitFile:
    """A file that Git tracks."""

    path: str
    """Relative to the Git root, with ``/``."""

    oid: str
    """Of its content in Git."""

    digest: Digest | None = None
    """None where the content was not read (a huge file), for a pointer of Git LFS, a
    link or a submodule."""

    size: int | None = None
    """In bytes."""

    is_executable: bool = False


@dataclass(frozen=True)
class Annotation:
    """What a ``dvc.yaml`` says of a model, besides its path."""

    type: str | None = None
    description: str | None = None
    labels: tuple[str, ...] = ()

    @classmethod
    def read(cls, artifact: Mapping[str, Any]) -> Annotation:
        """Read the values of an artifact; anything of another type is left out."""
        kind, text, labels = map(artifact.get, ("type", "desc", "labels"))
        return cls(
            kind if isinstance(kind, str) else None,
            text if isinstance(text, str) else None,
            tuple(map(str, labels)) if isinstance(labels, list) else (),
        )


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
    """The files that Git tracks at the path or below it."""

    @property
    def output(self) -> RecordedOutput | None:
        """The output that has exactly the files of this model."""
        one = self.outputs[0] if len(self.outputs) == 1 else None
        is_same = one is not None and one.path == self.path and not self.git_files
        return one if is_same else None

    @property
    def digest(self) -> Digest | None:
        """The hash of the whole model, where DVC recorded one."""
        return self.output.digest if self.output else None

    @property
    def size(self) -> int | None:
        """In bytes, where DVC recorded it for the whole model."""
        return self.output.size if self.output else None

    @property
    def totals(self) -> tuple[int | None, int | None]:
        """The number of its files and their size in bytes; None where not recorded.

        What a commit records of a folder says nothing of a file in it.
        """
        if not (self.outputs or self.git_files):
            return None, None
        if any(
            output.path != self.path and output.holds(self.path)
            for output in self.outputs
        ):
            return None, None
        counts = [_count_of(output) for output in self.outputs]
        counts.append(len(self.git_files))
        sizes = [output.size for output in self.outputs]
        sizes += [file.size for file in self.git_files]
        return _sum(counts), _sum(sizes)

    @property
    def remotes(self) -> set[str | None]:
        """The DVC remotes that store its files; None is the project's default."""
        return {output.remote for output in self.outputs}


def _count_of(output: RecordedOutput) -> int | None:
    if output.files:
        return len(output.files)
    return output.nfiles if output.is_folder else 1


def _sum(numbers: Sequence[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


Listing = dict[str, Digest]
"""The files in a folder: path relative to it -> hash."""


def is_inside(path: str, folder: str) -> bool:
    """Whether ``path`` is ``folder`` or lies in it."""
    return path == folder or path.startswith(f"{folder}/")


def expand(
    record: RecordedModel, listings: Mapping[Digest, Listing]
) -> tuple[RecordedFile, ...]:
    """List the files of a model that DVC tracks, by path.

    Args:
        record: The model.
        listings: Of its folders, by their hashes.

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


def model_from_json(value: dict[str, Any] | None) -> RecordedModel | None:
    """Read a model as ``dataclasses.asdict`` wrote it.

    Raises:
        KeyError, TypeError, ValueError: It is not one.
    """
    if value is None:
        return None
    outputs = tuple(_output_from_json(each) for each in value["outputs"])
    git_files = tuple(
        GitFile(**{**each, "digest": _digest_from_json(each["digest"])})
        for each in value["git_files"]
    )
    return RecordedModel(value["path"], value["project"], outputs, git_files)


def _output_from_json(value: dict[str, Any]) -> RecordedOutput:
    origin = value["origin"]
    return RecordedOutput(
        **{
            **value,
            "digest": _digest_from_json(value["digest"]),
            "version": _version_from_json(value["version"]),
            "files": tuple(map(_file_from_json, value["files"])),
            "origin": Import(**origin) if origin else None,
        }
    )


def _file_from_json(value: dict[str, Any]) -> RecordedFile:
    digest = Digest(**value["digest"])
    version = _version_from_json(value["version"])
    return RecordedFile(**{**value, "digest": digest, "version": version})


def _digest_from_json(value: dict[str, str] | None) -> Digest | None:
    return Digest(**value) if value else None


def _version_from_json(value: dict[str, str] | None) -> CloudVersion | None:
    return CloudVersion(**value) if value else None
