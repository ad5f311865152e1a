"""The listing of ``dvc models serve``: which models a repo has, and all of one.

Hosted Studio has no such endpoint. A reply is checked for form and size before it is
used; keys that are not known yet are ignored.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dvc_studio_models.errors import (
    ListingMissingError,
    ModelNotFoundError,
    RepoNotFoundError,
    StudioResponseError,
    UsageError,
)
from dvc_studio_models.model import (
    ModelDetails,
    ModelRef,
    ModelSummary,
    RegisteredVersion,
    TagEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dvc_studio_models.errors import StudioError
    from dvc_studio_models.http.studio.reply import Reply
    from dvc_studio_models.http.studio.request import StudioConnection

ENDPOINT = "/api/model-registry/models"
MAX_MODELS = 100_000
"""The most models of a repo; a server that sends more of them is not believed."""

MAX_PAGES = 1000
"""The most pages of a listing; servers choose how many models one has."""

_PAGE_MODELS = 1000  # servers that know no pages ignore this, and send all
_TEXT_CHARS = 20_000
_MAX_NUMBER = 1 << 63
_MAX_ENTRIES = 20_000  # more versions or events would take many seconds to check
_NOT_FOUND = {"not found", ""}
"""What frameworks answer where there is no such endpoint."""

_EVENTS = (
    "registration",
    "deregistration",
    "assignment",
    "unassignment",
    "deprecation",
)


class ListingClient:
    """Asks one server which models a repo has."""

    def __init__(self, studio: StudioConnection) -> None:
        self._studio = studio

    def list_models(self, repo_url: str) -> list[ModelSummary]:
        """List the registered models of a repo, page by page.

        Raises:
            StudioError: The server does not know the repo, has no listing, or did not
                answer; see :meth:`StudioConnection.get`.
        """
        found: list[ModelSummary] = []
        place: dict[str, str] = {}
        for _ in range(MAX_PAGES):
            reply = self._ask(
                ENDPOINT,
                {"repo": repo_url, "limit": str(_PAGE_MODELS), **place},
                lambda detail: RepoNotFoundError(repo_url, detail),
            )
            page = self._check(reply, _models())
            if page.get("unavailable"):
                raise StudioResponseError(
                    self._studio.url, "it cannot read all of the repo now"
                )
            found += (
                ModelSummary(
                    model["name"],
                    tuple(model["versions"]),
                    model["stages"],
                    model.get("date"),
                )
                for model in page["models"]
            )
            if page.get("next") is None:
                return found
            if len(found) >= MAX_MODELS:
                break
            if not page["models"] or place == {"after": page["next"]}:
                raise StudioResponseError(
                    self._studio.url, "a page of models has no end"
                )
            place = {"after": page["next"]}
        raise StudioResponseError(
            self._studio.url, f"more than {MAX_MODELS} models, or {MAX_PAGES} pages"
        )

    def describe(self, repo_url: str, ref: ModelRef) -> ModelDetails:
        """Describe a model, and the version that ``ref`` selects, or the latest.

        Raises:
            StudioError: See :meth:`list_models`.
        """
        reply = self._ask(
            f"{ENDPOINT}/{quote(ref.name, safe='')}",
            {"repo": repo_url, **ref.requested},
            lambda detail: ModelNotFoundError(ref, repo_url, detail),
        )
        found = self._check(reply, _details())
        versions = tuple(RegisteredVersion(**v) for v in found.pop("versions"))
        history = tuple(TagEvent(**event) for event in found.pop("history"))
        if found["name"] != ref.name:
            raise StudioResponseError(self._studio.url, "it describes another model")
        return ModelDetails(**found, versions=versions, history=history)

    def _ask(
        self,
        endpoint: str,
        query: Mapping[str, str],
        not_found: Callable[[str], StudioError],
    ) -> Reply:
        reply = self._studio.get(endpoint, query)
        is_ok = reply.status == HTTPStatus.OK
        detail = reply.detail.strip(" .").lower()
        is_missing = reply.status == HTTPStatus.NOT_FOUND and detail in _NOT_FOUND
        if is_missing or reply.status == HTTPStatus.METHOD_NOT_ALLOWED:
            raise ListingMissingError(self._studio.url, is_list=endpoint == ENDPOINT)
        if is_ok and not reply.has_json_type:  # the page of a single-page application
            raise ListingMissingError(self._studio.url, is_list=endpoint == ENDPOINT)
        if not is_ok:
            raise self._studio.refusal(reply, not_found)
        return reply

    def _check(self, reply: Reply, schema: Any) -> dict[str, Any]:
        """Return the JSON of a reply after checking every field.

        Raises:
            StudioResponseError: It does not have the documented form.
        """
        from voluptuous import MultipleInvalid

        try:
            checked: dict[str, Any] = schema(self._studio.read(reply))
        except MultipleInvalid as error:
            where = "".join(f"[{key!r:.80}]" for key in error.errors[0].path)
            reason = f"{error.errors[0].msg} at {where or 'the top'}"
            raise StudioResponseError(self._studio.url, reason) from None
        return checked


# The form of the replies


def _schema(fields: dict[str, Any], optional: dict[str, Any] | None = None) -> Any:
    from voluptuous import REMOVE_EXTRA, Optional, Required, Schema

    keys: dict[Any, Any] = {Required(key): value for key, value in fields.items()}
    keys.update((Optional(key), value) for key, value in (optional or {}).items())
    return Schema(keys, extra=REMOVE_EXTRA)


def _models() -> Any:
    from voluptuous import Maybe

    model = {"name": _name, "versions": [_version], "stages": _stages}
    return _schema(
        {"models": [_schema(model, {"date": Maybe(_date)})]},
        {"next": Maybe(_text), "unavailable": Maybe(list)},
    )


def _details() -> Any:
    from voluptuous import All, Any, Coerce, In, Maybe, Range

    made = {"commit": _commit, "author": _text, "email": _text, "message": _text}
    version = {"version": Maybe(_version), "stages": [_stage], **made}
    event = {
        "event": In(_EVENTS),
        "version": Maybe(_version),
        "stage": Maybe(_stage),
        "tag": _text,
        **made,
    }
    number = All(int, Range(min=0, max=_MAX_NUMBER))
    return _schema(
        {
            "name": _name,
            "version": Maybe(_version),
            "commit": Maybe(_commit),
            "path": Maybe(_text),
            "type": Maybe(_text),
            "description": Maybe(_text),
            "labels": All([_text], Coerce(tuple)),
            "size": Any(None, number),
            "nfiles": Any(None, number),
            "stages": _stages,
            "versions": All(_short, [All(_dated(version), _with_stages)]),
            "history": All(_short, [_dated(event)]),
        }
    )


def _dated(fields: dict[str, Any]) -> Any:
    """Return the schema of something with a date, which becomes a time."""
    from voluptuous import All

    def timed(value: dict[str, Any]) -> dict[str, Any]:
        time = value.pop("date")
        return {**value, "time": time}

    return All(_schema({**fields, "date": _date}), timed)


def _with_stages(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "stages": tuple(value["stages"])}


def _short(value: object) -> object:
    from voluptuous import Invalid

    if isinstance(value, list) and len(value) > _MAX_ENTRIES:
        msg = f"more than {_MAX_ENTRIES} entries"
        raise Invalid(msg)
    return value


def _text(value: object) -> str:
    from voluptuous import Invalid

    if not isinstance(value, str) or len(value) > _TEXT_CHARS:
        msg = "expected a text"
        raise Invalid(msg)
    return value


def _name(value: object) -> str:
    return _parsed(_text(value), lambda text: ModelRef.parse(text).name)


def _stage(value: object) -> str:
    return _parsed(
        _text(value), lambda text: str(ModelRef.parse("m", stage=text).stage)
    )


def _stages(value: object) -> dict[str, str]:
    from voluptuous import Invalid

    if not isinstance(value, dict):
        msg = "expected a dictionary"
        raise Invalid(msg)
    return {_stage(stage): _version(version) for stage, version in value.items()}


def _version(value: object) -> str:
    """Check a version, or the commit of a stage that has none."""
    text = _text(value)
    if _is_commit(text):
        return text
    return _parsed(text, lambda text: str(ModelRef.parse("m", version=text).version))


def _parsed(text: str, parse: Callable[[str], str]) -> str:
    from voluptuous import Invalid

    try:
        if parse(text) == text:
            return text
    except UsageError:
        pass
    msg = "not a valid name or version"
    raise Invalid(msg)


def _commit(value: object) -> str:
    from voluptuous import Invalid

    text = _text(value)
    if not _is_commit(text):
        msg = "not a commit"
        raise Invalid(msg)
    return text


def _is_commit(text: str) -> bool:
    return len(text) in {40, 64} and not set(text) - set("0123456789abcdef")


def _date(value: object) -> int:
    from voluptuous import Invalid

    try:
        moment = datetime.strptime(f"{_text(value)}+0000", "%Y-%m-%dT%H:%M:%SZ%z")
    except ValueError:
        msg = "not a date"
        raise Invalid(msg) from None
    return int(moment.timestamp())
