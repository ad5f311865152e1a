"""Which failures are worth another try, after how long, and in which words."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
import requests
from servers import Behaviour, FileServer, http_date

from dvc_studio_models.http.failures import backoff_s, sanitize, status_text

pytestmark = pytest.mark.reliability("Failures in words, and pauses")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(503, "503 Service Unavailable", id="known"),
        pytest.param(599, "599", id="unknown"),
    ],
)
def test_a_status_is_named_as_http_does(status: int, expected: str) -> None:
    assert expected == status_text(status)


# -- pauses


@pytest.mark.parametrize(
    ("attempt", "longest"),
    [
        pytest.param(1, 0.5, id="first"),
        pytest.param(2, 1.0, id="doubled"),
        pytest.param(4, 4.0, id="doubled-again"),
        pytest.param(20, 30.0, id="capped"),
    ],
)
def test_a_pause_doubles_with_jitter(attempt: int, longest: float) -> None:
    pauses = {backoff_s(attempt) for _ in range(50)}

    assert longest / 2 <= min(pauses) < max(pauses) <= longest


NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("7", 7.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="blanks"),
        pytest.param("0", 0.0, id="at-once"),
        pytest.param("3600", 120.0, id="capped"),
        pytest.param("9" * 500, 120.0, id="beyond-floats"),
        pytest.param(http_date(NOW + timedelta(seconds=9)), 9.0, id="date"),
        pytest.param(http_date(NOW + timedelta(days=9)), 120.0, id="capped-date"),
        pytest.param(http_date(NOW - timedelta(days=9)), 0.0, id="date-gone-by"),
    ],
)
def test_retry_after_says_how_long(value: str, expected: float) -> None:
    headers = {"Retry-After": value, "Date": http_date(NOW)}

    assert expected == backoff_s(1, headers)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Retry-After": "soon", "Date": http_date(NOW)}, id="a-word"),
        pytest.param({"Retry-After": "-5", "Date": http_date(NOW)}, id="negative"),
        pytest.param({"Retry-After": "", "Date": http_date(NOW)}, id="empty"),
        pytest.param({"Retry-After": http_date(NOW)}, id="without-date"),
        pytest.param({"Retry-After": http_date(NOW), "Date": "now"}, id="bad-date"),
        pytest.param(
            {
                "Retry-After": "Mon, 01 Jan 99999999999 00:00:00 GMT",
                "Date": http_date(NOW),
            },
            id="beyond-all-time",
        ),
        pytest.param(
            {
                "Retry-After": "Mon, 23 Nov 2026 12:00:00 -0000",
                "Date": http_date(NOW),
            },
            id="no-zone",
        ),
    ],
)
def test_a_retry_after_that_says_nothing_is_ignored(headers: dict[str, str]) -> None:
    assert 0.25 <= backoff_s(1, headers) <= 0.5


def test_a_retry_after_date_goes_by_the_servers_clock() -> None:
    with FileServer(clock_offset_s=-7200) as server:
        when = server.now() + timedelta(seconds=20)
        server.behaviour = Behaviour(
            status=503, headers={"Retry-After": http_date(when)}
        )
        response = requests.get(server.url("/a"), timeout=5)

    assert 15 < backoff_s(1, response.headers) <= 20


# -- texts of servers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("größe 模型", "größe 模型", id="letters"),
        pytest.param("a\r\n\tb  c", "a b c", id="blanks"),
        pytest.param("a\x1b[31mb\x00", "a?[31mb?", id="control"),
        pytest.param("a\u202eb", "a?b", id="direction"),
        pytest.param("a\ud800b", "a?b", id="half-a-character"),
    ],
)
def test_what_steers_a_terminal_is_not_shown(text: str, expected: str) -> None:
    assert expected == sanitize(text)
