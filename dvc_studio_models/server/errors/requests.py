"""Replies to requests that are refused, or for which there is no time. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dvc_studio_models.errors import StudioModelsError

if TYPE_CHECKING:
    from collections.abc import Iterable


LISTED = 5
"""Paths or repos in a message, which then says how many more there are."""


def list_some(names: Iterable[str]) -> str:
    """Write the first names, and how many more there are."""
    some = list(names)
    more = f" and {len(some) - LISTED} more" if len(some) > LISTED else ""
    return ", ".join(some[:LISTED]) + more


class RefusedError(StudioModelsError):
    """The request cannot be answered; the client gets the message."""

    status = 400

    @property
    def for_log(self) -> str:
        """The message for the operator, which may name paths of this machine."""
        return str(self)

    @property
    def headers(self) -> dict[str, str]:
        """Further headers of the reply."""
        return {}


class BadRequestError(RefusedError):
    """A parameter is missing, doubled, contradictory or unreadable."""


class TokenRefusedError(RefusedError):
    """The request has no token, or an unknown one."""

    status = 401

    def __init__(self, *, given: bool, issuers: Iterable[str] = ()) -> None:
        """Say what is accepted.

        Args:
            given: Whether the request has a token.
            issuers: Of tokens of CI jobs that are accepted.
        """
        self._challenge = 'token realm="models", Bearer realm="models"'
        if urls := " ".join(sorted(issuers)):
            self._challenge += f' issuer="{urls}"'
        self.given = given
        super().__init__(
            "invalid token"
            if given
            else "authentication credentials were not provided; "
            "send the header 'Authorization: token <TOKEN>'"
        )

    @property
    def headers(self) -> dict[str, str]:
        """What the header ``Authorization`` may be."""
        return {"WWW-Authenticate": self._challenge}


class TokenUncheckedError(RefusedError):
    """It could not be checked whether a token is accepted."""

    status = 503

    def __init__(self, reason: str = "its issuer or Git host does not respond") -> None:
        super().__init__(
            f"this server could not check the token: {reason}; try again later"
        )


class AllReposNeededError(RefusedError):
    """The token is for some repos only."""

    status = 403

    def __init__(self) -> None:
        super().__init__("metrics are of all repos, and this token is for some only")


class RepoNotServedError(RefusedError):
    """No served repo has this URL or name."""

    status = 404

    def __init__(self, repo: str, served: Iterable[str]) -> None:
        self.repo = repo
        names = list_some(served)
        seen = f"served: {names}" if names else "no repo is served that you may see"
        super().__init__(f"repo '{repo}' is not served; {seen}")


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
    """Git cannot open this server's copy of a repo, or it is gone for now."""

    status = 503

    def __init__(self, repos: Iterable[str]) -> None:
        self.repos = tuple(repos)
        named = list_some(f"'{repo}'" for repo in self.repos)
        super().__init__(
            f"this server cannot read its copy of {named} now; try again later, or ask "
            "its operator"
        )


class TooManyUnreadError(RefusedError):
    """Clients have not read other large replies yet."""

    status = 503

    def __init__(self) -> None:
        super().__init__(
            "too many clients have not read large replies yet; try again later"
        )


class StoppingError(RefusedError):
    """The server was told to stop before it had an answer."""

    status = 503

    def __init__(self) -> None:
        super().__init__("this server is being stopped; try again later")


class LinkError(RefusedError):
    """The link's signature is wrong, or it has expired."""

    status = 403


class WebhookRefusedError(RefusedError):
    """No mirror has this name and a secret, or the signature is wrong."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "no mirror of this name accepts webhooks, or the signature is wrong; the "
            "Git host has to be given the 'webhook_secret' of the server's config"
        )


class BodyRefusedError(RefusedError):
    """The body of a request is too large or too slow."""

    def __init__(self, status: int, reason: str) -> None:
        self.status = status
        super().__init__(f"the body of the request {reason}")
