"""Processes of tests end with the tests, even if they fail."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

import psutil
import pytest
from projects import Project
from stores import session

from tests.e2e.conftest import serve

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_that_does_not_start_leaves_neither_process_nor_log_open(
    tmp_path: Path,
) -> None:
    me = psutil.Process()
    before = me.children()

    with (
        pytest.raises(pytest.fail.Exception, match="did not start"),
        serve(Project(tmp_path / "missing"), tmp_path),
    ):
        pass

    assert me.children() == before
    opened = {file.path for file in me.open_files()}
    assert str(tmp_path / "serve.log") not in opened


def test_what_a_failing_script_began_ends_with_it() -> None:
    reader, writer = socket.socketpair()
    with reader:
        with session(["bash", "-c", "sleep 60 & exit 1"], stdout=writer) as script:
            writer.close()
            script.wait()

        # It is at its end once nobody is left who could write.
        assert select.select([reader], [], [], 20)[0]
