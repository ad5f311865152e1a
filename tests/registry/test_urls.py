"""The URL of a Git repo: its secrets, its kind, and when two are of one repo."""

from __future__ import annotations

import pytest

from dvc_studio_models.registry.urls import (
    is_local,
    is_loopback,
    is_same_repo,
    strip_secrets,
)

SECRET = "PLANTED_SECRET_KEY"

# -- secrets in URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param(
            f"https://u:{SECRET}@h/o/r.git", "https://h/o/r.git", id="password"
        ),
        pytest.param(f"https://{SECRET}@h/o/r.git", "https://h/o/r.git", id="token"),
        pytest.param(f"https://:{SECRET}@h/o/r", "https://h/o/r", id="no-user"),
        pytest.param(f"http://u:{SECRET}@h:8080/r", "http://h:8080/r", id="http-port"),
        pytest.param(f"HTTPS://u:{SECRET}@H/r", "HTTPS://H/r", id="upper-case"),
        pytest.param(
            f"https://u:{SECRET}@[::1]:8080/r", "https://[::1]:8080/r", id="v6"
        ),
        pytest.param(f"https://u:a@{SECRET}@h/r", "https://h/r", id="at-in-password"),
        pytest.param(
            f"https://u:a/{SECRET}@h/r", "https://h/r", id="slash-in-password"
        ),
        pytest.param(f"https://u:a?{SECRET}@h/r", "https://h/r", id="mark-in-password"),
        pytest.param(f"https://h/r?private_token={SECRET}", "https://h/r", id="query"),
        pytest.param(f"https://h/r#{SECRET}", "https://h/r", id="fragment"),
        pytest.param(f"ssh://git:{SECRET}@h:22/r", "ssh://git@h:22/r", id="ssh"),
        pytest.param(f"git+ssh://git:{SECRET}@h/r", "git+ssh://git@h/r", id="git+ssh"),
        pytest.param(f"ssh://:{SECRET}@h/r", "ssh://h/r", id="ssh-no-user"),
        pytest.param(f"git://u:{SECRET}@h/r", "git://h/r", id="git"),
        pytest.param(f"git:{SECRET}@h:o/r.git", "git@h:o/r.git", id="scp-like"),
        pytest.param(f"x::https://u:{SECRET}@h/r", "x::https://h/r", id="helper"),
    ],
)
def test_user_and_password_leave_a_url(url: str, expected: str) -> None:
    assert expected == strip_secrets(url)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("git@github.com:o/r.git", id="scp-like"),
        pytest.param("ssh://git@github.com/o/r.git", id="ssh"),
        pytest.param("ssh://git@h:22/o/r@x:y.git", id="ssh-odd-path"),
        pytest.param("https://github.com/o/r.git", id="https"),
        pytest.param("https://h:8080/@scope/r", id="at-in-path"),
        pytest.param("https://[::1]/@scope/r", id="at-in-path-v6"),
        pytest.param("https://[::1/r", id="half-an-address"),
        pytest.param("o/r", id="owner-and-name"),
        pytest.param("/srv/a:b@c/r.git", id="path"),
        pytest.param("file:///srv/r#1.git", id="file-url"),
        pytest.param("codecommit::eu-west-1://profile-r", id="helper"),
    ],
)
def test_a_url_without_secrets_stays_as_it_is(url: str) -> None:
    assert url == strip_secrets(url)


# -- folders of this machine


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("/srv/r.git", True, id="absolute"),
        pytest.param("../r.git", True, id="relative"),
        pytest.param("./a:b", True, id="colon-after-slash"),
        pytest.param("file:///srv/r.git", True, id="file-url"),
        pytest.param("FILE:///srv/r.git", True, id="file-url-upper"),
        pytest.param("git@h:r.git", False, id="scp-like"),
        pytest.param("h:r.git", False, id="scp-like-without-user"),
        pytest.param("git@[::1]:r.git", False, id="scp-like-v6"),
        pytest.param("ssh://git@h/r", False, id="ssh"),
        pytest.param("https://h/r", False, id="https"),
    ],
)
def test_a_local_remote_is_told_as_git_does(url: str, expected: bool) -> None:
    assert expected is is_local(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("http://127.0.0.1:8501", True, id="v4"),
        pytest.param("http://127.1.2.3", True, id="whole-block"),
        pytest.param("http://[::1]:8501/x", True, id="v6"),
        pytest.param("http://localhost:8501", True, id="name"),
        pytest.param("http://studio.localhost", True, id="subdomain"),
        pytest.param("https://studio.datachain.ai", False, id="hosted"),
        pytest.param("http://10.0.0.1", False, id="network"),
        pytest.param("http://127.0.0.1.example.com", False, id="look-alike"),
        pytest.param("http://notlocalhost", False, id="look-alike-name"),
    ],
)
def test_loopback_is_this_machine(url: str, expected: bool) -> None:
    assert expected is is_loopback(url)


# -- whether two URLs are of one repo


@pytest.mark.parametrize(
    ("url", "other", "expected"),
    [
        ("git@h:o/r.git", "https://h/o/r", True),
        ("git@h:o/r.git", "o/r", True),
        ("git@h:o/r.git", "git@h:o/R.git", False),
        ("git@github.com:o/r.git", "O/R", True),
        ("[git@h:2222]:o/r", "ssh://git@h:2222/o/r", True),
        ("ssh://git@h:7999/p/r.git", "https://h/scm/P/r.git", True),
        ("ssh://git@h:7999/p/r.git", "p/r", True),
        ("https://h/scm/p/r", "https://h/p/r", False),
        (
            "git@ssh.dev.azure.com:v3/o/p/r",
            "https://o.visualstudio.com/DefaultCollection/p/_git/r",
            True,
        ),
        ("https://dev.azure.com/o/p/_git/r", "https://dev.azure.com/o/q/_git/r", False),
        ("codecommit::eu-west-1://me@r", "codecommit://r", True),
        ("codecommit::eu-west-1://r", "codecommit::us-east-1://r", False),
        (
            "codecommit::cn-north-1://r",
            "https://git-codecommit.cn-north-1.amazonaws.com.cn/v1/repos/r",
            True,
        ),
    ],
)
def test_urls_of_one_repo_are_known_as_such(
    url: str, other: str, *, expected: bool
) -> None:
    assert is_same_repo(url, other) is expected
    assert is_same_repo(other, url) is expected
