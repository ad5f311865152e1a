"""A ``git`` that notes what this package asks it, and hangs when it is told to.

It stands first on PATH, and is the real one to everybody else.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# Nobody else gives Git this setting.
_SCRIPT = """\
#!/bin/sh
hangs() {{
  for word in $(cat '{folder}/hang' 2> /dev/null); do
    case " $* " in *" $word "*) return 0;; esac
  done
  return 1
}}
case "$*" in
*core.fsmonitor=false*)
  echo "$*" >> '{folder}/asked'
  while hangs "$@"; do sleep 0.1; done
  sleep "$(cat '{folder}/delay' 2> /dev/null || echo 0)"
  ;;
esac
exec '{git}' "$@"
"""


@dataclass(frozen=True)
class SpyGit:
    """The program, and what it is told."""

    folder: Path

    @classmethod
    def install(cls, folder: Path, patch: pytest.MonkeyPatch) -> SpyGit:
        """Put it first on PATH, for as long as ``patch`` lasts."""
        git = shutil.which("git")
        program = folder / "bin" / "git"
        program.parent.mkdir(parents=True)
        program.write_text(_SCRIPT.format(folder=folder, git=git))
        program.chmod(0o755)
        patch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return cls(folder)

    def hang(self, *words: str) -> None:
        """Hang for as long as one of the words is among the arguments."""
        (self.folder / "hang").write_text(" ".join(words))

    def delay(self, seconds: float) -> None:
        """Answer only after that time."""
        (self.folder / "delay").write_text(str(seconds))

    def forget(self) -> None:
        """Forget what was asked."""
        (self.folder / "asked").unlink(missing_ok=True)

    def asked(self, word: str = "") -> int:
        """Count the calls whose arguments have this word."""
        log = self.folder / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(word in line.split() for line in lines) if word else len(lines)
