"""The token of the CI job that this process runs in, as GitHub issues it on request."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from dvc_studio_models.http.failures import status_text
from dvc_studio_models.http.hosts.client import HostClient, HostFailed
from dvc_studio_models.http.studio.reply import ReplyError

if TYPE_CHECKING:
    from dvc_studio_models.http.studio.reply import Reply
    from dvc_studio_models.model import JobIdentity

OK = 200
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_OFFER = re.compile(r'\bbearer\b[^,]*?\bissuer="[^"]+"', re.IGNORECASE)


def is_offered(reply: Reply) -> bool:
    """Return whether a server that refused a request accepts tokens of jobs."""
    return bool(_OFFER.search(reply.headers.get("WWW-Authenticate", "")))


def may_be_sent(url: str) -> bool:
    """Return whether a job's token may be sent to a server without being asked for it.

    Plain http is for loopback alone.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" or host in {"localhost", "127.0.0.1", "::1"}


def audience_of(url: str) -> str:
    """Return the origin of a server: the only place where the token is of any use.

    It is made of the user's own setting. A server must not name it: it could use the
    token at the server that it named.
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2].lower()
    default = {"https": ":443", "http": ":80"}[parts.scheme]
    return f"{parts.scheme}://{host.removesuffix(default)}"


def request_token(job: JobIdentity, audience: str) -> str:
    """Ask GitHub for a token of this job.

    Raises:
        HostFailed: It did not reply with one.
    """
    separator = "&" if "?" in job.url else "?"
    url = f"{job.url}{separator}audience={quote(audience, safe='')}"
    headers = {"Authorization": f"bearer {job.token}", "Accept": "application/json"}
    with contextlib.closing(HostClient()) as client:
        reply = client.get(url, headers)
    if reply.status != OK:
        raise HostFailed(job.url, f"it answered {status_text(reply.status)}")
    with contextlib.suppress(ReplyError, json.JSONDecodeError):
        token = reply.read().get("value")
        if isinstance(token, str) and _JWT.fullmatch(token):
            return token
    raise HostFailed(job.url, "its reply contains no token")
