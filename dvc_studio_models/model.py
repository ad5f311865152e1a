"""Values shared by all packages: frozen, typed, no I/O.

A *model* is an artifact that Studio lists, a *file* is one of its files, and a *digest*
is a hash with its algorithm.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from dvc_studio_models.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from dvc_studio_models.errors import WorkspaceError

DEFAULT_JOBS = 16
MIN_RATE = 1024
"""The lowest limit of downloads, in bytes a second."""

MAX_JOBS = 256
"""Each job has a thread, a socket and a file, and 1024 open files are a usual limit."""
STUDIO, REMOTE, CACHE = SOURCES = ("studio", "remote", "cache")
"""Where to pull from: Studio, the user's own DVC remote or the DVC cache."""

MD5 = "md5"
MD5_DOS2UNIX = "md5-dos2unix"
"""DVC 2's hash of text files, where CRLF counts as LF (``dvc_data.hashfile.hash``)."""

REGISTERED = "registered"
PARTIAL = "partial"
MODIFIED = "modified"
PRESENT = "present"
ABSENT = "absent"
"""What is at a model's path, see :class:`WorkspaceState`."""

NAME = r"[a-zA-Z0-9](?:[a-zA-Z0-9-/_]*[a-zA-Z0-9])?"
FOLDER = r"[a-zA-Z0-9-_./]+"
_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRERELEASE = rf"(?:{_NUMBER}|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
SEMVER = (
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_PRERELEASE}(?:\.{_PRERELEASE})*)?"
    r"(?:\+[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*)?"
)
"""The versions that GTO accepts in tags (``gto.constants``)."""

_REF = re.compile(
    rf"(?:(?P<folder>{FOLDER}):)?(?P<name>{NAME})"
    rf"(?:@(?P<version>latest|greatest|v?{SEMVER})|\#(?P<stage>{NAME}))?"
)
_TAG = re.compile(rf"(?:(?P<folder>{FOLDER})=)?(?P<rest>[^=]+?)(?:\#[0-9]+)?")
"""A tag of GTO, such as ``dir=churn@v1.0.0#2``."""

_OBJECT_PATH = re.compile(r"(?P<dvc3>/files/md5)?/([0-9a-f]{2})/([0-9a-f]{30})\Z")
_ALGORITHMS = {MD5, MD5_DOS2UNIX}
_HASH = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_DVC_YAML = "dvc.yaml"
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - printed as UTC
_YEAR_1 = -62_135_596_800  # in seconds; Python has no earlier date


@dataclass(frozen=True)
class ModelRef:
    """A reference to a model and one of its versions; by default the latest."""

    name: str
    """In Studio's form: ``churn``, or ``dir:churn`` for ``dir/dvc.yaml``."""

    version: str | None = None
    """With the leading ``v``, e.g. ``v1.2.0``."""

    stage: str | None = None

    repo: str | None = None
    """The Git URL of its repo, without secrets, if that is not the clone's own; None
    also for a model whose repo the command is yet to find out."""

    @classmethod
    def parse(
        cls, text: str, *, version: str | None = None, stage: str | None = None
    ) -> ModelRef:
        """Parse NAME in the form of GTO or DVC.

        Args:
            text: ``churn``, ``churn@v1.2.0``, ``churn@latest``, ``churn#prod``,
                each optionally with the prefix ``dir:`` or ``dir/dvc.yaml:``.
            version: Used if ``text`` has no selector; ``latest`` is allowed.
            stage: The same for a stage.

        Raises:
            UsageError: The name, version or stage is not valid, or both a version
                and a stage are given.
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
        """The selector in GTO's form: ``@v1.2.0``, ``#prod``, empty for latest."""
        if self.version:
            return f"@{self.version}"
        return f"#{self.stage}" if self.stage else ""

    @property
    def requested(self) -> dict[str, str]:
        """The selector in JSON: one key, or none for latest."""
        selectors = {"version": self.version, "stage": self.stage}
        return {key: value for key, value in selectors.items() if value}

    @property
    def folder(self) -> str:
        """The folder of the ``dvc.yaml`` that annotates it; ``""`` for the Git root."""
        return self.name.rpartition(":")[0]


def _meant_by_tag(text: str) -> str | None:
    """Return the model name of a GTO tag; None if ``text`` is not a GTO tag."""
    match = _TAG.fullmatch(text)
    if match is None:
        return None
    meant = f"{match['folder']}:{match['rest']}" if match["folder"] else match["rest"]
    return meant if meant != text and _REF.fullmatch(meant) else None


def _qualify(folder: str, name: str) -> str | None:
    """Return Studio's form of the name; None if the folder is outside the Git root."""
    if folder == _DVC_YAML or folder.endswith(f"/{_DVC_YAML}"):
        folder = folder[: -len(_DVC_YAML)]
    folder = posixpath.normpath(folder)
    if folder == ".." or folder.startswith(("/", "../")):
        return None
    return name if folder == "." else f"{folder}:{name}"


def _normal_version(version: str | None) -> str | None:
    """Add the leading ``v``; reject an empty text, which would select the latest."""
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
    """The hash by which DVC identifies a content, and its object's path in a cache.

    Raises:
        TypeError, ValueError: It is not a valid hash; a path made from it would be
            unsafe.
    """

    algorithm: str
    """``md5``, or ``md5-dos2unix`` for objects of DVC 2."""

    value: str
    """Lower-case hex; with the suffix ``.dir`` for a directory."""

    def __post_init__(self) -> None:
        if self.algorithm not in _ALGORITHMS or not _HASH.fullmatch(self.value):
            msg = f"{self.algorithm!a} {self.value!a} is not a valid hash"
            raise ValueError(msg)

    def __str__(self) -> str:
        return f"{self.algorithm} {self.value}"

    @property
    def object_path(self) -> str:
        """The path of the object in a cache or remote: ``files/md5/ab/cdef...``.

        Objects of DVC 2 are at the root of the cache: ``ab/cdef...``.
        """
        folder = "files/md5/" if self.algorithm == MD5 else ""
        return f"{folder}{self.value[:2]}/{self.value[2:]}"

    @classmethod
    def from_url(cls, url: str) -> Digest | None:
        """Return the hash that ends the URL of an object on a DVC remote.

        Returns:
            None if the URL contains no hash (cloud-versioned remotes).
        """
        # urlsplit takes three times as long, and a model may have thousands of files.
        path = url.partition("?")[0].partition("#")[0].partition("://")[2]
        match = _OBJECT_PATH.search(path, path.find("/"))
        if not match:
            return None
        return cls(MD5 if match["dvc3"] else MD5_DOS2UNIX, match[2] + match[3])


def is_tree(digest: Digest | None) -> bool:
    """Return whether a digest is the hash of a directory."""
    return digest is not None and digest.value.endswith(".dir")


@dataclass(frozen=True)
class ModelFile:
    """One file of a model, as listed by its source."""

    path: str
    """Relative to the Git root, with ``/``."""

    url: str = field(repr=False)
    """Signed, so it is a secret and never printed."""

    digest: Digest | None = None
    """None if neither the URL nor Git has it."""

    size: int | None = None
    """In bytes; None if neither Git nor a lock file has it."""

    remote: str | None = None
    """The DVC remote that stores it, according to Git; None for the default one."""

    git_oid: str | None = None
    """Git object id, for a file stored in Git instead of DVC."""

    is_executable: bool = False
    """Whether DVC or Git recorded it as executable."""

    @property
    def content(self) -> Digest | str:
        """A key that identifies its content: the hash, else the path."""
        return self.digest or self.path


@dataclass(frozen=True)
class ModelVersion:
    """A version, as resolved from local GTO tags."""

    version: str
    """``v1.2.0``; or the commit, for a stage without a version."""

    commit: str
    """The full id of the tagged commit."""

    @property
    def registered(self) -> str | None:
        """The version; None if no tag registers one for the commit."""
        return None if self.version == self.commit else self.version


@dataclass(frozen=True)
class ModelSummary:
    """A registered model: its versions, and the version in each stage."""

    name: str
    """As in Studio: ``churn`` or ``dir:churn``."""

    versions: tuple[str, ...] = ()
    """Greatest SemVer first."""

    stages: Mapping[str, str] = field(default_factory=dict)
    """Stage to version, or to commit if that has no version."""

    time: int | None = None
    """When the greatest version was registered, in seconds since 1970; None if there is
    none, or if it is not known."""

    @property
    def latest(self) -> str | None:
        """The greatest version."""
        return self.versions[0] if self.versions else None

    def has(self, ref: ModelRef) -> bool:
        """Whether it has the version or stage that ``ref`` selects, or any version."""
        if ref.stage:
            return ref.stage in self.stages
        return ref.version in self.versions if ref.version else bool(self.versions)


@dataclass(frozen=True)
class StatedVersion:
    """A version as a server states it; no tag of the clone confirms it."""

    version: str | None = None
    """``v1.2.0``; None if the server names none."""

    commit: str | None = None
    """The full id of its commit; None if the server names none."""


@dataclass(frozen=True)
class TagEvent:
    """What one tag did to a model, when, and by whom."""

    event: str
    """As GTO calls it: ``registration``, ``deregistration``, ``assignment``,
    ``unassignment`` or ``deprecation``."""

    version: str | None
    """The version it is about; a commit, if that has none; None for the whole model."""

    stage: str | None
    commit: str
    time: int
    """Seconds since 1970."""

    author: str
    email: str
    message: str
    tag: str
    """The tag's name."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return _with_date(vars(self))


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a model, and who registered it."""

    version: str | None
    """None for a commit that a stage is assigned to, and no version."""

    commit: str
    time: int
    """Of its registration, or else of its stage's assignment; seconds since 1970."""

    author: str
    email: str
    message: str
    stages: tuple[str, ...] = ()
    """The stages that it is in now."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return _with_date({**vars(self), "stages": list(self.stages)})


@dataclass(frozen=True)
class ModelDetails:
    """A registered model: its versions, its history, and what one version is."""

    name: str
    """As in Studio: ``churn`` or ``dir:churn``."""

    version: str | None = None
    """The version that is described; None for a commit without one."""

    commit: str | None = None
    """The commit that is described; None if no version is registered."""

    path: str | None = None
    """Of its file or folder, relative to the Git root; None if not known."""

    type: str | None = None
    description: str | None = None
    labels: tuple[str, ...] = ()
    size: int | None = None
    """In bytes; None if Git has not recorded it, as for ``nfiles``."""

    nfiles: int | None = None
    """The number of its files."""

    stages: Mapping[str, str] = field(default_factory=dict)
    """Stage to version, or to commit if that has no version."""

    versions: tuple[RegisteredVersion, ...] = ()
    """Newest first."""

    history: tuple[TagEvent, ...] = ()
    """What each tag did, newest first."""

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {
            **vars(self),
            "labels": list(self.labels),
            "stages": dict(self.stages),
            "versions": [version.to_json() for version in self.versions],
            "history": [event.to_json() for event in self.history],
        }


def _with_date(values: Mapping[str, object]) -> dict[str, object]:
    """Replace the time by a date in JSON."""
    return {
        "date" if name == "time" else name: format_date(value)
        if name == "time" and isinstance(value, int)
        else value
        for name, value in values.items()
    }


def format_date(time: int) -> str:
    """Return a time as Git does in JSON, ISO 8601 and UTC.

    Args:
        time: Seconds since 1970; before the year 1, that year.
    """
    moment = _EPOCH + timedelta(seconds=max(time, _YEAR_1))
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


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
    """A model's entry in a lock file."""

    ref: ModelRef
    """The reference that was pinned, with its repo."""

    files: tuple[PinnedFile, ...]
    version: str | None = None
    """``v1.2.0``; None if no tag and no server named it."""

    commit: str | None = None
    """The full id of the version's commit; None if not known."""

    @property
    def pinned(self) -> ModelRef:
        """The pinned version, even if the stage has moved; the stage if none is known.

        Then only the hashes of its files tell whether it has moved.
        """
        if self.version is None:
            return self.ref
        return ModelRef(self.ref.name, version=self.version, repo=self.ref.repo)


@dataclass(frozen=True)
class PullOptions:
    """The options of a pull, with the defaults of the command."""

    stage: str | None = None
    """Applies to names without their own selector, as does ``version``."""

    version: str | None = None
    """With or without the leading ``v``."""

    repo: str | None = field(default=None, repr=False)
    """The repo's URL as registered in Studio; None infers it from the Git remote. May
    contain a password, as may ``url``."""

    git_remote: str | None = None
    """The Git remote from which to infer the repo."""

    folder: str | os.PathLike[str] = "."
    """The working folder: any folder of the clone."""

    out: str | os.PathLike[str] | None = None
    """Place files below this folder instead of the Git root."""

    all_models: bool = False
    """Whether all models are wanted that have a version, or the stage."""

    include: Sequence[str] = ()
    """Globs on repo-relative paths, as in ``.dvcignore``; empty selects all files."""

    exclude: Sequence[str] = ()
    """Globs of files to leave out."""

    source: str | None = None
    """One of :data:`SOURCES`. None: Studio, or the cache if Studio is disabled."""

    lock: bool | str | os.PathLike[str] = False
    """Write pins to this lock file; True means ``models.lock`` at the Git root."""

    locked: bool | str | os.PathLike[str] = False
    """Pull what this lock file pins; True means ``models.lock`` at the Git root."""

    force: bool = False
    """Replace content that exists nowhere else."""

    require_signed: bool = False
    """Refuse what no signed tag vouches for."""

    cache: bool = True
    """Store the files in the cache too."""

    cache_dir: str | os.PathLike[str] | None = None
    """The cache for files outside of DVC projects, instead of that of the settings."""

    gitignore: bool = False
    """Add the files to ``.gitignore``, also where there is no DVC project, and those of
    the clone's own models."""

    dry_run: bool = False
    """Change nothing, and return what would be done."""

    ask_sizes: bool = True
    """In a dry run, request from storage the sizes that are not known otherwise."""

    jobs: int | None = None
    """The maximum number of connections; None allows :data:`DEFAULT_JOBS`, and more for
    small files where the network is slow."""

    limit_rate: int | None = None
    """The most bytes a second to download, of all connections together."""

    wait_for_lock: bool = False
    """Wait for DVC's lock without a time limit."""

    token: str | None = field(default=None, repr=False)
    """Studio's token; None reads it from the settings, as for ``url``."""

    url: str | None = field(default=None, repr=False)

    @property
    def is_partial(self) -> bool:
        """Whether globs may leave files out."""
        return bool(self.include or self.exclude)


@dataclass(frozen=True)
class FileResult:
    """What happened to one file."""

    path: str
    size: int | None
    """In bytes; None if a dry run could not find it out."""

    md5: str | None
    action: str
    """``unchanged``, ``renamed``, ``linked``, ``downloaded`` or ``removed``; in a dry
    run ``unchanged``, ``rename``, ``link``, ``download``, ``conflict``, ``remove``."""

    verified_by: str | None
    """``git+signature``, ``git``, ``lock``, ``url``, ``storage`` or ``size``; None for
    a removed file, and in a dry run if it is known only after the download."""


@dataclass(frozen=True)
class ModelResult:
    """One model of a result: reference, version, files."""

    ref: ModelRef
    """With its repo, if that is not the clone's own."""

    version: str | None
    """None if neither local tags nor the server show it, or the stage's commit has
    none."""

    commit: str | None
    files: tuple[FileResult, ...]


@dataclass(frozen=True)
class PullResult:
    """The outcome of one pull."""

    repo: str
    """The repo's URL as registered in Studio; a clone's folder if it has no remote.
    Models of other repos name theirs (:attr:`ModelRef.repo`)."""

    models: tuple[ModelResult, ...]
    bytes_downloaded: int
    seconds: float
    source: str = STUDIO
    """One of :data:`SOURCES`."""

    warnings: tuple[str, ...] = ()
    """What the command would warn about, one sentence each."""

    gitignore: tuple[str, ...] = ()
    """The ``.gitignore`` files to which placed files were added, relative to the
    folder of the call."""

    refused: WorkspaceError | None = None
    """In a dry run, the error with which the pull would be refused."""


@dataclass(frozen=True)
class ModelStatus:
    """The status of one model in the workspace."""

    result: ModelResult
    """What a pull would do; for a pinned model, ``pull --locked``."""

    pin: Pin | None = None
    """Its entry in the lock file; None if it has none."""

    outdated: bool = False
    """Whether the pinned reference now resolves to other content."""

    now: str | None = None
    """The version to which it now resolves; None if local tags do not show it."""

    @property
    def up_to_date(self) -> bool:
        """Whether the workspace is up to date: a pull would change nothing."""
        return all(file.action == "unchanged" for file in self.result.files)


@dataclass(frozen=True)
class StatusResult:
    """The status of all models."""

    repo: str | None
    """See :attr:`PullResult.repo`; None if there is no model."""

    models: tuple[ModelStatus, ...]

    @property
    def up_to_date(self) -> bool:
        """Whether all of them are up to date."""
        return all(model.up_to_date for model in self.models)


@dataclass(frozen=True)
class ModelProgress:
    """The downloads of one model; a content that several have counts for the first."""

    name: str
    bytes: int
    """The bytes that are there, also from earlier pulls."""

    total: int | None
    """In bytes; None until it is known."""

    files: int
    """The files that are complete and verified."""

    files_total: int
    """The files to download, each content once."""


@dataclass(frozen=True)
class PullProgress:
    """How far the downloads of a pull are; see :class:`ModelProgress`."""

    bytes: int
    total: int | None
    files: int
    files_total: int
    models: tuple[ModelProgress, ...]
    """Those of which something is to be downloaded."""


@dataclass(frozen=True)
class WorkspaceState:
    """The state of the content at a model's path."""

    state: str
    """``registered``: the content of ``version``; ``partial``: as much of it as was
    pulled; ``modified``: the content of no version; ``present``: something, and no
    recorded hash to compare it with, or parts of several versions; ``absent``."""

    version: str | None = None
    """As in the tags; a commit, if a stage is assigned to one without a version."""


@dataclass(frozen=True)
class ListedModel:
    """One model, as ``dvc models list`` shows it."""

    name: str
    """As in Studio: ``churn`` or ``dir:churn``."""

    path: str | None
    """Of its file or folder, relative to the Git root; None if not known."""

    workspace: WorkspaceState
    latest: str | None = None
    stages: Mapping[str, str] = field(default_factory=dict)
    """Stage to version, or to commit if that has no version."""

    versions: tuple[str, ...] = ()
    """Greatest SemVer first."""

    repo: str | None = None
    """Of a model of another repo, whose versions are not known here."""

    locked: str | None = None
    """What ``models.lock`` pins, of a model of another repo."""


class Progress(Protocol):
    """Receives the progress of a source; called often, from one thread."""

    def update(self, done: int, total: int | None) -> None:
        """Note that ``done`` of ``total`` bytes are there; ``total`` may be unknown."""

    def note_files(self, partial: Mapping[str, int]) -> None:
        """Note the bytes that are there of some unfinished files, by their paths."""


class SilentProgress:
    """Ignores the progress."""

    def update(self, done: int, total: int | None) -> None:
        """Do nothing."""

    def note_files(self, partial: Mapping[str, int]) -> None:
        """Do nothing."""


def format_bytes(count: float) -> str:
    """Return a number of bytes in a readable unit: ``45.2 MiB``."""
    if count < 1024:  # noqa: PLR2004 - the step between units
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        count /= 1024
        if count < 1024:  # noqa: PLR2004
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.1f} TiB"


@dataclass(frozen=True)
class JobIdentity:
    """How a job of GitHub Actions gets a token that says which job it is."""

    url: str
    """``ACTIONS_ID_TOKEN_REQUEST_URL``."""

    token: str = field(repr=False)
    """``ACTIONS_ID_TOKEN_REQUEST_TOKEN``, a secret, for requests to that URL only."""
