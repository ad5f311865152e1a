"""The routes for those who run the server: whether it works, and what it counts."""

from __future__ import annotations

from datetime import datetime, timezone
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dvc_studio_models import __version__
from dvc_studio_models.server.errors.requests import AllReposNeededError, RefusedError
from dvc_studio_models.server.monitoring import metrics
from dvc_studio_models.server.site.readiness import Readiness

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from dvc_studio_models.server.site.readiness import RepoState
    from dvc_studio_models.server.site.site import Site

_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-real-ip")
"""A proxy on this machine adds one of them to the requests of others."""


class HealthRoutes:
    """Answers probes and Prometheus."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._readiness = Readiness(site)

    def routes(self, prefix: str) -> list[Route]:
        """Return the routes below a prefix."""
        return [
            Route(f"{prefix}{path}", endpoint, methods=["GET"])
            for path, endpoint in (
                ("/livez", self.is_alive),
                ("/healthz", self.is_healthy),
                ("/readyz", self.is_ready),
                ("/metrics", self.get_metrics),
            )
        ]

    async def is_alive(self, _request: Request) -> Response:
        """Answer that this process answers."""
        return JSONResponse({"status": "ok"})

    is_healthy = is_alive

    async def is_ready(self, request: Request) -> Response:
        """Answer whether any repo can be served; names repos only to operators.

        One that cannot be served must not keep a proxy from sending requests for the
        others.
        """
        states = await self._readiness.read()
        broken = sum(1 for state in states if state.problem)
        status = "degraded" if broken else "ready"
        code = HTTPStatus.OK
        if broken == len(states):
            status, code = "unavailable", HTTPStatus.SERVICE_UNAVAILABLE
        reply: dict[str, Any] = {"status": status}
        if await self._is_operator(request):
            reply["repos"] = {state.name: _details(state) for state in states}
        return JSONResponse(reply, code, {"Cache-Control": "no-store"})

    async def get_metrics(self, request: Request) -> Response:
        """Answer with what this server counts.

        Raises:
            TokenRefusedError: There is no token, and the request comes from elsewhere.
            AllReposNeededError: The token is for some repos only.
        """
        if not self._is_local(request):
            principal = await self._site.authenticate(request)
            if not principal.sees_all:
                raise AllReposNeededError
        states = await self._readiness.read()
        body = metrics.render(_measure(states))
        return Response(body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _is_operator(self, request: Request) -> bool:
        """Whether the caller may know all repos."""
        if self._is_local(request):
            return True
        try:
            principal = await self._site.authenticate(request)
        except RefusedError:
            return False
        return principal.sees_all

    def _is_local(self, request: Request) -> bool:
        """Whether the request was made on this machine, and no proxy passed it on."""
        if self._site.config.behind_proxy or request.client is None:
            return False
        if any(name in request.headers for name in _FORWARDED):
            return False
        try:
            return ip_address(request.client.host).is_loopback
        except ValueError:
            return False


def _details(state: RepoState) -> dict[str, Any]:
    """Describe one repo."""
    details: dict[str, Any] = {"ready": state.problem is None}
    if state.problem:
        details["detail"] = state.problem
    if state.mirror:
        details["fetched"] = _time_of(state.mirror.fetched)
        details["stale"] = state.mirror.is_stale
        if state.mirror.error:
            details["fetch_error"] = state.mirror.error
    return details


def _time_of(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _measure(states: Sequence[RepoState]) -> Iterator[Metric]:
    """List what is measured when it is asked for."""
    build = InfoMetricFamily("dvc_models_build", "The version of the server.")
    build.add_metric([], {"version": __version__})
    ready = _gauge("repo_ready", "Whether the models of a repo can be served.")
    age = _gauge("mirror_age_seconds", "Time since a mirror was fetched.")
    stale = _gauge("mirror_stale", "Whether that is too long ago, or never was.")
    for state in states:
        ready.add_metric([state.name], float(state.problem is None))
        if state.mirror:
            stale.add_metric([state.name], float(state.mirror.is_stale))
            if state.mirror.age_s is not None:
                age.add_metric([state.name], state.mirror.age_s)
    yield from (build, ready, age, stale)


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"dvc_models_{name}", text, labels=["repo"])
