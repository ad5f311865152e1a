"""A missing program or package fails a test in CI."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import folding_fs
import pytest
from environments import ROOT, run
from needs import folding_file_system, need_package, need_program
from servers import wait_until

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


ELSEWHERE = """
import sys
import pytest
class Elsewhere:
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self):
        sys.platform = "darwin"
sys.exit(pytest.main(sys.argv[1:], plugins=[Elsewhere()]))
"""


def test_tests_of_what_only_linux_has_are_skipped_elsewhere() -> None:
    args = ("-q", "-rs", "-p", "no:cacheprovider", "tests/test_without_linux.py")

    done = run(sys.executable, "-c", ELSEWHERE, *args, cwd=ROOT)

    assert "7 skipped in " in done.stdout
    assert "only Linux has what it needs" in done.stdout
    assert done.returncode == 0


def test_a_file_system_that_cannot_be_mounted_skips_the_test(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In CI it fails it where root has the device."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(folding_fs, "MOUNT_S", 0)
    may_mount = os.geteuid() == 0 and folding_fs.DEVICE.exists()
    outcome = pytest.fail if may_mount else pytest.skip
    (tmp_path / "slow").mkdir()
    with (
        pytest.raises(outcome.Exception, match="mounts no file system"),
        folding_file_system("apfs", tmp_path / "slow"),
    ):
        pass

    monkeypatch.setattr(folding_fs, "DEVICE", tmp_path / "no-device")
    (tmp_path / "none").mkdir()
    with (
        pytest.raises(pytest.skip.Exception, match="mounts no file system"),
        folding_file_system("apfs", tmp_path / "none"),
    ):
        pass


def test_a_file_system_is_unmounted_when_its_process_loses_its_parent(
    tmp_path: Path,
) -> None:
    code = (
        "import os, sys; from pathlib import Path; import needs\n"
        "with needs.folding_file_system('apfs', Path(sys.argv[1])) as mounted:\n"
        "    (mounted / 'Name').touch()\n"
        "    print((mounted / 'name').exists(), flush=True)\n"
        "    os.kill(os.getpid(), 9)"
    )
    with folding_file_system("apfs", tmp_path):
        pass  # skipped where it cannot be mounted
    home = tmp_path / "home"
    home.mkdir()

    done = run(sys.executable, "-c", code, home, PYTHONPATH=str(Path(__file__).parent))

    assert done.stdout == "True\n", done.stderr
    wait_until(lambda: not (home / "mounted").is_mount())
