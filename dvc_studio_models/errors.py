"""Every failure a user can meet: its facts, its message, its exit code. No I/O.

Each class takes facts and builds its message; nobody else writes prose. A model and a
hash are taken as anything that prints as one (``ModelRef``, ``Digest``): values import
errors, not the other way round. A second line,
where there is one, starts with what to do next. DVC prints an exception's causes, so
whoever talks HTTP raises ``from None``: a cause would carry the signed URL.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING

from dvc.exceptions import DvcException

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


FORCE_TAGS = "git fetch --tags --force"
"""Brings annotated tags in the place of lightweight ones, and tags that have moved."""

REFRESH_TAGS = "git fetch --prune --prune-tags --force --tags"
"""Makes the local tags those of the remote, whatever happened to them there."""


_DEFAULT_LOCK = "models.lock"


def fetching_from(command: str, remote: str | None) -> str:
    """Name in a command of Git the remote that it is to fetch from; None names none."""
    if remote is None:
        return command
    return command.replace("git fetch", f"git fetch {shlex.quote(remote)}", 1)


class StudioModelsError(DvcException):
    """Base of all errors of this package."""

    exit_code = 255

    def suggest(self, hint: str) -> None:
        """Add one more way out to the message."""
        self.msg = f"{self}\n{hint}"
        self.args = (self.msg,)


class ThreadLimitError(StudioModelsError):
    """The system refuses to start a thread."""

    def __init__(self) -> None:
        super().__init__(
            "cannot start a thread: a limit on processes or memory is reached\n"
            "Raise it: 'ulimit -u', 'ulimit -v', or the pids limit of the container"
        )


class UsageError(StudioModelsError):
    """The arguments contradict each other or cannot be read."""

    exit_code = 254


class NothingSelectedError(UsageError):
    """Globs leave no file to pull."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.include, self.exclude = tuple(include), tuple(exclude)
        globs = [f"--include {glob}" for glob in include]
        globs += [f"--exclude {glob}" for glob in exclude]
        super().__init__(
            f"no file matches {' '.join(globs)}\n"
            "Globs are relative to the Git root; see the paths with '--dry-run'"
        )


class LockFileError(StudioModelsError):
    """A lock file cannot be read, or is not of the form that is written here."""

    exit_code = 251

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path, self.reason = str(path), reason
        super().__init__(
            f"cannot use the lock file '{path}': {reason}\n"
            "Restore it from Git, or delete it and create it again with "
            f"'dvc models pull NAME {_lock_option(path)}'"
        )


class NotLockedError(StudioModelsError):
    """A lock file does not have the model that was named."""

    exit_code = 4

    def __init__(self, name: str, path: Path, known: Iterable[str]) -> None:
        self.name, self.path = name, str(path)
        there = ", ".join(known) or "no model"
        super().__init__(
            f"'{name}' is not in '{path.name}', which has {there}\n"
            f"Add it with 'dvc models pull {name} {_lock_option(path)}'"
        )


def _lock_option(path: Path | str) -> str:
    """Spell the option that writes a lock file."""
    is_default = PurePath(path).name == _DEFAULT_LOCK
    return "--lock" if is_default else f"--lock {shlex.quote(str(path))}"


class LockMismatchError(StudioModelsError):
    """Studio serves other content than what was locked."""

    exit_code = 1

    def __init__(
        self,
        ref: object,
        differences: Iterable[tuple[str, object | None, object | None]],
        *,
        lock: str | None = None,
    ) -> None:
        """Take the facts.

        Args:
            ref: The locked version.
            differences: Path, hash in the lock, hash that Studio serves; None for none.
            lock: The lock file, as the user names it; None for the default one.
        """
        self.ref, self.differences = ref, tuple(differences)
        listed = "".join(
            f"\n  {path}: locked {locked or 'nothing'}, "
            f"Studio serves {served or 'nothing'}"
            for path, locked, served in self.differences
        )
        super().__init__(
            f"Studio's content for '{ref}' differs from the lock file:{listed}\n"
            "Nothing was changed. If the new content is correct, lock it with "
            f"'dvc models pull {ref} {_lock_option(lock or _DEFAULT_LOCK)}'"
        )


class StudioConfigError(StudioModelsError):
    """A setting is wrong: says which, and where it can be set."""

    exit_code = 251


class TokenMissingError(StudioConfigError):
    """There is no token for Studio."""

    exit_code = 3

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"no token for Studio at '{url}'\n"
            "Set the environment variable DVC_STUDIO_TOKEN, or run "
            "'dvc studio login', or 'dvc config --global studio.token <token>'"
        )


class StudioOfflineError(StudioConfigError):
    """The user's settings forbid to contact Studio."""

    def __init__(self) -> None:
        super().__init__(
            "Studio is disabled by DVC_STUDIO_OFFLINE or 'studio.offline'\n"
            "Unset it to use Studio, or leave out '--source studio' or '--urls'"
        )


class NotGitRepoError(StudioModelsError):
    """A Git working tree is needed and there is none here."""

    exit_code = 253

    def __init__(self, folder: str, reason: str = "not in a Git repository") -> None:
        self.folder = folder
        super().__init__(
            f"'{folder}' is {reason}\nRun inside a clone of the model's repo"
        )


class UnreadableRepoError(StudioModelsError):
    """There is a Git repository, and its files or their owner are refused."""

    exit_code = 253
    hint: str | None = None
    """What to do, where Git's own reason does not say it."""

    def __init__(self, folder: str, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(f"cannot read the Git repository at '{folder}': {reason}")
        if self.hint:
            self.suggest(self.hint)


class ForeignRepoError(UnreadableRepoError):
    """A Git repository belongs to another user, and Git was not told to trust it."""

    def __init__(self, folder: str) -> None:
        setting = f"git config --global --add safe.directory {shlex.quote(folder)}"
        self.hint = f"If you trust it, run '{setting}'"
        super().__init__(folder, "it belongs to another user")


class ObjectMissingError(UnreadableRepoError):
    """A clone lacks objects: it is partial or shallow, or damaged."""

    hint = "Run 'git fetch --refetch --no-filter' there to make the clone complete"


class ObjectTooLargeError(UnreadableRepoError):
    """An object is larger than any that this project reads."""


class CommitMissingError(ObjectMissingError):
    """A clone lacks a commit, as a shallow one does."""

    hint = "Run 'git fetch --unshallow --tags' there, or 'git fetch --tags'"


class RecordUnreadableError(StudioModelsError):
    """A commit cannot be read for what it records of a model."""

    def __init__(self, name: str, commit: str, reason: str) -> None:
        self.name, self.commit, self.reason = name, commit, reason
        super().__init__(
            f"cannot read the DVC files of '{name}' at {commit[:7]}: {reason}"
        )


class GitFileMissingError(StudioModelsError):
    """A model has a file that Git keeps, and the clone does not have it."""

    exit_code = 4

    def __init__(self, path: str, oid: str) -> None:
        self.path, self.oid = path, oid
        super().__init__(
            f"'{path}' is stored in Git, but this clone does not have it\n"
            f"Run '{REFRESH_TAGS}' to fetch the version that has it"
        )


class NotStoredError(StudioModelsError):
    """Git knows the version, and DVC has nothing of it that could be pulled."""

    exit_code = 4

    def __init__(self, ref: object, reason: str, hint: str | None = None) -> None:
        self.ref, self.reason = ref, reason
        super().__init__(f"'{ref}' cannot be pulled: {reason}")
        if hint:
            self.suggest(hint)


class NotDvcProjectError(StudioModelsError):
    """A DVC project is needed and there is none around the models."""

    exit_code = 253

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(
            f"'{folder}' is not in a DVC project, whose cache and remotes are needed\n"
            "If its '.dvc' folder is in Git, run 'git checkout HEAD -- :/.dvc', or "
            "'git sparse-checkout add .dvc' in a sparse clone; or leave out '--source'"
        )


class GitRemoteError(StudioConfigError):
    """The repo's URL cannot be told from its Git remotes."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot determine the repo: {reason}\n"
            "Set it with '--repo URL', '--git-remote NAME' or "
            "'dvc config studio.repo_url URL'"
        )

    @classmethod
    def outside_git(cls) -> GitRemoteError:
        """Make the error of who is in no clone and names no repo."""
        return cls("this is not a Git repository")

    @classmethod
    def local_folder(cls, url: str) -> GitRemoteError:
        """Make the error of a remote that only this machine has."""
        return cls(f"'{url}' is a folder on this machine, which Studio cannot know")

    @classmethod
    def unknown(cls, name: str, known: Sequence[str]) -> GitRemoteError:
        """Make the error of a remote that was named and is not there."""
        return cls(f"no Git remote '{name}' (existing: {', '.join(known) or 'none'})")

    @classmethod
    def without_url(cls, name: str) -> GitRemoteError:
        """Make the error of a remote that can only be pushed to."""
        return cls(f"the Git remote '{name}' has no URL")

    @classmethod
    def undecided(cls, known: Sequence[str]) -> GitRemoteError:
        """Make the error of too many remotes, or none."""
        if not known:
            return cls("there is no Git remote")
        return cls(f"several Git remotes and no upstream ({', '.join(known)})")


class StudioError(StudioModelsError):
    """Asking Studio failed."""


class StudioUnreachableError(StudioError):
    """No answer within the retry budget."""

    exit_code = 5

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(
            f"cannot reach Studio at '{url}': {reason}\n"
            "Check the network, or 'dvc config studio.url' and DVC_STUDIO_URL"
        )


class StudioFailedError(StudioError):
    """Studio answered, and until the last try with failures of its own."""

    exit_code = 5

    def __init__(
        self, url: str, status: int, reason: str, *, is_known: bool = True
    ) -> None:
        """Take the facts.

        Args:
            url: Of Studio.
            status: Of the last answer.
            reason: What it said, and how often it was asked.
            is_known: Whether it spoke as Studio does; else a proxy may have answered.
        """
        self.url, self.status, self.reason = url, status, reason
        if status < 500:  # noqa: PLR2004 - an HTTP status
            hint = "Try again later"
        elif is_known:
            hint = "It was reached; its operator can fix this, and its log has details"
        else:
            hint = (
                "It was reached, or a proxy in front of it was; its operator can fix "
                "this"
            )
        super().__init__(f"Studio at '{url}' failed: {reason}\n{hint}")


class StudioAuthError(StudioError):
    """Studio refused the token (401) or what it may do (403)."""

    exit_code = 3

    def __init__(self, url: str, status: int, detail: str) -> None:
        self.url, self.status, self.detail = url, status, detail
        hint = (
            "Check the token (DVC_STUDIO_TOKEN, or 'dvc studio login')"
            if status == 401  # noqa: PLR2004 - an HTTP status
            else "The token needs the model-registry scope, and access to the repo"
        )
        super().__init__(
            f"Studio at '{url}' refused the token ({status}): {detail}\n{hint}"
        )


class ModelNotFoundError(StudioError):
    """Studio does not know the repo, the model, the version or the stage."""

    exit_code = 4

    def __init__(self, ref: object, repo_url: str, detail: str) -> None:
        self.ref, self.repo_url, self.detail = ref, repo_url, detail
        super().__init__(f"'{ref}' not found in '{repo_url}': {detail}")


class VersionUnknownError(StudioModelsError):
    """The local tags cannot tell the version."""

    exit_code = 4

    def __init__(self, ref: object, detail: str, *, hint: str | None = None) -> None:
        self.ref, self.detail = ref, detail
        hint = hint or "Run 'git fetch --tags'"
        super().__init__(f"cannot determine the version of '{ref}': {detail}\n{hint}")

    @classmethod
    def outdated(cls, ref: object, remote: str | None) -> VersionUnknownError:
        """Make the error of tags that say something else than Studio."""
        why = "what Studio serves differs from the version in the local tags"
        return cls(ref, why, hint=f"Run '{fetching_from(REFRESH_TAGS, remote)}'")

    @classmethod
    def unregistered(cls, ref: object, name: str, commit: str) -> VersionUnknownError:
        """Make the error of a stage that a lock file cannot name by a version."""
        return cls(
            ref,
            "its stage is assigned to a commit that has no version",
            hint=f"Register one there with 'gto register {name} {commit}', or pull "
            "without '--lock'",
        )

    @classmethod
    def unread(cls, ref: object, tags: Sequence[str]) -> VersionUnknownError:
        """Make the error of tags that Git cannot read, and that would matter."""
        return cls(
            ref,
            f"Git cannot read {', '.join(tags)}, or the commit is missing",
            hint="Run 'git fetch --refetch --tags --force'; if Git reports a "
            "corrupt object, clone again",
        )

    @classmethod
    def lightweight(cls, ref: object, tags: Sequence[str]) -> VersionUnknownError:
        """Make the error of tags that GTO does not count, and that would matter."""
        some = "tag" if len(tags) == 1 else "tags"
        return cls(
            ref,
            f"GTO reads annotated tags only, and the {some} {', '.join(tags)} "
            f"{'is' if len(tags) == 1 else 'are'} lightweight here",
            hint=f"Run '{FORCE_TAGS}': CI systems replace the tag that they run for. "
            "If it is lightweight in the remote too, delete it, or specify a version",
        )


class StudioResponseError(StudioError):
    """Studio answered, but not with what its API promises."""

    exit_code = 5

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"unexpected reply from Studio at '{url}': {reason}")


class StudioRedirectError(StudioError):
    """Studio sends elsewhere, where the token must not go."""

    exit_code = 5

    def __init__(self, url: str, target: str) -> None:
        self.url, self.target = url, target
        super().__init__(
            f"Studio at '{url}' redirects to '{target}', to which the token "
            "will not be sent\n"
            "If that is the right URL, set it with 'dvc config studio.url' or "
            "DVC_STUDIO_URL"
        )


class DownloadError(StudioModelsError):
    """Storage did not deliver a file."""

    exit_code = 5

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"failed to download '{path}': {reason}")


class NotInCacheError(StudioModelsError):
    """The DVC cache lacks files, and nothing else may be asked."""

    exit_code = 5

    def __init__(self, paths: Sequence[str], *, imported: bool = False) -> None:
        """Take the facts.

        Args:
            paths: Of the files.
            imported: Whether another repo keeps some of them, which Studio serves not.
        """
        self.paths = tuple(paths)
        listed = "".join(f"\n  {path}" for path in self.paths)
        hint = "Download them with '--source remote'"
        super().__init__(
            f"these files are not in the DVC cache:{listed}\n"
            + (hint if imported else f"{hint}, or with '--source studio'")
        )


class DvcRemoteError(StudioModelsError):
    """The user's own DVC remote did not deliver."""

    exit_code = 5

    def __init__(self, name: str, problems: Iterable[tuple[str, str]]) -> None:
        self.name, self.problems = name, tuple(problems)
        listed = "".join(f"\n  {path}: {reason}" for path, reason in self.problems)
        super().__init__(f"failed to download from the DVC remote '{name}':{listed}")


class ImportSourceError(StudioModelsError):
    """The repo that something was imported from did not deliver it."""

    exit_code = 5

    def __init__(self, url: str, problems: Iterable[tuple[str, str]]) -> None:
        """Take the facts.

        Args:
            url: Of the repo, without secrets.
            problems: Path, and why.
        """
        self.url, self.problems = url, tuple(problems)
        listed = "".join(f"\n  {path}: {reason}" for path, reason in self.problems)
        super().__init__(
            f"failed to download from '{url}', the repo that these files are "
            f"imported from:{listed}"
        )


class RemoteConfigError(StudioConfigError):
    """DVC's config names no remote that can be used."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot use a DVC remote: {reason}\nSee 'dvc remote list'; set the "
            "default with 'dvc remote default NAME'"
        )


class IntegrityError(StudioModelsError):
    """The content is not what was promised."""

    exit_code = 6

    def __init__(
        self,
        path: str,
        *,
        expected: object,
        actual: str,
        source: str,
        hint: str | None = None,
    ) -> None:
        self.path, self.expected, self.actual = path, expected, actual
        super().__init__(
            f"'{path}' does not have the expected content: {source} says {expected}, "
            f"got {actual}\nNothing was changed in the workspace"
        )
        if hint:
            self.suggest(hint)


class ModelMovedError(StudioModelsError):
    """Studio's answer changed between two requests of one pull."""

    exit_code = 6

    def __init__(self, ref: object) -> None:
        self.ref = ref
        super().__init__(
            f"'{ref}' moved to another version during the pull\n"
            "Nothing was changed in the workspace; pull again"
        )


class WorkspaceError(StudioModelsError):
    """The workspace must not be changed that way."""

    exit_code = 7


class UnsafePathError(WorkspaceError):
    """Paths must not be written."""

    def __init__(
        self,
        problems: Iterable[tuple[str, str]],
        *,
        source: str | None = "Studio's reply",
    ) -> None:
        """Take the facts.

        Args:
            problems: Path, and why it must not be.
            source: Who names the paths; None where it is the workspace that is unsafe.
        """
        self.problems = tuple(problems)
        origin = f" from {source}" if source else ""
        listed = "".join(f"\n  {path!r}: {reason}" for path, reason in self.problems)
        super().__init__(f"refusing to write these paths{origin}:{listed}")

    @classmethod
    def no_folder(cls, path: str) -> UnsafePathError:
        """Make the error of a folder that is none, and must not be followed."""
        return cls([(path, "it is a symlink or not a folder")], source=None)


class TargetExistsError(WorkspaceError):
    """Content that exists nowhere else is in the way."""

    reason = "these files have changes that exist nowhere else and would be lost"
    hint = "Move them, or replace them with '--force'"

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        listed = "".join(f"\n  {path}" for path in self.paths)
        super().__init__(f"{self.reason}:{listed}\n{self.hint}")


class GitFilesDifferError(WorkspaceError):
    """A model has files that Git keeps, and the working tree has others."""

    def __init__(self, name: str, command: str, paths: Sequence[str]) -> None:
        """Take the facts.

        Args:
            name: Of the model.
            command: That gets the files out of Git.
            paths: Of the files.
        """
        self.name, self.command, self.paths = name, command, tuple(paths)
        listed = "".join(f"\n  {path}" for path in self.paths)
        super().__init__(
            f"these files of '{name}' are stored in Git and differ here:{listed}\n"
            f"Run '{command}', then pull again"
        )


class TargetChangedError(TargetExistsError):
    """A target is not what it was when the plan was made."""

    reason = "these files changed during the pull"
    hint = "Nothing was changed in the workspace; pull again"


class LockHeldError(WorkspaceError):
    """Another DVC command holds the project's lock."""

    def __init__(self) -> None:
        super().__init__(
            "another DVC process holds the project's lock\n"
            "Wait for it, or run 'dvc --wait-for-lock models pull ...'"
        )


class LocalDiskError(StudioModelsError):
    """The local file system refused: full, read-only, no permission."""

    exit_code = 8

    def __init__(self, path: Path | str, reason: str, *, action: str = "write") -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"cannot {action} '{path}': {reason}")


class SiteCacheError(LocalDiskError):
    """DVC's databases, which users of a machine may share, cannot be written."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.suggest(
            "It is in DVC's site cache: set DVC_SITE_CACHE_DIR, or 'dvc config "
            "core.site_cache_dir', to a folder of your own"
        )


class CacheRefusedError(LocalDiskError):
    """The DVC cache cannot be written."""

    def __init__(self, path: Path | str, reason: str, *, needed: bool = False) -> None:
        """Take the facts.

        Args:
            path: What refused.
            reason: In the system's words.
            needed: Whether the source works through the cache alone.
        """
        super().__init__(path, reason)
        another = "use another one: 'dvc cache dir --local DIR'"
        self.suggest(
            f"It is in the DVC cache: {another}"
            if needed
            else f"It is in the DVC cache: pull with '--no-cache', or {another}"
        )


class CacheLinkError(LocalDiskError):
    """Files cannot be linked out of the DVC cache as its settings ask for."""

    def __init__(self, cache: str, types: Sequence[str], reason: str) -> None:
        """Take the facts.

        Args:
            cache: Its folder.
            types: What ``cache.type`` allows.
            reason: Why the last of them did not work.
        """
        self.types = tuple(types)
        allowed = ",".join(types)
        super().__init__(
            cache, f"cache.type is '{allowed}', but: {reason}", action="link from"
        )
        self.suggest(f"Allow copies too: 'dvc config cache.type {allowed},copy'")


class LockUnsupportedError(LocalDiskError):
    """The file system of a lock file has no such locks."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason, action="lock")
        self.suggest(
            "Its file system does not support this kind of lock: run 'dvc config "
            "core.hardlink_lock true' to use another kind"
        )


@contextlib.contextmanager
def disk_errors(path: Path | str, *, action: str = "write") -> Iterator[None]:
    """Tell what the file system refuses within, in its own words."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LocalDiskError(path, reason, action=action) from None


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Tell what DVC cannot read of its config within.

    What its parser quotes is left out: a line that it cannot read may hold a token.
    """
    from dvc.config import ConfigError

    try:
        yield
    except ConfigError as error:
        msg = f"DVC cannot read its config: {without_quotes(str(error))}"
        raise StudioConfigError(msg) from None


def without_quotes(text: str) -> str:
    """Leave out what DVC's parser quotes of its config."""
    return re.sub(r"\(['\"].*['\"]\) ", "", text, flags=re.DOTALL)
