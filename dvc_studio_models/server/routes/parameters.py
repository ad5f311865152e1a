"""Reads and checks the parameters of requests."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from dvc_studio_models.errors import UsageError
from dvc_studio_models.model import ModelRef
from dvc_studio_models.server.errors.requests import BadRequestError
from dvc_studio_models.server.site.overview import MAX_MODELS, Position, Query

if TYPE_CHECKING:
    from starlette.requests import Request

PARAMETER_CHARS = 1000  # a URL, or a model's name; longer ones are refused

_REMOVED_PREFIX = re.compile("((?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,9})/?")


def read_parameter(request: Request, name: str, *, required: bool = False) -> str:
    """Return a parameter of the query, empty if it is not given.

    Raises:
        BadRequestError: It is missing, given twice or too long.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        msg = f"parameter '{name}' is given {len(values)} times"
        raise BadRequestError(msg)
    value = values[0] if values else ""
    if required and not value:
        msg = f"parameter '{name}' is {'empty' if values else 'required'}"
        raise BadRequestError(msg)
    _check_length(name, value)
    return value


def server_url(request: Request, *, behind_proxy: bool) -> str:
    """Return how the client reached this server, without the final slash.

    Args:
        request: The request. A prefix in its path is a part of the URL.
        behind_proxy: Whether to accept ``X-Forwarded-Prefix``, which names a prefix
            that the proxy has removed.
    """
    prefix = path_prefix(request, behind_proxy=behind_proxy)
    return f"{request.base_url}".rstrip("/") + prefix


def path_prefix(request: Request, *, behind_proxy: bool) -> str:
    """Return the path of :func:`server_url`, empty or from its first slash on.

    Args:
        request: The request.
        behind_proxy: Whether to accept ``X-Forwarded-Prefix``.
    """
    prefix = quote(request.path_params.get("prefix", ""))
    given = request.headers.get("x-forwarded-prefix", "") if behind_proxy else ""
    found = _REMOVED_PREFIX.fullmatch(given)
    removed = found[1] if found else ""
    if f"/{prefix}/".startswith(f"{removed}/"):
        removed = ""
    return f"{removed}/{prefix}".rstrip("/")


def read_ref(request: Request, name: str) -> ModelRef:
    """Return the model, and the version or stage, that a request selects.

    Raises:
        BadRequestError: A parameter is not valid.
    """
    version = read_parameter(request, "version")
    stage = read_parameter(request, "stage")
    _check_length("name", name)
    if re.search("[@#]", name):
        msg = "parameter 'name' is a model name; use 'version' or 'stage' to select"
        raise BadRequestError(msg)
    try:
        return ModelRef.parse(name, version=version or None, stage=stage or None)
    except UsageError as exc:
        raise BadRequestError(str(exc)) from None


def read_query(request: Request, *, limit: int | None) -> Query:
    """Return which models of a list a request wants.

    Args:
        request: The request.
        limit: The most models, if the request does not say how many; None for all.

    Raises:
        BadRequestError: A parameter is not valid.
    """
    given = read_parameter(request, "limit")
    if given:
        if not re.fullmatch("[0-9]{1,6}", given) or not 0 < int(given) <= MAX_MODELS:
            msg = f"parameter 'limit' is a number from 1 to {MAX_MODELS}"
            raise BadRequestError(msg)
        limit = int(given)
    after = read_parameter(request, "after")
    return Query(
        search=read_parameter(request, "search"),
        stage=read_parameter(request, "stage"),
        after=_read_position(after) if after else None,
        limit=limit,
    )


def write_position(position: Position) -> str:
    """Write where a page of a list ends, for the parameter ``after``."""
    raw = json.dumps(position).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _read_position(text: str) -> Position:
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        repo, model = json.loads(raw)
        if isinstance(repo, str) and isinstance(model, str):
            return Position(repo, model)
    except (ValueError, TypeError, RecursionError):
        pass
    msg = "parameter 'after' is not the 'next' of an earlier page"
    raise BadRequestError(msg)


def _check_length(name: str, value: str) -> None:
    if len(value) > PARAMETER_CHARS:
        msg = f"parameter '{name}' is longer than {PARAMETER_CHARS} characters"
        raise BadRequestError(msg)
