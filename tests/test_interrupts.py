"""A document at the end of a process that a signal ends, if none was printed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from dvc_studio_models.interrupts import asks_for_json, expects_json

PROGRAM = """
import os, sys
from dvc_studio_models import interrupts

interrupts.arm()
interrupts.arm()
if sys.argv[1] == "printed":
    print("[]")
    interrupts.printed()
if sys.argv[2] != "0":
    os.kill(os.getpid(), int(sys.argv[2]))
"""


@pytest.mark.parametrize("state", ["printed", "owed"])
@pytest.mark.parametrize("number", [0, signal.SIGINT, signal.SIGTERM], ids=str)
def test_a_document_is_printed_once_and_only_for_a_signal(
    state: str, number: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, state, str(int(number))],
        capture_output=True,
        text=True,
        check=False,
    )

    if state == "printed":
        assert done.stdout == "[]\n"
    elif number:
        assert json.loads(done.stdout)["error"]["kind"]
    else:
        assert done.stdout == ""


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("models pull churn --json", True),
        ("-v --cd x models list --json", True),
        ("models list --js", True),
        ("--cd models pull --json", False),
        ("ls models --json", False),
        ("models pull churn", False),
        ("models pull churn -- --json", False),
        ("", False),
    ],
)
def test_only_our_commands_owe_a_document(args: str, expected: bool) -> None:
    assert expects_json(args.split()) is expected


@pytest.mark.parametrize("option", ["--jobs", "-j", "--j", "json"])
def test_other_options_are_not_the_option(option: str) -> None:
    assert not asks_for_json([option])
