"""A missing program or package fails a test in CI."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from needs import need_package, need_program

if TYPE_CHECKING:
    from collections.abc import Callable


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
