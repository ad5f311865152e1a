"""The values that travel between the packages: frozen, typed, no I/O.

A *model* is what Studio lists; a *file* is one file of it; a *digest* is an algorithm
and its hex value.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

DEFAULT_JOBS = 16
MAX_JOBS = 256
"""Each has a thread, a socket and a file: 1024 open files are a usual limit."""
STUDIO, REMOTE, CACHE = SOURCES = ("studio", "remote", "cache")
"""Where models can come from: Studio, the user's own DVC remote, the DVC cache."""

MD5 = "md5"
MD5_DOS2UNIX = "md5-dos2unix"
"""How DVC 2 hashed text files: CRLF counts as LF (``dvc_data.hashfile.hash``)."""

NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
FOLDER = r"[a-zA-Z0-9-_./]+"
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRERELEASE = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMVER = (
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRERELEASE}(?:\.{_PRERELEASE})*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
"""What GTO accepts in tags (``gto.constants``): nothing else can be registered."""

_REF = re.compile(
    rf"(?:(?P<folder>{FOLDER}):)?(?P<name>{NAME})"
    rf"(?:@(?P<version>latest|greatest|v?{SEMVER})|\#(?P<stage>{NAME}))?"
)
_TAG = re.compile(rf"(?:(?P<folder>{FOLDER})=)?(?P<rest>[^=]+?)(?:\#[0-9]+)?")
"""What GTO calls a tag: ``dir=churn@v1.0.0#2``."""

_OBJECT_PATH = re.compile(r"(?P<dvc3>/files/md5)?/([0-9a-f]{2})/([0-9a-f]{30})\Z")
_ALGORITHMS = {MD5, MD5_DOS2UNIX}
_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_DVC_YAML = "dvc.yaml"


@dataclass(frozen=True)
class ModelRef:
    """Which model, and which of its versions; with no selector the latest."""

    name: str
    """As Studio takes it: ``churn``, or ``dir:churn`` for ``dir/dvc.yaml``."""

    version: str | None = None
    """With the leading ``v``, e.g. ``v1.2.0``."""

    stage: str | None = None

    @classmethod
    def parse(
        cls, text: str, *, version: str | None = None, stage: str | None = None
    ) -> ModelRef:
        """Read NAME as GTO and DVC spell it.

        Args:
            text: ``churn``, ``churn@v1.2.0``, ``churn@latest``, ``churn#prod``,
                each optionally after ``dir:`` or ``dir/dvc.yaml:``.
            version: Used where ``text`` selects nothing itself; ``latest`` is allowed.
            stage: The same for a stage.

        Raises:
            UsageError: The text is no such name, or two selectors meet.
        """
        if version is not None and stage is not None:
            msg = "a version and a stage cannot be combined"
            raise UsageError(msg)
        match = _REF.fullmatch(text)
        name = match and _qualify(match["folder"] or "", match["name"])
        if not match or not name:
            if meant := _meant_by_tag(text):
                msg = f"{text!a} is a tag's name, not a model's name: use {meant!a}"
                raise UsageError(msg)
            msg = (
                f"{text!a} is not a model's name: use NAME, NAME@VERSION or "
                "NAME#STAGE, with 'DIR:' before it if DIR/dvc.yaml annotates it"
            )
            raise UsageError(msg)
        if match["version"] or match["stage"]:
            version, stage = match["version"], match["stage"]
        return cls(name, _normal_version(version), _check_stage(stage))

    def __str__(self) -> str:
        return f"{self.name}{self.selector}"

    @property
    def selector(self) -> str:
        """Which version, as GTO spells it: ``@v1.2.0``, ``#prod``, empty for latest."""
        if self.version:
            return f"@{self.version}"
        return f"#{self.stage}" if self.stage else ""

    @property
    def requested(self) -> dict[str, str]:
        """The selector as JSON has it: one key, or none for latest."""
        selectors = {"version": self.version, "stage": self.stage}
        return {key: value for key, value in selectors.items() if value}

    @property
    def folder(self) -> str:
        """Folder of the ``dvc.yaml`` that annotates it, ``""`` for the Git root."""
        return self.name.rpartition(":")[0]


def _meant_by_tag(text: str) -> str | None:
    """Spell what the name of a GTO tag is of; None where it is no such name."""
    match = _TAG.fullmatch(text)
    if match is None:
        return None
    meant = f"{match['folder']}:{match['rest']}" if match["folder"] else match["rest"]
    return meant if meant != text and _REF.fullmatch(meant) else None


def _qualify(folder: str, name: str) -> str | None:
    """Spell the name as Studio does; None if the folder lies outside the Git root."""
    if folder == _DVC_YAML or folder.endswith(f"/{_DVC_YAML}"):
        folder = folder[: -len(_DVC_YAML)]
    folder = posixpath.normpath(folder)
    if folder == ".." or folder.startswith(("/", "../")):
        return None
    return name if folder == "." else f"{folder}:{name}"


def _normal_version(version: str | None) -> str | None:
    """Add the leading ``v``. An empty text is refused: it would mean the latest."""
    if version in {None, "latest", "greatest"}:
        return None
    if not re.fullmatch(rf"v?{SEMVER}", str(version)):
        msg = f"{version!a} is not a version: use the form v1.2.3"
        raise UsageError(msg)
    return f"v{str(version).removeprefix('v')}"


def _check_stage(stage: str | None) -> str | None:
    if stage is not None and not re.fullmatch(NAME, stage):
        msg = f"{stage!a} is not the name of a stage"
        raise UsageError(msg)
    return stage


@dataclass(frozen=True)
class Digest:
    """The hash that names a file's content in DVC, and its object's path in a cache.

    Raises:
        TypeError, ValueError: It is none; a path made of it could lead anywhere.
    """

    algorithm: str
    """``md5``, or ``md5-dos2unix`` for objects of DVC 2."""

    value: str
    """Lower-case hex; of a directory with the suffix ``.dir``."""

    def __post_init__(self) -> None:
        if self.algorithm not in _ALGORITHMS or not _HASH.fullmatch(self.value):
            msg = f"{self.algorithm!a} {self.value!a} is not a valid hash"
            raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"

    @property
    def object_path(self) -> str:
        """The path of the object in a cache or remote: ``files/md5/ab/cdef...``.

        Objects of DVC 2 lie at its root: ``ab/cdef...``.
        """
        folder = "files/md5/" if self.algorithm == MD5 else ""
        return f"{folder}{self.value[:2]}/{self.value[2:]}"

    @classmethod
    def from_url(cls, url: str) -> Digest | None:
        """Read the hash from a DVC remote's URL, which ends in the object's id.

        Returns:
            None where the path is not content addressed (cloud-versioned remotes).
        """
        # By hand, since a model may have thousands of files; urlsplit takes 3x as long.
        path = url.partition("?")[0].partition("#")[0].partition("://")[2]
        match = _OBJECT_PATH.search(path, path.find("/"))
        if not match:
            return None
        return cls(MD5 if match["dvc3"] else MD5_DOS2UNIX, match[2] + match[3])


def is_tree(digest: Digest | None) -> bool:
    """Whether a digest is of the list of a directory's files."""
    return digest is not None and digest.value.endswith(".dir")


@dataclass(frozen=True)
class ModelFile:
    """One file of a model, as Studio's reply names it."""

    path: str
    """Relative to the Git root, with ``/``."""

    url: str = field(repr=False)
    """Signed: a secret, never printed."""

    digest: Digest | None = None
    """None where neither the URL nor Git tells."""

    size: int | None = None
    """In bytes, where Git or a lock file recorded it."""

    remote: str | None = None
    """The DVC remote that keeps it, by Git; None for the project's default."""

    git_oid: str | None = None
    """Of its content in Git, where Git keeps it itself and no storage does."""

    is_executable: bool = False
    """Whether DVC or Git recorded that it may be executed."""

    @property
    def content(self) -> Digest | str:
        """What tells its content from others: the hash, or the path without one."""
        return self.digest or self.path


@dataclass(frozen=True)
class ModelVersion:
    """What a version or a stage means, as the local GTO tags know it."""

    version: str
    """``v1.2.0``; where a stage lies on a commit without a version, the commit."""

    commit: str
    """Full id of the commit that the tag points at."""

    @property
    def registered(self) -> str | None:
        """The version, None where no tag gives the commit one."""
        return None if self.version == self.commit else self.version


@dataclass(frozen=True)
class PinnedFile:
    """One file of a pinned model."""

    path: str
    """Relative to the Git root, with ``/``."""

    digest: Digest
    size: int
    """In bytes."""

    git_oid: str | None = None
    """See :attr:`ModelFile.git_oid`."""


@dataclass(frozen=True)
class Pin:
    """What a lock file says of one model."""

    ref: ModelRef
    """What was asked for when it was pinned."""

    version: ModelVersion
    files: tuple[PinnedFile, ...]

    @property
    def pinned(self) -> ModelRef:
        """The very version, whatever the stage is at now."""
        return ModelRef(self.ref.name, version=self.version.version)


@dataclass(frozen=True)
class PullOptions:
    """How to pull; every field has the command's default."""

    stage: str | None = None
    """For every name without a selector of its own, as is ``version``."""

    version: str | None = None
    """With or without the leading ``v``."""

    repo: str | None = field(default=None, repr=False)
    """The repo as Studio knows it; None infers it from the Git remote. May hold a
    password, as ``url`` may."""

    git_remote: str | None = None
    """Which Git remote to infer it from."""

    folder: str | os.PathLike[str] = "."
    """Where to act: a folder of the clone."""

    out: str | os.PathLike[str] | None = None
    """Place below this folder instead of the Git root."""

    include: Sequence[str] = ()
    """Globs on repo-relative paths, as in ``.dvcignore``; none takes every file."""

    exclude: Sequence[str] = ()
    """The same, for files not to pull."""

    source: str | None = None
    """One of :data:`SOURCES`; None is Studio, or the cache if settings say offline."""

    lock: bool | str | os.PathLike[str] = False
    """Pin what was pulled in this file, or, if True, in the Git root's."""

    locked: bool | str | os.PathLike[str] = False
    """Pull what this file pins, or, if True, the Git root's."""

    force: bool = False
    """Replace content that would be lost."""

    cache: bool = True
    """Keep a copy in the DVC cache."""

    dry_run: bool = False
    """Only tell what would be done."""

    ask_sizes: bool = True
    """In a dry run, ask storage for sizes that nothing else tells."""

    jobs: int = DEFAULT_JOBS
    """The most connections at a time."""

    wait_for_lock: bool = False
    """Wait without end for another DVC process."""

    token: str | None = field(default=None, repr=False)
    """For Studio; None takes it from the settings, as with ``url``."""

    url: str | None = field(default=None, repr=False)

    @property
    def is_partial(self) -> bool:
        """Whether the globs may leave files out."""
        return bool(self.include or self.exclude)


@dataclass(frozen=True)
class FileResult:
    """What happened to one file."""

    path: str
    size: int | None
    """In bytes; None in a dry run that cannot know."""

    md5: str | None
    action: str
    """``unchanged``, ``linked``, ``downloaded`` or ``removed``; in a dry run
    ``unchanged``, ``link``, ``download``, ``conflict`` or ``remove``."""

    verified_by: str | None
    """``git``, ``lock``, ``url``, ``storage`` or ``size``; None for a removed file, and
    in a dry run where only the download will tell."""


@dataclass(frozen=True)
class ModelResult:
    """What was asked, what it is, and what happened to its files."""

    ref: ModelRef
    version: str | None
    """None when the local tags cannot tell, or the stage's commit has none."""

    commit: str | None
    files: tuple[FileResult, ...]


@dataclass(frozen=True)
class PullResult:
    """The outcome of one pull."""

    repo: str
    """The repo's URL as Studio knows it; of a clone without a remote its folder."""

    models: tuple[ModelResult, ...]
    bytes_downloaded: int
    seconds: float
    source: str = STUDIO
    """One of :data:`SOURCES`."""


@dataclass(frozen=True)
class ModelStatus:
    """How the workspace stands to one model."""

    result: ModelResult
    """What a pull would do; for a locked model, what ``pull --locked`` would."""

    pin: Pin | None = None
    """What a lock file says of it."""

    outdated: bool = False
    """Whether what was asked for when it was pinned is another content now."""

    now: str | None = None
    """The version that it is now, where the local tags can tell."""

    @property
    def up_to_date(self) -> bool:
        """Whether the workspace holds what it should: a pull would change nothing."""
        return all(file.action == "unchanged" for file in self.result.files)


@dataclass(frozen=True)
class StatusResult:
    """How the workspace stands to models."""

    repo: str | None
    """See :attr:`PullResult.repo`; None where there is no model."""

    models: tuple[ModelStatus, ...]


class Progress(Protocol):
    """Called by one thread while bytes arrive, as often as it likes."""

    def update(self, done: int, total: int | None) -> None:
        """Take the state: the bytes that are there, and how many there will be."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class SilentProgress:
    """Shows nothing."""

    def update(self, done: int, total: int | None) -> None:
        """Ignore the state."""

    def close(self) -> None:
        """Do nothing."""


def format_bytes(count: float) -> str:
    """Return a number of bytes as people read it: ``45.2 MiB``."""
    if count < 1024:  # noqa: PLR2004 - the step between units
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:  # noqa: PLR2004
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"
