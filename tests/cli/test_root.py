from __future__ import annotations

import subprocess
import sys

from dvc_studio_models.cli.summaries import SUMMARIES

STARTED = """
import sys
from dvc.cli.parser import get_main_parser
main = get_main_parser()
main.parse_args(sys.argv[1:])
found = [n.split(".")[2] for n in sys.modules if n.startswith("dvc_studio_models.cli.")]
print(*{*found} & {*SUMMARIES})
"""


def commands_imported(*args: str) -> list[str]:
    """Return the commands that a new process imports when it reads arguments."""
    code = f"SUMMARIES = {list(SUMMARIES)}\n{STARTED}"
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_other_commands_of_dvc_import_none_of_ours() -> None:
    assert commands_imported("status") == []


def test_a_command_is_imported_by_itself() -> None:
    assert commands_imported("models", "pull", "churn") == ["pull"]
