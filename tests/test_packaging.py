"""The wheel and sdist: their content, installing, uninstalling, and broken installs."""

from __future__ import annotations

import re
import shutil
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from environments import ROOT, Environment, run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.reliability("Installations"), pytest.mark.slow]

PTH = "dvc-studio-models.pth"


START = "dvc-studio-models.start"
PACKAGES = ("dvc_studio_models", "_dvc_studio_models_startup")
WARNING = "WARNING: going on without the commands of dvc-studio-models: "


def build(source: Path, target: Path) -> dict[str, Path]:
    """Build wheel and sdist of ``source`` with the backend that pip calls."""
    target.mkdir()
    made = run(
        sys.executable,
        "-c",
        "import os, sys; from hatchling import build;"
        "os.chdir(sys.argv[1]);"
        "build.build_wheel(sys.argv[2]); build.build_sdist(sys.argv[2])",
        source,
        target,
    )
    assert made.returncode == 0, made.stderr
    return {
        "wheel": next(target.glob("*.whl")),
        "sdist": next(target.glob("*.tar.gz")),
    }


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, which a test may change."""
    copy = tmp_path_factory.mktemp("source")
    for name in (*PACKAGES, PTH, "pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build(source, tmp_path_factory.mktemp("built") / "dist")


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "env")


@pytest.fixture
def unpacked(environment: Environment, built: dict[str, Path]) -> Environment:
    """An environment with the wheel's files, which a test may break."""
    unpack(built["wheel"], environment)
    return environment


def unpack(wheel: Path, environment: Environment) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(environment.packages)


def test_the_wheel_holds_the_repository_byte_for_byte(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        shipped = {
            name: wheel.read(name)
            for name in wheel.namelist()
            if ".dist-info/" not in name
        }
    files = [ROOT / PTH]
    for package in PACKAGES:
        files += [p for p in (ROOT / package).rglob("*") if "__pycache__" not in str(p)]

    assert shipped == {
        p.relative_to(ROOT).as_posix(): p.read_bytes() for p in files if p.is_file()
    }


def test_the_wheel_has_one_file_at_its_root_with_one_plain_line(
    built: dict[str, Path],
) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        at_root = {n: wheel.read(n) for n in wheel.namelist() if "/" not in n}

    assert at_root == {
        PTH: b'import sys; any(f.find_spec("_dvc_studio_models_startup", None) '
        b'for f in sys.meta_path) and __import__("_dvc_studio_models_startup")\n'
    }


def test_the_page_of_an_index_has_no_link_that_leads_nowhere(
    built: dict[str, Path],
) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        (name,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        page = wheel.read(name).decode()

    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", page) == []
    assert "`docs/pins.md`" in page


def test_the_sdist_holds_the_hook(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}

    assert {PTH, "_dvc_studio_models_startup/__init__.py"} <= names


@pytest.mark.parametrize("form", ["wheel", "sdist", "editable"])
def test_an_installation_adds_the_command_and_its_removal_leaves_nothing(
    form: str, environment: Environment, built: dict[str, Path], source: Path
) -> None:
    before = environment.files()
    what = ["-e", source] if form == "editable" else [built[form]]
    environment.pip("install", "-q", "--no-deps", "--no-build-isolation", *what)
    through_dvc = environment.dvc("models", "pull", "--help")
    through_script = environment.run(
        environment.scripts / "dvc-models", "pull", "--help"
    )
    environment.pip("uninstall", "-q", "-y", "dvc-studio-models")

    assert through_dvc.stdout.startswith("usage: dvc models pull")
    assert through_script.stdout == through_dvc.stdout
    assert environment.files() == before


def test_an_installation_into_a_target_folder_works_through_python_m(
    environment: Environment, built: dict[str, Path], tmp_path: Path
) -> None:
    target = tmp_path / "target"
    environment.pip("install", "-q", "--no-deps", "--target", target, built["wheel"])
    command = (environment.python, "-m", "dvc_studio_models", "pull", "--help")
    helped = run(*command, cwd=tmp_path, PYTHONPATH=str(target))

    assert helped.stdout.startswith("usage: dvc models pull")


def test_dvc_works_after_the_package_was_deleted(unpacked: Environment) -> None:
    shutil.rmtree(unpacked.packages / "dvc_studio_models")

    assert_dvc_goes_on(unpacked, "ModuleNotFoundError")


def test_after_all_but_the_pth_file_was_deleted_no_python_notices(
    unpacked: Environment,
) -> None:
    for package in ("dvc_studio_models", "_dvc_studio_models_startup"):
        shutil.rmtree(unpacked.packages / package)

    assert_unnoticed(unpacked)


def test_after_the_source_of_an_editable_install_moved_no_python_notices(
    environment: Environment, source: Path, tmp_path: Path
) -> None:
    place = shutil.copytree(source, tmp_path / "place")
    installed = ["--no-deps", "--no-build-isolation", "-e", place]
    environment.pip("install", "-q", *installed)
    assert environment.dvc("models", "pull", "--help").returncode == 0
    place.rename(tmp_path / "elsewhere")

    assert_unnoticed(environment)


def assert_unnoticed(environment: Environment) -> None:
    for args in (["-c", "pass"], ["-m", "dvc", "--version"]):
        done = environment.run(environment.python, *args)
        assert (done.returncode, done.stderr) == (0, "")


def test_dvc_works_with_a_start_up_module_that_fails(unpacked: Environment) -> None:
    startup = unpacked.packages / "_dvc_studio_models_startup/__init__.py"
    startup.write_text("raise RuntimeError\n")

    assert unpacked.dvc("--version").returncode == 0


def test_dvc_works_after_only_folders_remained(unpacked: Environment) -> None:
    for module in (unpacked.packages / "dvc_studio_models").rglob("*.py"):
        module.unlink()

    assert_dvc_goes_on(unpacked, "ModuleNotFoundError")


def test_dvc_works_with_a_syntax_error_in_the_plugin(unpacked: Environment) -> None:
    (unpacked.packages / "dvc_studio_models" / "plugin.py").write_text("def :\n")

    assert_dvc_goes_on(unpacked, "SyntaxError")


def test_dvc_works_without_the_module_of_the_entry_point(unpacked: Environment) -> None:
    shutil.rmtree(unpacked.packages / "dvc_studio_models" / "cli")
    helped = unpacked.dvc("--help")

    assert helped.returncode == 0
    assert helped.stderr.startswith("WARNING: skipped the command 'models'")
    assert "models" not in helped.stdout


def test_dvc_works_after_the_metadata_was_deleted(unpacked: Environment) -> None:
    shutil.rmtree(next(unpacked.packages.glob("dvc_studio_models-*.dist-info")))
    helped = unpacked.dvc("--help")

    assert (helped.returncode, helped.stderr) == (0, "")


def assert_dvc_goes_on(environment: Environment, reason: str) -> None:
    version = environment.dvc("--version")

    assert version.returncode == 0
    assert version.stderr.startswith(WARNING + reason)
    assert version.stderr.count("\n") == 1


@pytest.fixture
def with_start(
    source: Path, environment: Environment, tmp_path: Path
) -> tuple[Environment, str]:
    """The variant for PEP 829: a ``.start`` file next to the ``.pth`` file."""
    variant = shutil.copytree(source, tmp_path / "variant")
    (variant / START).write_text("_dvc_studio_models_startup:start\n")
    settings = (variant / "pyproject.toml").read_text()
    line = f'"{PTH}" = "{PTH}"\n'
    assert line in settings
    both = line + line.replace(PTH, START)
    (variant / "pyproject.toml").write_text(settings.replace(line, both))
    unpack(build(variant, tmp_path / "dist")["wheel"], environment)
    return environment, (environment.packages / START).read_text()


def test_a_start_file_can_be_added_with_one_line(
    with_start: tuple[Environment, str],
) -> None:
    environment, entry = with_start
    # What Python does with the file from 3.15 on; before, it does not look at it.
    started = environment.run(
        environment.python,
        "-c",
        "import pkgutil, sys; pkgutil.resolve_name(sys.argv[1])();"
        "print([getattr(f, '__name__', '') for f in sys.meta_path])",
        entry.strip(),
    )
    helped = environment.dvc("models", "pull", "--help")

    assert started.stdout.count("ParserFinder") == 1
    assert helped.stdout.startswith("usage: dvc models pull")
