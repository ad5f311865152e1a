"""Replies about DVC remotes that cannot be read or signed. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.server.errors.requests import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable


class RemoteFolderMissingError(RefusedError):
    """The DVC remote is a folder that this machine does not have."""

    status = 502

    def __init__(self, remote: str, folder: str, option: str) -> None:
        """Say what to do; the folder is only for the log.

        Args:
            remote: Its name.
            folder: Its path.
            option: How the operator chooses another remote.
        """
        self.remote, self.folder = remote, folder
        super().__init__(
            f"the DVC remote '{remote}' is a folder that this server does not have; "
            "its operator can copy it there, or serve from another remote with "
            f"'{option}'"
        )

    @property
    def for_log(self) -> str:
        """The message for the operator, with the folder."""
        return f"{self}; the folder is '{self.folder}'"


class RemoteOutsideError(RefusedError):
    """A DVC remote is where this repo's remotes must not be."""

    status = 500

    def __init__(self, repo: str, remote: str, key: str = "roots") -> None:
        """Say how to allow it.

        Args:
            repo: Its label.
            remote: Its name.
            key: Of the server's config.
        """
        self.repo, self.remote = repo, remote
        super().__init__(
            f"the DVC remote '{remote}' of '{repo}' is in a place that this server "
            f"does not allow for this repo; its operator can allow it with '{key}'"
        )


class RemoteUnreadableError(RefusedError):
    """A DVC remote cannot be read, maybe only for now."""

    status = 502

    def __init__(self, remote: str, error: Exception) -> None:
        self.remote = remote
        # Services quote secrets; only the operating system's text is safe.
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        super().__init__(f"the DVC remote '{remote}' cannot be read: {reason}")


class RemoteTypeError(RefusedError):
    """The model is on a kind of remote for which this server cannot sign links."""

    status = 500

    def __init__(self, remote: str, protocol: str, known: Iterable[str]) -> None:
        self.remote, self.protocol = remote, protocol
        super().__init__(
            f"the DVC remote '{remote}' is of type '{protocol}', for which this server "
            f"cannot sign links; it can for: {', '.join(known)}"
        )


class RemoteVersionsError(RefusedError):
    """The remote is cloud-versioned, of a kind for which links cannot be signed."""

    status = 500

    def __init__(self, remote: str, protocol: str, known: Iterable[str]) -> None:
        self.remote, self.protocol = remote, protocol
        super().__init__(
            f"the DVC remote '{remote}' of type '{protocol}' is cloud-versioned, and "
            f"this server can sign links to versions only for: {', '.join(known)}"
        )


class RemotePackageError(RefusedError):
    """DVC lacks the package for this kind of remote."""

    status = 500

    def __init__(self, remote: str, protocol: str) -> None:
        self.remote, self.protocol = remote, protocol
        super().__init__(
            f"the DVC remote '{remote}' is of type '{protocol}', whose package is not "
            f"installed on this server; run pip install 'dvc[{protocol}]' there"
        )


class RemoteSecretError(RefusedError):
    """Links to the remote would have to contain its password."""

    status = 500

    def __init__(self, remote: str, protocol: str) -> None:
        self.remote, self.protocol = remote, protocol
        super().__init__(
            f"the DVC remote '{remote}' is of type '{protocol}' and needs a "
            "password, which a link cannot contain; serve from a remote without one"
        )


class SigningError(RefusedError):
    """The server has no credentials of the remote that allow signing."""

    status = 500

    def __init__(self, remote: str, needs: str) -> None:
        self.remote = remote
        super().__init__(
            f"cannot sign links for the DVC remote '{remote}': this server needs "
            f"{needs}"
        )


class RemoteMissingError(RefusedError):
    """There is no such DVC remote, or no default one."""

    status = 500

    def __init__(self, repo: str, reason: str) -> None:
        self.repo = repo
        super().__init__(f"no DVC remote to serve '{repo}' from: {reason}")


class ChosenRemoteMissingError(RefusedError):
    """The DVC remote that the operator chose does not exist."""

    status = 500

    def __init__(self, repo: str, remote: str) -> None:
        self.repo, self.remote = repo, remote
        super().__init__(
            f"this server is set to serve from the DVC remote '{remote}', which the "
            f"config of '{repo}' does not have; its operator can fix that"
        )


class ConfigUnreadableError(RefusedError):
    """A DVC config cannot be read; the reason is only in the server's log."""

    status = 500

    def __init__(self) -> None:
        super().__init__(
            "the server cannot read the repo's DVC config; its log has details"
        )
