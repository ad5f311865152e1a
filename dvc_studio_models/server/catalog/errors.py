"""All error replies: their facts, messages and HTTP statuses. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioModelsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dvc_studio_models.model import ModelVersion

_LISTED = 5  # paths in a message, which then says how many more there are


class RefusedError(StudioModelsError):
    """The request cannot be answered; the client gets the message."""

    status = 400


class BadRequestError(RefusedError):
    """A parameter is missing, doubled, contradictory or unreadable."""


class TokenRefusedError(RefusedError):
    """The request has no token, or an unknown one."""

    status = 401

    def __init__(self, *, given: bool) -> None:
        super().__init__(
            "invalid token"
            if given
            else "authentication credentials were not provided; "
            "send the header 'Authorization: token <TOKEN>'"
        )


class RepoNotServedError(RefusedError):
    """No served repo has this URL or name."""

    status = 404

    def __init__(self, repo: str, served: Iterable[str]) -> None:
        self.repo = repo
        super().__init__(f"repo '{repo}' is not served; served: {', '.join(served)}")


class ModelMissingError(RefusedError):
    """No tag registers such a model, version or stage."""

    status = 404


class NotStoredError(RefusedError):
    """The version is registered, but its files cannot be listed."""

    status = 404

    def __init__(self, name: str, version: ModelVersion, reason: str) -> None:
        self.name, self.version = name, version
        at = f"'{name}' {version.version} (commit {version.commit[:7]})"
        super().__init__(f"cannot determine the files of {at}: {reason}")


class RepoUnreadableError(RefusedError):
    """This server's copy of the repo cannot be read, or lacks something."""

    status = 500

    def __init__(self, repo: str, reason: str) -> None:
        self.repo, self.reason = repo, reason
        super().__init__(
            f"this server cannot read its copy of '{repo}': {reason}; its operator can "
            "fix that"
        )


class NotPushedError(RefusedError):
    """Objects of a version are not on their remote."""

    status = 404

    def __init__(
        self, name: str, version: ModelVersion, paths: Sequence[str], *, of: int
    ) -> None:
        self.name, self.version, self.paths = name, version, paths
        some = ", ".join(f"'{path}'" for path in paths[:_LISTED])
        more = f" and {len(paths) - _LISTED} more" if len(paths) > _LISTED else ""
        super().__init__(
            f"'{name}' {version.version} (commit {version.commit[:7]}) is incomplete: "
            f"{len(paths)} of {of} files are not on the DVC remote; run 'dvc push' "
            f"where it was trained: {some}{more}"
        )


class RemoteFolderMissingError(RefusedError):
    """The DVC remote is a folder that this machine does not have."""

    status = 502

    def __init__(self, remote: str, folder: str) -> None:
        self.remote, self.folder = remote, folder
        super().__init__(
            f"the DVC remote '{remote}' is the folder '{folder}', which this server "
            "does not have; its operator can copy it there, or serve from another "
            "remote with '--remote NAME'"
        )


class RemoteUnreadableError(RefusedError):
    """A DVC remote cannot be read, maybe only for now."""

    status = 502

    def __init__(self, remote: str, error: Exception) -> None:
        self.remote = remote
        # Services quote secrets; only the operating system's text is safe.
        reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
        super().__init__(f"the DVC remote '{remote}' cannot be read: {reason}")


class StorageSilentError(RefusedError):
    """A DVC remote, or the file system of one, has not answered in time."""

    status = 504

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the DVC remote has not answered within {seconds:.0f} s; try again later"
        )


class GitSilentError(RefusedError):
    """Git, or the file system of the repo, has not answered in time."""

    status = 504

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"this server could not read its copy of the repo within {seconds:.0f} s; "
            "try again later, or ask its operator"
        )


class BusyError(RefusedError):
    """Too many requests wait for DVC remotes."""

    status = 503

    def __init__(self) -> None:
        super().__init__("too many requests wait for DVC remotes; try again later")


class GitBusyError(RefusedError):
    """There are too many requests for one repo."""

    status = 503

    def __init__(self) -> None:
        super().__init__("too many requests for this repo at once; try again later")


class RepoNotOpenError(RefusedError):
    """Git has not opened this server's copy of a repo yet."""

    status = 503

    def __init__(self, repos: Iterable[str]) -> None:
        self.repos = tuple(repos)
        named = "', '".join(self.repos)
        super().__init__(
            f"this server has not been able to read its copy of '{named}' yet; try "
            "again later, or ask its operator"
        )


class StoppingError(RefusedError):
    """The server was told to stop before it had an answer."""

    status = 503

    def __init__(self) -> None:
        super().__init__("this server is being stopped; try again later")


class RemoteTypeError(RefusedError):
    """The model is on a kind of remote for which this server cannot sign links."""

    def __init__(self, remote: str, protocol: str, known: Iterable[str]) -> None:
        self.remote, self.protocol = remote, protocol
        super().__init__(
            f"the DVC remote '{remote}' is of type '{protocol}', for which this server "
            f"cannot sign links; it can for: {', '.join(known)}"
        )


class RemoteVersionsError(RefusedError):
    """The remote is cloud-versioned, of a kind for which links cannot be signed."""

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
        super().__init__("the server's DVC config cannot be read; its log has details")


class LinkError(RefusedError):
    """The link's signature is wrong, or it has expired."""

    status = 403


class ObjectMissingError(RefusedError):
    """The link is valid, but the object is not on the remote."""

    status = 404

    def __init__(self, name: str) -> None:
        super().__init__(f"object '{name}' is not on the DVC remote; was it pushed?")


class ObjectChangedError(RefusedError):
    """The object does not have the ETag that the client requires."""

    status = 412

    def __init__(self, name: str) -> None:
        super().__init__(
            f"object '{name}' has a different ETag than 'If-Match' requires"
        )
