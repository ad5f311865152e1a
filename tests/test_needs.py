"""A missing program or package fails a test in CI."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from needs import need_package, need_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("need", [need_package, need_program])
def test_what_is_missing_fails_in_ci_and_skips_elsewhere(
    monkeypatch: pytest.MonkeyPatch, need: Callable[[str], None]
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-thing is missing"):
        need("no-such-thing")

    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="no-such-thing is missing"):
        need("no-such-thing")


def test_what_only_linux_has_is_skipped_elsewhere_in_ci_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="strace is missing"):
        need_program("strace", str(tmp_path))

    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(pytest.skip.Exception, match="only Linux has strace"):
        need_program("strace", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="zsh is missing"):
        need_program("zsh", str(tmp_path))
