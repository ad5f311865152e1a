"""Replies about models, versions and objects that cannot be served. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.server.errors.requests import RefusedError, list_some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dvc_studio_models.model import ModelVersion


class ModelMissingError(RefusedError):
    """No tag registers such a model, version or stage."""

    status = 404


class ModelAmbiguousError(RefusedError):
    """Several repos have a model of this name."""

    def __init__(self, name: str, repos: Sequence[str]) -> None:
        self.name, self.repos = name, repos
        super().__init__(
            f"several repos have a model '{name}'; choose one of them with the "
            f"parameter 'repo': {list_some(repos)}"
        )


class NotStoredError(RefusedError):
    """The version is registered, but its files cannot be listed."""

    status = 404

    def __init__(self, name: str, version: ModelVersion, reason: str) -> None:
        self.name, self.version = name, version
        at = f"'{name}' {version.version} (commit {version.commit[:7]})"
        super().__init__(f"cannot determine the files of {at}: {reason}")


class TooManyFilesError(RefusedError):
    """A version has more files than a reply may list."""

    status = 500

    def __init__(self, path: str, limit: str) -> None:
        self.path = path
        super().__init__(
            f"'{path}' has too many files for this server: it lists at most {limit}; "
            "store them in an archive, or read them with 'dvc pull' in a clone"
        )


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
        some = list_some(f"'{path}'" for path in paths)
        super().__init__(
            f"'{name}' {version.version} (commit {version.commit[:7]}) is incomplete: "
            f"{len(paths)} of {of} files are not on the DVC remote; run 'dvc push' "
            f"where it was trained: {some}"
        )


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


class RangeMissingError(RefusedError):
    """The object has none of the bytes that the client wants."""

    status = 416

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the object has {size} bytes, and none of this range")

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the reply."""
        return {"Content-Range": f"bytes */{self.size}"}
