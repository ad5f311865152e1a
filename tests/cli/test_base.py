"""What all commands share."""

from __future__ import annotations

import gc
from argparse import Namespace

from dvc_studio_models.cli.base import CmdModels


class Looking(CmdModels):
    """A command that looks how often garbage is collected while it runs."""

    threshold = 0

    def run(self) -> int:
        self.threshold = gc.get_threshold()[0]
        return 0


def test_garbage_is_collected_rarely_while_a_command_runs_and_as_before_after() -> None:
    before = gc.get_threshold()
    command = Looking(Namespace(cd="."))

    assert command.do_run() == 0

    assert command.threshold > 10 * before[0]
    assert gc.get_threshold() == before
