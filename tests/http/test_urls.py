"""Which URLs may be requested, and how they are printed."""

from __future__ import annotations

import itertools

import pytest

from dvc_studio_models.http.urls import is_metadata_host, redact_url

pytestmark = pytest.mark.reliability("URLs")

# -- what may be shown


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://h/p?sig=x#y", "https://h/p", id="query"),
        pytest.param("https://u:pw@h:8080/p", "https://h:8080/p", id="userinfo"),
        pytest.param("http://[::1]:8080/p", "http://[::1]:8080/p", id="ipv6"),
        pytest.param("https://h/\x1b[2J\x07", "https://h/?[2J?", id="escape"),
        pytest.param("https://h:port/p", "https://h:port/p", id="bad-port"),
        pytest.param("https://[::1/p?sig=x", "an unreadable URL", id="unreadable"),
    ],
)
def test_of_a_url_scheme_host_and_path_are_shown(url: str, expected: str) -> None:
    assert expected == redact_url(url)


# -- hosts that no file lies on

METADATA = [
    *("169.254.169.254", "169.254.1.1", "2852039166", "0xA9FEA9FE", "0xa9.254.0xa9fe"),
    *("0251.0376.0251.0376", "169.254.43518", "169.254.169.254."),
    *("::ffff:169.254.169.254", "fe80::1", "fe80::1%25eth0", "fd00:ec2::254"),
    *("fd00:ec2::254%25", "fd00:ec2::254%25eth0"),
    *("::169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192"),
    *("metadata.google.internal", "METADATA.google.internal.", "metadata"),
]
HARMLESS = [
    *("127.0.0.1", "10.0.0.1", "169.253.0.1", "8.8.8.8", "::1", "2001:db8::1"),
    *("::ffff:10.0.0.1", "64:ff9b::808:808", "2002:808:808::1", "::"),
    *("s3.amazonaws.com", "nas.local", "metadata.example.com", "a..b", ""),
]


@pytest.mark.parametrize(
    ("host", "expected"),
    [*itertools.product(METADATA, [True]), *itertools.product(HARMLESS, [False])],
)
def test_link_local_and_metadata_hosts_are_told(host: str, expected: bool) -> None:
    assert expected is is_metadata_host(host)
