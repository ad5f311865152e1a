"""Programs that take the place of ``git`` on PATH, and run the real one.

``SpyGit`` records the calls of this package, and lets some of them hang.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# Only this package runs Git with this setting.
_SPY = """\
hangs() {{
  for word in $(cat '{folder}/hang' 2> /dev/null); do
    case " $* " in *" $word "*) return 0;; esac
  done
  return 1
}}
case "$*" in
*core.fsmonitor=false*)
  echo "$*" >> '{folder}/calls'
  while hangs "$@"; do sleep 0.1; done
  sleep "$(cat '{folder}/delay' 2> /dev/null || echo 0)"
  ;;
esac
exec "$GIT" "$@"
"""


def replace_git(folder: Path, patch: pytest.MonkeyPatch, script: str) -> None:
    """Put a shell script called ``git`` first on PATH.

    Args:
        folder: Created, for the script.
        patch: Of the test.
        script: Finds the real Git in ``$GIT``.
    """
    folder.mkdir(parents=True)
    program = folder / "git"
    program.write_text(f"#!/bin/sh\nGIT={shutil.which('git')}\n{script}\n")
    program.chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@dataclass(frozen=True)
class SpyGit:
    """Records the calls of Git by this package."""

    folder: Path

    @classmethod
    def install(cls, folder: Path, patch: pytest.MonkeyPatch) -> SpyGit:
        """Put it first on PATH, for as long as ``patch`` lasts."""
        replace_git(folder / "bin", patch, _SPY.format(folder=folder))
        return cls(folder)

    def hang(self, *words: str) -> None:
        """Let calls hang, as long as one of the words is among their arguments."""
        (self.folder / "hang").write_text(" ".join(words))

    def delay(self, seconds: float) -> None:
        """Delay every call."""
        (self.folder / "delay").write_text(str(seconds))

    def clear(self) -> None:
        """Forget the calls so far."""
        (self.folder / "calls").unlink(missing_ok=True)

    def count(self, word: str = "") -> int:
        """Count the calls that have this word among their arguments."""
        log = self.folder / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(word in line.split() for line in lines) if word else len(lines)
