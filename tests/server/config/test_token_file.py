"""The file of tokens: what a line may be, and who may read it."""

from __future__ import annotations

import hashlib
import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from dvc_studio_models.errors import StudioConfigError
from dvc_studio_models.server.config.token_file import read_token_file
from dvc_studio_models.server.config.values import TokenConfig

if TYPE_CHECKING:
    from pathlib import Path

SHA256 = hashlib.sha256(b"secret").hexdigest()


def write(folder: Path, content: str, mode: int = 0o600) -> Path:
    file = folder / "its tokens"
    file.write_text(content, "utf-8")
    file.chmod(mode)
    return file


def test_tokens_are_read_one_a_line_with_their_owners(tmp_path: Path) -> None:
    file = write(tmp_path, "# ours\n\none ci runner # nightly\n  two\nthree#x\n\t#four")

    assert read_token_file(file) == (
        TokenConfig.of("one", "ci runner"),
        TokenConfig.of("two"),
        TokenConfig.of("three#x"),
    )


def test_a_token_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = write(tmp_path, "\ufeffsecret ada\n")

    assert read_token_file(file) == (TokenConfig("ada", SHA256),)


@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper()])
def test_a_token_may_be_stored_as_its_hash(tmp_path: Path, sha256: str) -> None:
    file = write(tmp_path, f"sha256:{sha256} ada\n")

    assert read_token_file(file) == (TokenConfig("ada", SHA256),)


@pytest.mark.parametrize("line", ["sha256:", f"sha256:{SHA256[1:]}", "sha256:secret"])
def test_half_a_hash_is_refused_and_not_printed(tmp_path: Path, line: str) -> None:
    with pytest.raises(StudioConfigError, match="64 hexadecimal digits") as refused:
        read_token_file(write(tmp_path, line))

    assert not line.removeprefix("sha256:") or line not in str(refused.value)


@pytest.mark.parametrize("token", ["größe", "a\x7f"])
def test_a_token_that_cannot_be_sent_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(StudioConfigError, match="cannot be sent") as refused:
        read_token_file(write(tmp_path, token))

    assert token not in str(refused.value)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o444])
def test_a_token_file_that_everybody_can_read_is_refused(
    tmp_path: Path, mode: int
) -> None:
    file = write(tmp_path, "secret ada\n", mode)

    with pytest.raises(StudioConfigError, match=f"its mode is {mode:04o}") as refused:
        read_token_file(file)

    # What the message says to run, helps.
    command = str(refused.value).split("Run '")[1].split("', or")[0]
    subprocess.run(command, shell=True, check=True)
    assert read_token_file(file) == (TokenConfig("ada", SHA256),)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o440])
def test_a_token_file_of_a_user_and_a_group_is_read(tmp_path: Path, mode: int) -> None:
    assert read_token_file(write(tmp_path, "secret ada\n", mode))


def test_a_file_of_hashes_alone_may_be_read_by_everybody(tmp_path: Path) -> None:
    assert read_token_file(write(tmp_path, f"sha256:{SHA256} ada\n", 0o644))


@pytest.mark.parametrize("user", [0, 4242])
def test_a_readable_secret_of_another_user_is_refused_only_to_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int
) -> None:
    """As ssh does: in a container, secrets belong to root, and have mode 0444."""
    file = write(tmp_path, "secret ada\n", 0o444)
    if os.geteuid() == 0:
        os.chown(file, 4243, 4243)
    elif user == 0:
        pytest.skip("only root can be root")
    monkeypatch.setattr(os, "geteuid", lambda: user)

    if user == 0:
        with pytest.raises(StudioConfigError):
            read_token_file(file)
    else:
        assert read_token_file(file)
