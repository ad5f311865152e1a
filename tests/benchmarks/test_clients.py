"""Each client downloads the same files, so that their costs can be compared."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import pytest
from projects import read_tree

if TYPE_CHECKING:
    from pathlib import Path

    from servers import FileServer

from benchmarks.clients import CLIENTS, NOTHING, save

FILES = {f"{number:02}.bin": bytes([number]) * 3000 * number for number in range(40)}


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != NOTHING])
def test_a_client_downloads_all_files(
    name: str, file_server: FileServer, tmp_path: Path
) -> None:
    file_server.objects.update({f"/{path}": body for path, body in FILES.items()})
    urls = [file_server.url(f"/{path}") for path in FILES]

    CLIENTS[name](urls, functools.partial(save, tmp_path))

    assert read_tree(tmp_path) == FILES
    assert len(file_server.requests) == len(FILES)


@pytest.mark.parametrize("name", [name for name in CLIENTS if name != NOTHING])
def test_a_client_does_not_go_on_after_an_error(
    name: str, file_server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises((Exception, SystemExit), match="404"):
        CLIENTS[name]([file_server.url("/missing")], functools.partial(save, tmp_path))

    assert read_tree(tmp_path) == {}
