"""Values of options."""

from __future__ import annotations

import pytest

from dvc_studio_models.cli.options import read_rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("2048", 2048),
        ("500k", 500 << 10),
        ("10M", 10 << 20),
        ("1.5m", 3 << 19),
        ("1G", 1 << 30),
    ],
)
def test_a_rate_is_read_as_curl_does(text: str, rate: int) -> None:
    assert read_rate(text) == rate
