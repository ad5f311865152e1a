"""What this process counts, for Prometheus.

With several workers, each counts in files of its own, and any of them answers for all:
``prometheus_client`` does that if ``PROMETHEUS_MULTIPROC_DIR`` is set before it is
imported.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

OTHER = "other"
"""The label of what is of no known route, or of no usual method."""

_METHODS = {"GET", "HEAD", "POST", "OPTIONS"}
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_OWN = CollectorRegistry()

_requests = Counter(
    "dvc_models_requests",
    "Requests that were answered.",
    ["route", "method", "status"],
    registry=_OWN,
)
_seconds = Histogram(
    "dvc_models_request_duration_seconds",
    "Time until a reply was sent completely.",
    ["route"],
    buckets=_SECONDS,
    registry=_OWN,
)
_bytes = Counter(
    "dvc_models_sent_bytes",
    "Bytes of the bodies of replies.",
    ["route"],
    registry=_OWN,
)
links = Counter(
    "dvc_models_links",
    "Links that were signed.",
    ["repo"],
    registry=_OWN,
)
lost_lines = Counter(
    "dvc_models_lost_log_lines",
    "Lines of the log that could not be written.",
    registry=_OWN,
)
refused_tokens = Counter(
    "dvc_models_refused_tokens",
    "Requests that were refused for their token: missing, or invalid.",
    ["reason"],
    registry=_OWN,
)
refused_jobs = Counter(
    "dvc_models_refused_jobs",
    "Tokens of jobs that were refused though their issuer has signed them.",
    ["reason"],
    registry=_OWN,
)
in_progress = Gauge(
    "dvc_models_requests_in_progress",
    "Requests that are being answered.",
    registry=_OWN,
    multiprocess_mode="livesum",
)
waiting_for_remotes = Gauge(
    "dvc_models_requests_waiting_for_remotes",
    "Requests that wait for a DVC remote.",
    registry=_OWN,
    multiprocess_mode="livesum",
)


def count_request(
    route: str, method: str, status: int, *, seconds: float, sent: int
) -> None:
    """Count a request that was answered.

    Args:
        route: Of the request; one of a few, and never a path that a client chooses.
        method: Of the request.
        status: Of the reply, 0 if the client was gone.
        seconds: How long it took.
        sent: Bytes of the reply's body.
    """
    _requests.labels(route, method if method in _METHODS else OTHER, status).inc()
    _seconds.labels(route).observe(seconds)
    _bytes.labels(route).inc(sent)


def render(current: Iterable[Metric]) -> bytes:
    """Write all metrics as text.

    Args:
        current: Further ones, that are read now and not counted.
    """
    return generate_latest(_All(current))


class _All:
    """All metrics, as ``generate_latest`` wants them."""

    def __init__(self, current: Iterable[Metric]) -> None:
        self._current = current

    def collect(self) -> Iterator[Metric]:
        if os.environ.get(FOLDER_VARIABLE):
            yield from MultiProcessCollector(None).collect()  # type: ignore[no-untyped-call]
        else:
            yield from _OWN.collect()
            yield from ProcessCollector(registry=None).collect()
        yield from self._current
