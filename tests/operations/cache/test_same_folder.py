"""Whether two projects use one cache, which may have several names."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from needs import mount_namespace

if TYPE_CHECKING:
    from pathlib import Path

CODE = """
import os, sys
from pathlib import Path
from dvc_studio_models.operations.cache.roots import _same

one, other, third = map(Path, sys.argv[1:])
assert os.path.realpath(one) != os.path.realpath(other)
print(_same(one, other), _same(one, third), _same(third, third))
"""


def test_a_folder_with_two_real_paths_is_one(tmp_path: Path) -> None:
    """By a mount here; on macOS also by the case of its name.

    Else a prune would not know of the projects that use the cache by the other path.
    """
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    script = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'
    python = [sys.executable, "-c", CODE, one, other, tmp_path / "none"]
    done = subprocess.run(
        [*mount_namespace(), "sh", "-ec", script, "sh", one, other, *python],
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.stdout, done.stderr) == ("True False True\n", "")
