"""Asks a host that is not Studio: a Git host, or an issuer of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import requests

from dvc_studio_models.http.failures import describe_error
from dvc_studio_models.http.session import ReplyTooLarge, fetch, make_session
from dvc_studio_models.http.urls import RedirectRejected, TooManyRedirects, redact_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dvc_studio_models.http.studio.reply import Reply

TIMEOUT_S = 10.0
"""The longest time for a whole reply, in seconds."""

MAX_BYTES = 1 << 20


class HostFailed(Exception):  # noqa: N818 - callers say what they needed it for
    """A host did not reply, or with something that cannot be used.

    The message names the host, and contains neither a query nor a token.
    """

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"'{redact_url(url)}': {reason}")


class HostClient:
    """Keeps the connections to hosts. May be used by several threads at once."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._session = make_session()

    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a request, once.

        Args:
            url: Sent byte for byte.
            headers: Sent to this origin only.

        Raises:
            HostFailed: There was no reply, a redirect to another origin, or too much.
            ThreadLimitError: The system refuses to start a thread.
        """
        try:
            return fetch(
                self._session,
                url,
                headers=headers,
                read_timeout_s=self._timeout_s,
                reply_timeout_s=self._timeout_s,
                max_bytes=MAX_BYTES,
            )
        except requests.RequestException as error:
            reason = describe_error(error)
        except TimeoutError:
            reason = f"the reply took more than {self._timeout_s:.0f} s"
        except RedirectRejected as error:
            reason = f"it redirects to {error.target or 'an unreadable URL'}"
        except TooManyRedirects as error:
            reason = str(error)
        except ReplyTooLarge:
            reason = f"its reply is larger than {MAX_BYTES >> 20} MiB"
        raise HostFailed(url, reason)  # here: its context may contain the token

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
