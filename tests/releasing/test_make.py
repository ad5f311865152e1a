"""Commands of the Makefile that cannot do their work: they fail, and say why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[2] / "Makefile"
OLD_PYTHON = f"""#!/bin/sh
exec {sys.executable} -c "import sys; sys.version_info = (3, 9, 6); $2"
"""


def make(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--file", MAKEFILE, *args],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def add_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an environment whose uv reaches no index."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "dvc-studio-models.pth").touch()
    (tmp_path / "releasing").mkdir()
    (tmp_path / "releasing/build-requirements.txt").write_text("# Pinned\nold==1\n")
    add_program(tmp_path / ".venv/bin/uv", "#!/bin/sh\nexit 2\n")
    (tmp_path / ".venv/.installed-tests").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("target", "version"),
    [
        ("demo", "3.10"),
        ("test", "3.10"),
        ("dist", "3.11"),
        ("release", "3.10"),
        ("release-text", "3.10"),
    ],
)
def test_a_python_that_is_too_old_is_refused_and_nothing_is_made(
    folder: Path, target: str, version: str
) -> None:
    add_program(folder / "old-python", OLD_PYTHON)

    done = make(folder, target, "VENV=venv", f"PYTHON={folder}/old-python")

    assert done.returncode == 2
    said = f"ERROR: Python {version} or newer is needed; name one, as PYTHON=python3.12"
    assert done.stderr.splitlines()[0] == said
    assert not (folder / "venv").exists()
    assert not (folder / ".venv-backend").exists()


@pytest.mark.parametrize("target", ["release", "release-text", "dist"])
def test_a_version_is_no_part_of_a_command(folder: Path, target: str) -> None:
    (folder / ".venv-backend").mkdir()
    (folder / ".venv-backend/.installed").touch()
    run = printing_python(folder)

    done = make(folder, target, "VERSION=1';touch pwned;'", f"PYTHON={run}")

    assert "1';touch pwned;'" in done.stdout
    assert not (folder / "pwned").exists()


def printing_python(folder: Path) -> Path:
    """Return a Python that prints its arguments."""
    for name in ("python", ".venv-backend/bin/python"):
        add_program(folder / name, '#!/bin/sh\nprintf "%s\\n" "$@"\n')
    return folder / "python"


def test_without_a_wheel_the_command_that_makes_it_is_named(folder: Path) -> None:
    done = make(folder, "try-dist")

    assert done.returncode == 2
    assert done.stdout == "ERROR: dist/ has no wheel: run 'make dist' first\n"


def test_an_index_that_does_not_answer_has_no_newest_dvc(folder: Path) -> None:
    assert make(folder, "newest-dvc").returncode == 2


def test_requirements_stay_as_they_are_if_no_index_answers(folder: Path) -> None:
    done = make(folder, "build-requirements")

    (kept,) = (folder / "releasing").iterdir()
    assert done.returncode == 2
    assert kept.read_text() == "# Pinned\nold==1\n"
