"""How the command is added to ``dvc``, without an effect on other programs."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from environments import ROOT, run

import dvc_studio_models

if TYPE_CHECKING:
    import subprocess

    from conftest import RunDvc

pytestmark = [pytest.mark.reliability("The hook"), pytest.mark.cold]

SCRIPTS = Path(sys.executable).parent
OFF = {"DVC_STUDIO_MODELS_NO_PLUGIN": "1"}
PULL_USAGE = "usage: dvc models pull"
GOOD = """\
from dvc.cli.command import CmdBaseNoRepo

class Hello(CmdBaseNoRepo):
    def run(self):
        print("hello")
        return 0

def add_parser(subparsers, parent_parser):
    hello = subparsers.add_parser(__name__, parents=[parent_parser], help="Greet.")
    hello.set_defaults(func=Hello)
"""


def python(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, *args, **env)


def distribute(folder: Path, module: str, text: str | None) -> str:
    """Create a distribution with one command; return the folder for PYTHONPATH."""
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Name: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[dvc.commands]\n{module} = {module}\n")
    if text is not None:
        (folder / f"{module}.py").write_text(text)
    return str(folder)


@functools.cache
def help_of_dvc() -> str:
    return run(SCRIPTS / "dvc", "--help").stdout


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([SCRIPTS / "dvc"], id="script"),
        pytest.param([sys.executable, "-m", "dvc"], id="python -m dvc"),
        pytest.param([SCRIPTS / "dvc", "--cd", ROOT], id="other folder"),
        pytest.param([SCRIPTS / "dvc-models"], id="own script"),
        pytest.param([sys.executable, "-m", "dvc_studio_models"], id="own module"),
    ],
)
def test_the_command_is_reached(command: list[str | Path], tmp_path: Path) -> None:
    ours = () if "models" in str(command[-1]) else ("models",)
    helped = run(*command, *ours, "pull", "--help", cwd=tmp_path)

    assert helped.stdout.startswith(PULL_USAGE)
    assert (helped.returncode, helped.stderr) == (0, "")


def test_the_help_of_dvc_lists_the_command_once() -> None:
    assert help_of_dvc().count("\n    models  ") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_command(shell: str, run_dvc: RunDvc) -> None:
    script = run_dvc("completion", "-s", shell).stdout
    expected = {
        "bash": "_shtab_dvc_models_subparsers=(",
        "zsh": "_shtab_dvc_models_commands() {",
    }
    _, found, of_models = script.partition(expected[shell])

    assert found
    assert "pull" in of_models.partition(")")[0]


def test_the_variable_switches_the_hook_off(run_dvc: RunDvc) -> None:
    refused = run_dvc("models", "--help", env=OFF)

    assert refused.returncode == 254
    assert "invalid choice: 'models'" in refused.stderr
    assert "registered models" not in refused.stdout


@pytest.mark.parametrize("value", ["", "0"])
def test_the_variable_may_say_no(value: str, run_dvc: RunDvc) -> None:
    env = {"DVC_STUDIO_MODELS_NO_PLUGIN": value}

    assert run_dvc("models", "--help", env=env).returncode == 0


def test_commands_of_dvc_keep_their_help() -> None:
    compared = run("bash", ROOT / "tests" / "dvc_compat.sh", PYTHON=sys.executable)

    assert compared.returncode == 0, compared.stdout
    assert "commands is the same" in compared.stdout


def test_the_comparison_of_help_sees_a_difference(tmp_path: Path) -> None:
    path = distribute(tmp_path, "hello", GOOD)
    script = ROOT / "tests" / "dvc_compat.sh"
    compared = run("bash", script, PYTHON=sys.executable, PYTHONPATH=path)

    assert compared.returncode == 1
    assert "+===== dvc hello --help" in compared.stdout


def test_the_hook_imports_only_sys() -> None:
    search = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
    # Without site.py hardly anything is loaded, so that every import shows up.
    bare = ["-I", "-S", "-X", "importtime", "-c"]
    before = python(*bare, search).stderr
    after = python(*bare, f"{search}; import _dvc_studio_models_startup").stderr
    names = [
        {line.split("|")[-1].strip() for line in t.splitlines()}
        for t in (before, after)
    ]

    assert names[1] - names[0] == {"_dvc_studio_models_startup"}


def test_a_program_without_dvc_never_meets_the_plugin() -> None:
    listed = python("-c", "import sys; print(*sys.modules)").stdout.split()

    assert "_dvc_studio_models_startup" in listed
    assert not {"dvc", "dvc_studio_models", "dvc_studio_models.plugin"} & set(listed)


def test_the_package_of_dvc_can_be_imported_without_the_plugin() -> None:
    listed = python("-c", "import dvc.cli, sys; print(*sys.modules)").stdout.split()

    assert "dvc.cli" in listed
    assert "dvc_studio_models.plugin" not in listed


def test_the_parser_keeps_its_own_loader() -> None:
    done = python(
        "-c",
        "import dvc.cli.parser as p, inspect;"
        "print(type(p.__loader__).__name__, type(p.__spec__.loader).__name__);"
        "print(inspect.getsource(p)[:40])",
    )

    assert done.stdout.startswith(
        'SourceFileLoader SourceFileLoader\n"""Main parser for the dvc cli."""'
    )


def test_a_reloaded_parser_has_the_command_once() -> None:
    done = python(
        "-c",
        "import importlib, _dvc_studio_models_startup, dvc.cli.parser as parser;"
        "importlib.reload(_dvc_studio_models_startup); importlib.reload(parser);"
        "print(parser.get_main_parser().format_help().count('\\n    models '))",
    )

    assert (done.stdout, done.stderr) == ("1\n", "")


def test_the_source_of_the_parser_can_be_run_as_a_script() -> None:
    assert python("-m", "dvc.cli.parser").returncode == 0


def test_another_package_can_add_a_command(tmp_path: Path, run_dvc: RunDvc) -> None:
    greeted = run_dvc("hello", env={"PYTHONPATH": distribute(tmp_path, "hello", GOOD)})

    assert (greeted.stdout, greeted.stderr) == ("hello\n", "")


def test_of_a_distribution_seen_twice_only_the_first_counts(
    tmp_path: Path, run_dvc: RunDvc
) -> None:
    places = [distribute(tmp_path / place, "hello", GOOD) for place in "ab"]
    shadowed = tmp_path / "b" / "hello-1.0.dist-info" / "entry_points.txt"
    shadowed.write_text("[dvc.commands]\nhello = hello\nold = gone\n")
    helped = run_dvc("--help", env={"PYTHONPATH": os.pathsep.join(places)})

    assert helped.stdout.count("\n    hello ") == 1
    assert helped.stderr == ""


def test_commands_are_added_by_name(tmp_path: Path, run_dvc: RunDvc) -> None:
    places = [distribute(tmp_path / name, name, GOOD) for name in ("zoo", "arc", "nut")]
    helped = run_dvc("--help", env={"PYTHONPATH": os.pathsep.join(places)})
    commands = [line.split()[0] for line in helped.stdout.splitlines() if line.split()]

    assert commands[-4:] == ["arc", "models", "nut", "zoo"]


BROKEN = {
    "missing": None,
    "raises": "raise RuntimeError('no')",
    "exits": "raise SystemExit(3)",
    "bare": "",
    "half": GOOD + "    subparsers.no_such_thing()\n",
    "greedy": GOOD.replace("__name__", "'status'"),
}


@pytest.mark.parametrize("module", list(BROKEN))
def test_a_broken_command_is_left_out_with_one_warning(
    module: str, tmp_path: Path, run_dvc: RunDvc
) -> None:
    path = distribute(tmp_path, module, BROKEN[module])
    without, with_broken = (
        run_dvc("--help"),
        run_dvc("--help", env={"PYTHONPATH": path}),
    )

    assert with_broken.returncode == 0
    assert with_broken.stdout == without.stdout
    assert with_broken.stderr.count("\n") == 1
    assert with_broken.stderr.startswith(
        f"WARNING: skipped the command '{module}' ({module}): "
    )


def fake_dvc(folder: Path, parser: str) -> str:
    """Create a package ``dvc`` that comes before the real one in PYTHONPATH."""
    (folder / "dvc" / "cli").mkdir(parents=True)
    (folder / "dvc" / "__init__.py").touch()
    (folder / "dvc" / "cli" / "__init__.py").touch()
    (folder / "dvc" / "cli" / "parser.py").write_text(parser)
    return str(folder)


def test_a_dvc_with_another_kind_of_parser_works(tmp_path: Path) -> None:
    path = fake_dvc(tmp_path, "COMMANDS = ()\n")
    done = python("-c", "import dvc.cli.parser as p; print(p)", PYTHONPATH=path)

    assert done.returncode == 0
    assert "continuing without the commands of plugins: AttributeError" in done.stderr


def test_an_error_of_dvc_stays_its_own(tmp_path: Path) -> None:
    path = fake_dvc(tmp_path, "raise ImportError('of DVC')\n")
    done = python("-c", "import dvc.cli.parser", PYTHONPATH=path)

    assert done.returncode == 1
    assert done.stderr.endswith("\nImportError: of DVC\n")
    assert "continuing" not in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--cd", "no-such-folder"], id="apart from its value"),
        pytest.param(["-q", "--cd=no-such-folder"], id="several"),
        pytest.param(["--no-such-option", "--cd", "x"], id="unknown"),
    ],
)
def test_the_own_script_takes_the_options_of_dvc(
    options: list[str], run_dvc: RunDvc, tmp_path: Path
) -> None:
    through_dvc = run_dvc(*options, "models", "pull", "churn", cwd=tmp_path)
    script = (SCRIPTS / "dvc-models", *options, "pull", "churn")
    through_script = run(*script, cwd=tmp_path)

    assert through_dvc.returncode != 0
    assert through_script.returncode == through_dvc.returncode
    assert through_script.stderr == through_dvc.stderr


def test_the_own_script_without_arguments_shows_how_to_use_it() -> None:
    refused = run(SCRIPTS / "dvc-models")

    assert refused.returncode == 254
    assert refused.stdout.startswith("usage: dvc models [-h]")


def test_the_own_script_tells_its_version() -> None:
    done = run(SCRIPTS / "dvc-models", "--version")

    assert done.stdout == f"{dvc_studio_models.__version__}\n"


def test_the_own_script_works_with_the_hook_off() -> None:
    helped = run(SCRIPTS / "dvc-models", "pull", "--help", **OFF)

    assert helped.stdout.startswith(PULL_USAGE)


def test_the_own_module_works_where_no_pth_file_is_read() -> None:
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    through_dvc = python("-S", "-m", "dvc", "models", "--help", **env)
    through_module = python("-S", "-m", "dvc_studio_models", "pull", "--help", **env)

    assert through_dvc.returncode == 254
    assert through_module.stdout.startswith(PULL_USAGE)
