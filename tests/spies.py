"""A wrapper of ``git`` that logs the calls of this package, and hangs on demand.

It comes first on PATH. It passes calls of other programs on to the real Git unchanged.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

# Only this package passes this setting to Git.
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
    """Controls the wrapper, and reads its log."""

    folder: Path

    @classmethod
    def install(cls, folder: Path, patch: pytest.MonkeyPatch) -> SpyGit:
        """Put the wrapper first on PATH until ``patch`` is undone."""
        git = shutil.which("git")
        program = folder / "bin" / "git"
        program.parent.mkdir(parents=True)
        program.write_text(_SCRIPT.format(folder=folder, git=git))
        program.chmod(0o755)
        patch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
        return cls(folder)

    def hang(self, *words: str) -> None:
        """Hang calls that have one of the words among their arguments."""
        (self.folder / "hang").write_text(" ".join(words))

    def delay(self, seconds: float) -> None:
        """Delay every call, in seconds."""
        (self.folder / "delay").write_text(str(seconds))

    def forget(self) -> None:
        """Clear the log."""
        (self.folder / "asked").unlink(missing_ok=True)

    def asked(self, word: str = "") -> int:
        """Count the calls that have this word among their arguments."""
        log = self.folder / "asked"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum(word in line.split() for line in lines) if word else len(lines)
