"""Every error that users can meet: its facts, its message, its exit code. No I/O.

Each class takes facts and builds the message; no other module writes error messages for
users. A second line, if any, starts with what to do next. DVC prints the causes of an
exception, so code that uses HTTP raises ``from None``: a cause would contain the signed
URL. ``model`` imports this module, so its values are described here by protocols.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
from pathlib import PurePath
from typing import TYPE_CHECKING, Protocol

from dvc.exceptions import DvcException

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path


FORCE_TAGS = "git fetch --tags --force"
"""Replaces lightweight tags with annotated ones, and updates tags that have moved."""

REFRESH_TAGS = "git fetch --prune --prune-tags --force --tags"
"""Makes the local tags the same as those of the remote."""


_DEFAULT_LOCK = "models.lock"


def fetch_from(command: str, remote: str | None) -> str:
    """Return a ``git fetch`` command with the remote added; None adds none."""
    if remote is None:
        return command
    return command.replace("git fetch", f"git fetch {shlex.quote(remote)}", 1)


class Ref(Protocol):
    """A :class:`~dvc_studio_models.model.ModelRef`; it prints as the user types it."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def version(self) -> str | None:
        """The version that is requested."""

    @property
    def stage(self) -> str | None:
        """The stage that is requested."""

    @property
    def repo(self) -> str | None:
        """The URL of its repo, if that is not the clone's own."""


class Hash(Protocol):
    """A :class:`~dvc_studio_models.model.Digest`; it prints as algorithm and value."""

    @property
    def algorithm(self) -> str:
        """The name of the algorithm."""

    @property
    def value(self) -> str:
        """The hash in hexadecimal digits."""


def _as_lines(items: Iterable[str]) -> str:
    """Format each item as an indented line of its own."""
    return "".join(f"\n  {item}" for item in items)


class StudioModelsError(DvcException):
    """Base of all errors of this package."""

    exit_code = 255

    def add_hint(self, hint: str) -> None:
        """Append a line that says what to do."""
        self.msg = f"{self}\n{hint}"
        self.args = (self.msg,)


class ThreadLimitError(StudioModelsError):
    """The system refuses to start a thread."""

    def __init__(self) -> None:
        super().__init__(
            "cannot start a thread: a limit on processes or memory is reached\n"
            "Raise it: 'ulimit -u', 'ulimit -v', or the pids limit of the container"
        )


class LibcurlError(StudioModelsError):
    """The package for downloads is missing, or cannot be loaded."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot download files: {reason}\n"
            "Install it for this Python: 'pip install pycurl'"
        )


class UsageError(StudioModelsError):
    """The arguments contradict each other or cannot be read."""

    exit_code = 254


class NothingSelectedError(UsageError):
    """No file matches the globs."""

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self.include, self.exclude = tuple(include), tuple(exclude)
        globs = [f"--include {glob}" for glob in include]
        globs += [f"--exclude {glob}" for glob in exclude]
        super().__init__(
            f"no file matches {' '.join(globs)}\n"
            "Globs are relative to the Git root; see the paths with '--dry-run'"
        )


class LockFileError(StudioModelsError):
    """A lock file cannot be read or is invalid."""

    exit_code = 251

    def __init__(
        self, path: Path | str, reason: str, *, is_missing: bool = False
    ) -> None:
        self.path, self.reason = str(path), reason
        remedy = "Restore it from Git, or delete it and create it again"
        super().__init__(
            f"cannot use the lock file '{path}': {reason}\n"
            f"{'Create it' if is_missing else remedy} with "
            f"'dvc models pull NAME {_lock_option(path)}'"
        )


class NotLockedError(StudioModelsError):
    """A lock file does not contain a model that was given."""

    exit_code = 4

    def __init__(self, name: str, path: Path, known: Iterable[str]) -> None:
        self.name, self.path = name, str(path)
        there = ", ".join(known) or "no model"
        super().__init__(f"'{name}' is not in '{path.name}', which has {there}")
        if not any(mark in name for mark in "*?["):
            self.add_hint(f"Add it with 'dvc models pull {name} {_lock_option(path)}'")


class OtherRepoLockedError(StudioModelsError):
    """A lock file has a model of the same name of another repo."""

    exit_code = 7

    def __init__(
        self, name: str, path: Path, locked: str | None, repo: str | None
    ) -> None:
        """Store the facts.

        Args:
            name: Of the model.
            path: Of the lock file.
            locked: The repo that the lock file has; None for the clone's own.
            repo: The repo of the model; None for the clone's own.
        """
        self.name, self.path, self.locked, self.repo = name, str(path), locked, repo
        super().__init__(
            f"'{path.name}' has '{name}' of {_describe_repo(locked)}, not of "
            f"{_describe_repo(repo)}\n"
            "Use another lock file ('--lock FILE', '--locked FILE'); if the repo has "
            f"moved, change its URL in '{path.name}'"
        )


def _describe_repo(repo: str | None) -> str:
    return f"'{repo}'" if repo else "this repo"


def _lock_option(path: Path | str) -> str:
    """Return the option that writes this lock file."""
    is_default = PurePath(path).name == _DEFAULT_LOCK
    return "--lock" if is_default else f"--lock {shlex.quote(str(path))}"


class LockMismatchError(StudioModelsError):
    """The content that Studio serves differs from the lock file."""

    exit_code = 1

    def __init__(
        self,
        ref: Ref,
        differences: Iterable[tuple[str, Hash | None, Hash | None]],
        *,
        lock: str | None = None,
    ) -> None:
        """Store the facts.

        Args:
            ref: The locked version; without one, the hashes alone are locked.
            differences: Path, hash in the lock, hash that Studio serves; None for none.
            lock: The lock file, as the user names it; None for the default one.
        """
        self.ref, self.differences = ref, tuple(differences)
        moved = ""
        if ref.version is None:
            moved = (
                f"\n'{ref}' has moved, and the lock file has no version to ask for: "
                "Studio named none"
            )
        listed = _as_lines(
            f"{path}: locked {locked or 'nothing'}, Studio serves {served or 'nothing'}"
            for path, locked, served in self.differences
        )
        super().__init__(
            f"Studio's content for '{ref}' differs from the lock file:{listed}{moved}\n"
            "Nothing was changed. If the new content is correct, lock it with "
            f"'{_update_command(ref, lock)}'"
        )


def _repo_option(ref: Ref) -> str:
    return f" --repo {shlex.quote(ref.repo)}" if ref.repo else ""


def _update_command(ref: Ref, lock: str | None) -> str:
    """Return the command that locks a model anew, whichever repo it is of."""
    option = f" --lock {shlex.quote(lock)}" if lock else ""
    return f"dvc models update {ref}{option}"


class ContentUnknownError(StudioModelsError):
    """A file cannot be pinned without downloading it."""

    exit_code = 5

    def __init__(self, ref: Ref, path: str, reason: str) -> None:
        self.ref, self.path, self.reason = ref, path, reason
        super().__init__(
            f"cannot lock '{ref}' without downloading it: '{path}': {reason}\n"
            f"Run 'dvc models pull {ref} --lock{_repo_option(ref)}'"
        )


class StudioConfigError(StudioModelsError):
    """A setting is wrong. The message names it and where to set it."""

    exit_code = 251


class TokenMissingError(StudioConfigError):
    """There is no token for Studio."""

    exit_code = 3

    def __init__(self, url: str, *, in_job: str = "") -> None:
        """Store the facts.

        Args:
            url: Of Studio.
            in_job: How a CI job of this kind gets a token by itself; may be empty.
        """
        self.url = url
        super().__init__(
            f"no token for Studio at '{url}'\n"
            "Set the environment variable DVC_STUDIO_TOKEN, or run "
            "'dvc studio login', or 'dvc config --global studio.token <token>'"
            + (f"\n{in_job}" if in_job else "")
        )


class StudioOfflineError(StudioConfigError):
    """The user's settings disable Studio."""

    def __init__(self) -> None:
        super().__init__(
            "Studio is disabled by DVC_STUDIO_OFFLINE or 'studio.offline'\n"
            "Unset it to use Studio, or leave out '--source studio' or '--urls'"
        )


class NotGitRepoError(StudioModelsError):
    """A Git working tree is needed, and the folder is not in one."""

    exit_code = 253

    def __init__(self, folder: str, reason: str = "not in a Git repository") -> None:
        self.folder, self.reason = folder, reason
        super().__init__(
            f"'{folder}' is {reason}\nRun inside a clone of the model's repo"
        )


class UnreadableRepoError(StudioModelsError):
    """Git refuses to read a repository, or cannot."""

    exit_code = 253
    hint: str | None = None
    """What to do, if Git's own message does not say it."""

    def __init__(self, folder: str, reason: str) -> None:
        self.folder, self.reason = folder, reason
        super().__init__(f"cannot read the Git repository at '{folder}': {reason}")
        if self.hint:
            self.add_hint(self.hint)


class ForeignRepoError(UnreadableRepoError):
    """A Git repository belongs to another user and is not trusted."""

    def __init__(self, folder: str) -> None:
        setting = f"git config --global --add safe.directory {shlex.quote(folder)}"
        self.hint = f"If you trust it, run '{setting}'"
        super().__init__(folder, "it belongs to another user")


class ObjectMissingError(UnreadableRepoError):
    """Objects are missing in a clone: it is partial, shallow or damaged."""

    hint = "Run 'git fetch --refetch --no-filter' there to make the clone complete"


class ObjectTooLargeError(UnreadableRepoError):
    """A Git object is larger than the limit of this project."""


class CommitMissingError(ObjectMissingError):
    """A commit is missing in a clone, for example in a shallow one."""

    hint = "Run 'git fetch --unshallow --tags' there, or 'git fetch --tags'"


class RecordUnreadableError(StudioModelsError):
    """The DVC files of a model cannot be read at a commit."""

    def __init__(self, name: str, commit: str, reason: str) -> None:
        self.name, self.commit, self.reason = name, commit, reason
        super().__init__(
            f"cannot read the DVC files of '{name}' at {commit[:7]}: {reason}"
        )


class CommitUnreadableError(StudioModelsError):
    """DVC cannot read one of its files at a commit."""

    def __init__(self, commit: str, reason: str) -> None:
        self.commit, self.reason = commit, reason
        super().__init__(f"cannot read the DVC files at {commit[:7]}: {reason}")


class GitFileMissingError(StudioModelsError):
    """A file of a model is stored in Git, and is missing in the clone."""

    exit_code = 4

    def __init__(self, path: str, oid: str) -> None:
        self.path, self.oid = path, oid
        super().__init__(
            f"'{path}' is stored in Git, but this clone does not have it\n"
            f"Run '{REFRESH_TAGS}' to fetch the version that has it"
        )


class NotStoredError(StudioModelsError):
    """A version is registered in Git, but DVC does not store its files."""

    exit_code = 4

    def __init__(self, ref: Ref, reason: str, hint: str | None = None) -> None:
        self.ref, self.reason = ref, reason
        super().__init__(f"'{ref}' cannot be pulled: {reason}")
        if hint:
            self.add_hint(hint)


class NotDvcProjectError(StudioModelsError):
    """A DVC project is needed, and the models are not in one."""

    exit_code = 253

    def __init__(self, folder: str) -> None:
        self.folder = folder
        super().__init__(
            f"'{folder}' is not in a DVC project, whose cache and remotes are needed\n"
            "If its '.dvc' folder is in Git, run 'git checkout HEAD -- :/.dvc', or "
            "'git sparse-checkout add .dvc' in a sparse clone; or leave out '--source'"
        )


class GitRemoteError(StudioConfigError):
    """The repo's URL cannot be inferred from its Git remotes."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot determine the repo: {reason}\n"
            "Set it with '--repo URL', '--git-remote NAME' or "
            "'dvc config studio.repo_url URL'"
        )

    @classmethod
    def outside_git(cls) -> GitRemoteError:
        """Return the error for a folder outside Git, without ``--repo``."""
        return cls("this is not a Git repository")

    @classmethod
    def local_folder(cls, url: str) -> GitRemoteError:
        """Return the error for a remote that is a local folder."""
        return cls(f"'{url}' is a folder on this machine, which Studio cannot know")

    @classmethod
    def unknown(cls, name: str, known: Sequence[str]) -> GitRemoteError:
        """Return the error for a remote that does not exist."""
        return cls(f"no Git remote '{name}' (existing: {', '.join(known) or 'none'})")

    @classmethod
    def without_url(cls, name: str) -> GitRemoteError:
        """Return the error for a remote that has only a push URL."""
        return cls(f"the Git remote '{name}' has no URL")

    @classmethod
    def undecided(cls, known: Sequence[str]) -> GitRemoteError:
        """Return the error for several remotes, or none."""
        if not known:
            return cls("there is no Git remote")
        return cls(f"several Git remotes and no upstream ({', '.join(known)})")


class StudioError(StudioModelsError):
    """A request to Studio failed."""


class StudioUnreachableError(StudioError):
    """Studio did not respond in any of the tries."""

    exit_code = 5

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(
            f"cannot reach Studio at '{url}': {reason}\n"
            "Check the network, or 'dvc config studio.url' and DVC_STUDIO_URL"
        )


class StudioFailedError(StudioError):
    """Studio responded with an error of its own in every try."""

    exit_code = 5

    def __init__(
        self, url: str, status: int, reason: str, *, is_known: bool = True
    ) -> None:
        """Store the facts.

        Args:
            url: Studio's URL.
            status: The HTTP status of the last response.
            reason: Its message, and the number of tries.
            is_known: Whether the response has Studio's format; otherwise a proxy may
                have sent it.
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
    """Studio refused the token (401) or its permissions (403)."""

    exit_code = 3

    def __init__(
        self, url: str, status: int, detail: str, *, is_job: bool = False
    ) -> None:
        """Store the facts.

        Args:
            url: Of Studio.
            status: Of its response.
            detail: Its message.
            is_job: Whether the token is that of the CI job, and not one that is set.
        """
        self.url, self.status, self.detail = url, status, detail
        hint = (
            "It is the token of this CI job: the server's 'oidc' has to accept its "
            "claims, or set DVC_STUDIO_TOKEN"
            if is_job
            else "Check the token (DVC_STUDIO_TOKEN, or 'dvc studio login')"
            if status == 401  # noqa: PLR2004 - an HTTP status
            else "The token needs the model-registry scope, and access to the repo"
        )
        super().__init__(
            f"Studio at '{url}' refused the token ({status}): {detail}\n{hint}"
        )


class ModelNotFoundError(StudioError):
    """Studio does not know the repo, the model, the version or the stage."""

    exit_code = 4

    def __init__(self, ref: Ref, repo_url: str, detail: str) -> None:
        self.ref, self.repo_url, self.detail = ref, repo_url, detail
        super().__init__(f"'{ref}' not found in '{repo_url}': {detail}")


class RepoNotFoundError(StudioError):
    """Studio does not know the repo."""

    exit_code = 4

    def __init__(self, repo_url: str, detail: str) -> None:
        self.repo_url, self.detail = repo_url, detail
        super().__init__(f"'{repo_url}' not found: {detail}")


class ListingMissingError(StudioError):
    """The server cannot list models, as hosted Studio."""

    exit_code = 4

    def __init__(self, url: str, *, is_list: bool) -> None:
        """Store the facts.

        Args:
            url: Of Studio.
            is_list: Whether all models were to be listed, and not one described.
        """
        self.url = url
        in_full = "Name the models in full, or run" if is_list else "Run"
        super().__init__(
            f"Studio at '{url}' cannot list models; only 'dvc models serve' can\n"
            f"{in_full} this in a clone of the models' repo"
        )


class NoModelMatchesError(StudioModelsError):
    """No registered model matches a glob, or none that has the version or stage."""

    exit_code = 4

    def __init__(
        self,
        glob: str | None,
        selected: str | None,
        known: str,
        *,
        is_remote: bool = False,
    ) -> None:
        """Store the facts.

        Args:
            glob: As the user typed it; None for all models.
            selected: The version or stage that the matching models lack, in words;
                None if there are no such models.
            known: The registered models, in words.
            is_remote: Whether a server has listed them.
        """
        self.glob, self.selected = glob, selected
        which = f" matches {glob!a}" if glob else ""
        lacks = f"{' and' if glob else ''} has {selected}" if selected else ""
        is_none = not (which or lacks)
        super().__init__(
            f"no model {'is registered' if is_none else f'{which}{lacks}'.strip()}; "
            f"{known}"
        )
        if not is_remote:
            self.add_hint(
                f"Run '{FORCE_TAGS}' if this clone lacks tags, or name the models' "
                "repo with '--repo URL' or 'dvc config studio.repo_url URL'"
            )


class VersionUnknownError(StudioModelsError):
    """The version cannot be determined from local tags."""

    exit_code = 4

    def __init__(
        self,
        ref: Ref,
        detail: str,
        *,
        hint: str | None = None,
        problem: str = "cannot determine the version of",
    ) -> None:
        self.ref, self.detail = ref, detail
        hint = hint or "Run 'git fetch --tags'"
        super().__init__(f"{problem} '{ref}': {detail}\n{hint}")

    @classmethod
    def outdated(cls, ref: Ref, remote: str | None) -> VersionUnknownError:
        """Return the error for tags that differ from what Studio serves."""
        why = "what Studio serves differs from the version in the local tags"
        return cls(ref, why, hint=f"Run '{fetch_from(REFRESH_TAGS, remote)}'")

    @classmethod
    def unregistered(cls, ref: Ref, commit: str) -> VersionUnknownError:
        """Return the error for a stage whose commit has no version to lock."""
        return cls(
            ref,
            "its stage is assigned to a commit that has no version",
            problem="cannot pin",
            hint=f"Register one there with 'gto register {ref.name} {commit}', or pull "
            "without '--lock'",
        )

    @classmethod
    def unread(cls, ref: Ref, tags: Sequence[str]) -> VersionUnknownError:
        """Return the error for tags of this model that Git cannot read."""
        return cls(
            ref,
            f"Git cannot read {', '.join(tags)}, or the commit is missing",
            hint="Run 'git fetch --refetch --tags --force'; if Git reports a "
            "corrupt object, clone again",
        )

    @classmethod
    def lightweight(cls, ref: Ref, tags: Sequence[str]) -> VersionUnknownError:
        """Return the error for tags of this model that are lightweight."""
        some = "tag" if len(tags) == 1 else "tags"
        return cls(
            ref,
            f"GTO reads annotated tags only, and the {some} {', '.join(tags)} "
            f"{'is' if len(tags) == 1 else 'are'} lightweight here",
            hint=f"Run '{FORCE_TAGS}': CI systems replace the tag that they run for. "
            "If it is lightweight in the remote too, delete it, or specify a version",
        )


class StudioResponseError(StudioError):
    """Studio's response is not as its API documents."""

    exit_code = 5

    def __init__(self, url: str, reason: str) -> None:
        self.url, self.reason = url, reason
        super().__init__(f"unexpected reply from Studio at '{url}': {reason}")


class StudioRedirectError(StudioError):
    """Studio redirects to another host, which must not get the token."""

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
    """A file could not be downloaded from storage."""

    exit_code = 5

    def __init__(self, path: str, reason: str) -> None:
        self.path, self.reason = path, reason
        super().__init__(f"failed to download '{path}': {reason}")


class NotInCacheError(StudioModelsError):
    """Files are not in the DVC cache, and no other source is allowed."""

    exit_code = 5

    def __init__(self, paths: Sequence[str], *, imported: bool = False) -> None:
        """Store the facts.

        Args:
            paths: The files.
            imported: Whether some are imported from another repo, so that Studio
                cannot serve them.
        """
        self.paths = tuple(paths)
        listed = _as_lines(self.paths)
        hint = "Download them with '--source remote'"
        super().__init__(
            f"these files are not in the DVC cache:{listed}\n"
            + (hint if imported else f"{hint}, or with '--source studio'")
        )


class DvcRemoteError(StudioModelsError):
    """Files could not be downloaded from the user's DVC remote."""

    exit_code = 5

    def __init__(self, name: str, problems: Iterable[tuple[str, str]]) -> None:
        self.name, self.problems = name, tuple(problems)
        listed = _as_lines(f"{path}: {reason}" for path, reason in self.problems)
        super().__init__(f"failed to download from the DVC remote '{name}':{listed}")


class ImportSourceError(StudioModelsError):
    """Files could not be downloaded from the repo they are imported from."""

    exit_code = 5

    def __init__(self, url: str, problems: Iterable[tuple[str, str]]) -> None:
        """Store the facts.

        Args:
            url: The repo's URL, without secrets.
            problems: Each path and the reason.
        """
        self.url, self.problems = url, tuple(problems)
        listed = _as_lines(f"{path}: {reason}" for path, reason in self.problems)
        super().__init__(
            f"failed to download from '{url}', the repo that these files are "
            f"imported from:{listed}"
        )


class RemoteConfigError(StudioConfigError):
    """DVC's config has no usable remote."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"cannot use a DVC remote: {reason}\nSee 'dvc remote list'; set the "
            "default with 'dvc remote default NAME'"
        )


class IntegrityError(StudioModelsError):
    """The content does not match its expected hash or size."""

    exit_code = 6

    def __init__(
        self,
        path: str,
        *,
        expected: Hash | str,
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
            self.add_hint(hint)


class CacheDamagedError(StudioModelsError):
    """Objects of a cache do not have the content that their names promise."""

    exit_code = 6

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        super().__init__(
            f"these objects of the cache are damaged:{_as_lines(self.paths)}\n"
            "Remove them with 'dvc models cache verify --fix'; the next pull downloads "
            "them again"
        )


class PruneRefusedError(StudioModelsError):
    """Nothing is removed, since what is needed cannot be determined."""

    exit_code = 7

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            "nothing was removed, since these may need what is in the cache and cannot "
            f"be read:{_as_lines(self.problems)}"
        )


class SharedCacheError(StudioModelsError):
    """Other projects may use a cache, and none of them was named."""

    exit_code = 7

    def __init__(self, folder: Path | str) -> None:
        self.folder = str(folder)
        super().__init__(
            f"other projects may use the cache '{folder}'\n"
            "Name them with '--projects PATH...' to keep what they need, or give "
            "'--projects' alone if there are none"
        )


class NotInAnyCacheError(StudioModelsError):
    """No model of that name is known to a cache."""

    exit_code = 4

    def __init__(self, names: Sequence[str], folder: Path | str) -> None:
        self.names = tuple(names)
        listed = ", ".join(f"'{name}'" for name in names)
        super().__init__(
            f"no version of {listed} is known to the cache '{folder}'\n"
            "List what is there with 'dvc models cache ls'"
        )


class SignatureError(StudioModelsError):
    """No signed tag vouches for the content, and one is required."""

    exit_code = 6

    def __init__(self, ref: Ref, reason: str, *, hint: str | None = None) -> None:
        self.ref, self.reason = ref, reason
        super().__init__(
            f"no signature verifies '{ref}': {reason}\nNothing was changed in the "
            "workspace"
        )
        if hint:
            self.add_hint(hint)


class ModelMovedError(StudioModelsError):
    """Studio served another version in a later request of one pull."""

    exit_code = 6

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        super().__init__(
            f"'{ref}' moved to another version during the pull\n"
            "Nothing was changed in the workspace; pull again"
        )


class WorkspaceError(StudioModelsError):
    """The workspace must not be changed in this way."""

    exit_code = 7


class UnsafePathError(WorkspaceError):
    """Paths that must not be written."""

    def __init__(
        self,
        problems: Iterable[tuple[str, str]],
        *,
        source: str | None = "Studio's reply",
    ) -> None:
        """Store the facts.

        Args:
            problems: Each path and the reason.
            source: Where the paths come from; None if the workspace is unsafe.
        """
        self.problems = tuple(problems)
        origin = f" from {source}" if source else ""
        listed = _as_lines(f"{path!r}: {reason}" for path, reason in self.problems)
        super().__init__(f"refusing to write these paths{origin}:{listed}")

    @classmethod
    def no_folder(cls, path: str) -> UnsafePathError:
        """Return the error for a path that should be a folder."""
        return cls([(path, "it is a symlink or not a folder")], source=None)


class TargetExistsError(WorkspaceError):
    """A pull would overwrite content that exists nowhere else."""

    reason = "these files have changes that exist nowhere else and would be lost"
    hint = "Move them, or replace them with '--force'"

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        listed = _as_lines(self.paths)
        super().__init__(f"{self.reason}:{listed}\n{self.hint}")


class GitFilesDifferError(WorkspaceError):
    """Files of a model that are stored in Git differ in the working tree."""

    def __init__(self, name: str, command: str, paths: Sequence[str]) -> None:
        """Store the facts.

        Args:
            name: The model's name.
            command: The command that checks the files out.
            paths: The files.
        """
        self.name, self.command, self.paths = name, command, tuple(paths)
        listed = _as_lines(self.paths)
        super().__init__(
            f"these files of '{name}' are stored in Git and differ here:{listed}\n"
            f"Run '{command}', then pull again"
        )


class TargetChangedError(TargetExistsError):
    """A target changed after the plan was made."""

    reason = "these files changed during the pull"
    hint = "Nothing was changed in the workspace; pull again"


class LockHeldError(WorkspaceError):
    """Another DVC process holds the project's lock."""

    def __init__(self) -> None:
        from dvc.version import version_tuple

        can_wait = version_tuple[:2] >= (3, 61)
        hint = ", or run 'dvc --wait-for-lock models pull ...'" if can_wait else ""
        super().__init__(
            f"another DVC process holds the project's lock\nWait for it{hint}"
        )


class LocalDiskError(StudioModelsError):
    """The local file system failed: full, read-only, no permission."""

    exit_code = 8

    def __init__(self, path: Path | str, reason: str, *, action: str = "write") -> None:
        self.path, self.reason = str(path), reason
        super().__init__(f"cannot {action} '{path}': {reason}")
        if reason == os.strerror(errno.EMFILE).lower():
            self.add_hint("Raise the limit ('ulimit -n'), or use less at once ('-j 1')")


class ObjectGoneError(LocalDiskError):
    """An object that was in the cache has been removed, or damaged, during a pull."""

    def __init__(self, path: Path | str) -> None:
        reason = "it was removed from the DVC cache, or damaged, during the pull"
        super().__init__(path, reason, action="read")


class SiteCacheError(LocalDiskError):
    """DVC's site cache, which users of a machine may share, cannot be written."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason)
        self.add_hint(
            "It is in DVC's site cache: set DVC_SITE_CACHE_DIR, or 'dvc config "
            "core.site_cache_dir', to a folder of your own"
        )


class CacheRefusedError(LocalDiskError):
    """The DVC cache cannot be written."""

    def __init__(self, path: Path | str, reason: str, *, needed: bool = False) -> None:
        """Store the facts.

        Args:
            path: The file or folder.
            reason: The system's message.
            needed: Whether the source cannot work without the cache.
        """
        super().__init__(path, reason)
        another = "use another one: 'dvc cache dir --local DIR'"
        self.add_hint(
            f"It is in the DVC cache: {another}"
            if needed
            else f"It is in the DVC cache: pull with '--no-cache', or {another}"
        )


class CacheLinkError(LocalDiskError):
    """Files cannot be linked from the DVC cache with the configured link types."""

    def __init__(self, cache: str, types: Sequence[str], reason: str) -> None:
        """Store the facts.

        Args:
            cache: The cache's folder.
            types: The link types of ``cache.type``.
            reason: Why the last of them failed.
        """
        self.types = tuple(types)
        allowed = ",".join(types)
        super().__init__(
            cache, f"cache.type is '{allowed}', but: {reason}", action="link from"
        )
        self.add_hint(f"Allow copies too: 'dvc config cache.type {allowed},copy'")


class LockUnsupportedError(LocalDiskError):
    """The file system does not support the lock of a file."""

    def __init__(self, path: Path | str, reason: str) -> None:
        super().__init__(path, reason, action="lock")
        self.add_hint(
            "Its file system does not support this kind of lock: run 'dvc config "
            "core.hardlink_lock true' to use another kind"
        )


@contextlib.contextmanager
def disk_errors(path: Path | str, *, action: str = "write") -> Iterator[None]:
    """Raise LocalDiskError, with the system's message, for an OSError inside."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise LocalDiskError(path, reason, action=action) from None


@contextlib.contextmanager
def config_errors() -> Iterator[None]:
    """Raise StudioConfigError if DVC cannot read its config inside.

    What its parser quotes is left out: a line that it cannot read may hold a token.
    """
    from dvc.config import ConfigError

    try:
        yield
    except ConfigError as error:
        msg = f"DVC cannot read its config: {strip_quoted(str(error))}"
        raise StudioConfigError(msg) from None


def strip_quoted(text: str) -> str:
    """Remove the lines of the config that DVC's parser quotes in its message."""
    return re.sub(r"\(['\"].*['\"]\) ", "", text, flags=re.DOTALL)
