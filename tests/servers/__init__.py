"""Servers for tests: object storage and Studio, with real HTTP on loopback.

    with FileServer() as files, StudioServer() as studio:
        studio.serve("churn", files.publish({"models/churn.pkl": b"..."}), stage="prod")
        files.script(Behaviour(cut_after=2), busy(503, retry_after=1))

Both record every request (``server.requests``). Their ``behaviour`` can be changed
while they run. They stop at once, even if clients or their own pauses still wait.
"""

from servers.behaviour import (
    ACCESS_DENIED,
    AZURE_REFUSED,
    NO_SUCH_KEY,
    OK,
    REQUEST_EXPIRED,
    TOKEN_EXPIRED,
    Behaviour,
    Redirect,
    azure_error,
    busy,
    http_date,
    json_reply,
    s3_error,
)
from servers.files import FileServer
from servers.links import PLANTED_SECRETS, PLANTED_TOKEN, object_path, signed
from servers.server import free_port, wait_until
from servers.studio import ENDPOINT, REPO_REFUSED, StudioServer
from servers.wire import Exchange

__all__ = [
    "ACCESS_DENIED",
    "AZURE_REFUSED",
    "ENDPOINT",
    "NO_SUCH_KEY",
    "OK",
    "PLANTED_SECRETS",
    "PLANTED_TOKEN",
    "REPO_REFUSED",
    "REQUEST_EXPIRED",
    "TOKEN_EXPIRED",
    "Behaviour",
    "Exchange",
    "FileServer",
    "Redirect",
    "StudioServer",
    "azure_error",
    "busy",
    "free_port",
    "http_date",
    "json_reply",
    "object_path",
    "s3_error",
    "signed",
    "wait_until",
]
