"""Signs in with a token, signs out, and says who looks at a page."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse

from dvc_studio_models.server.errors.models import ModelMissingError
from dvc_studio_models.server.errors.requests import (
    BadRequestError,
    RefusedError,
    RepoNotServedError,
    TokenRefusedError,
)
from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.monitoring.access_log import note
from dvc_studio_models.server.routes.parameters import path_prefix, server_url
from dvc_studio_models.server.web.forms import read_form
from dvc_studio_models.server.web.rendering import HEADERS, clock, root_of
from dvc_studio_models.server.web.sessions import SESSION_S, Sessions, cookie_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from dvc_studio_models.server.access.principal import Principal
    from dvc_studio_models.server.site.site import Site
    from dvc_studio_models.server.web.rendering import Renderer

_NEXT = re.compile(r"(?:models/[^\s\\]+|\?[^\s\\]*)?")
"""One of our own pages, relative to the first page."""


class SignIn:
    """The form to sign in, and the cookie of who has."""

    def __init__(self, site: Site, renderer: Renderer) -> None:
        """Take the key of the cookies from the environment."""
        self._site = site
        self._renderer = renderer
        self._sessions = Sessions.from_environment()

    async def authenticate(self, request: Request) -> Principal:
        """Return who looks at a page, and note him for the log.

        Raises:
            TokenRefusedError: He has not signed in, or his token is not accepted now.
        """
        token = self._sessions.open(self._cookie(request)) or ""
        principal = await self._site.access.authenticate_token(token)
        if principal.name:
            note(request, user=principal.name)
        return principal

    async def show(self, request: Request) -> Response:
        """Show the form to sign in, or the first page to who has."""
        following = request.query_params.get("next", "")
        try:
            if self._cookie(request):
                await self.authenticate(request)
                return redirect(request, following)
        except TokenRefusedError:
            pass
        except RefusedError as error:
            return self.show_error(request, error)
        return self.ask(request, following=following)

    async def sign_in(self, request: Request) -> Response:
        """Check a token, and set the cookie that holds it."""
        try:
            form = await read_form(request)
        except RefusedError as error:
            return self.show_error(request, error)
        token, following = form.get("token", "").strip(), form.get("next", "")
        try:
            principal = await self._site.access.authenticate_token(token)
        except TokenRefusedError as error:
            metrics.refused_tokens.labels("invalid" if error.given else "missing").inc()
            said = "This token is not accepted." if token else "Enter a token."
            return self.ask(request, following=following, said=said, error=error)
        except RefusedError as error:
            return self.show_error(request, error)
        note(request, user=principal.name)
        value = self._sessions.seal(token)
        if value is None:
            said = "This token is too long to sign in with."
            too_long = BadRequestError(said)
            return self.ask(request, following=following, said=said, error=too_long)
        life = SESSION_S
        if principal.ends:
            life = min(life, max(int(principal.ends.timestamp()) - clock(), 0))
        answer = redirect(request, following)
        self._set_cookie(request, answer, value, life)
        return answer

    async def sign_out(self, request: Request) -> Response:
        """Remove the cookie."""
        try:
            await read_form(request)
        except RefusedError as error:
            return self.show_error(request, error)
        answer = redirect(request, "")
        self._set_cookie(request, answer, "", 0)
        return answer

    def ask(
        self,
        request: Request,
        *,
        following: str,
        said: str = "",
        error: RefusedError | None = None,
    ) -> Response:
        """Show the form to sign in.

        A link on another site comes without the cookie, as that is ``SameSite=Strict``.
        Then the page loads itself once more, which comes with it.

        Args:
            request: For any page.
            following: The page to open then, relative to the first page.
            said: What was wrong, in one sentence.
            error: Why the page that was requested is not shown.
        """
        is_followed = request.headers.get("sec-fetch-site") == "cross-site"
        if is_followed and request.method == "GET" and not self._cookie(request):
            return self._renderer.render(request, "again.html")
        if not said and self._cookie(request):
            said = "Your session has ended. Sign in again."
        answer = self._renderer.render(
            request,
            "sign_in.html",
            status=error.status if error else HTTPStatus.OK,
            said=said,
            following=following if _NEXT.fullmatch(following) else "",
            user=None,
            is_signed_in=False,
        )
        answer.headers.update(error.headers if error else {})
        if self._cookie(request):
            self._set_cookie(request, answer, "", 0)
        return answer

    def show_error(self, request: Request, error: RefusedError) -> Response:
        """Show an error. What one may not see is answered as what there is not."""
        if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            note(request, detail=error)
        is_missing = error.status == HTTPStatus.NOT_FOUND
        message = None if isinstance(error, RepoNotServedError) else str(error)
        if is_missing and not isinstance(error, ModelMissingError):
            message = None
        return self._renderer.render(
            request,
            "error.html",
            status=error.status,
            title=_title_of(request, error),
            message=message,
            is_missing=is_missing,
            has_selector=bool(
                message and {"version", "stage"} & {*request.query_params}
            ),
            is_signed_in=bool(self._cookie(request)),
            user=None,
        )

    def _cookie(self, request: Request) -> str:
        return request.cookies.get(cookie_of(self._server_url(request)), "")

    def _set_cookie(
        self, request: Request, answer: Response, value: str, life_s: int
    ) -> None:
        behind_proxy = self._site.config.behind_proxy
        answer.set_cookie(
            cookie_of(self._server_url(request)),
            value,
            max_age=life_s,
            path=f"{path_prefix(request, behind_proxy=behind_proxy)}/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def _server_url(self, request: Request) -> str:
        return server_url(request, behind_proxy=self._site.config.behind_proxy)


def _title_of(request: Request, error: RefusedError) -> str:
    """Return what went wrong, in few words; the message says more."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return "Not available at the moment"
    if request.method == "POST":
        return "The form was not accepted"
    is_missing = error.status == HTTPStatus.NOT_FOUND
    return "Not found" if is_missing else "This address is not valid"


def redirect(request: Request, following: str) -> Response:
    """Lead to one of our own pages, whatever a form says."""
    path = following if _NEXT.fullmatch(following) else ""
    headers = {name: HEADERS[name] for name in ("Cache-Control", "Referrer-Policy")}
    return RedirectResponse(f"{root_of(request)}{path}", HTTPStatus.SEE_OTHER, headers)
