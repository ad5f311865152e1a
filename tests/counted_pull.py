"""Pulls in a process of its own, and counts what it opens and looks at.

An audit hook cannot be removed. While one runs, Python may switch to another thread,
and before Python 3.12 no other thread may start to be measured by coverage then:
``sys.settrace`` raises. So the process with the hook is not that of the tests, and
coverage does not measure it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warm import COVERAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Counted:
    """What one pull did."""

    opened: Counter[str]
    """How often each file was opened, by its path relative to the folder."""

    saved: Counter[str]
    """How often a file was renamed to each path, relative to the folder."""

    calls: Counter[str]
    """How often a clone was opened, and targets were looked at."""

    files: list[tuple[str, str]]
    """Of each file, what was done to it and what verified it."""

    error: str
    """The name of the class of the error and its message, or empty."""


def counted_pull(
    *names: str, folder: Path, env: Mapping[str, str] | None = None, **options: Any
) -> Counted:
    """Pull models into a clone; ``env`` is added to the environment."""
    every = {**os.environ, **(env or {})}
    kept = {name: every[name] for name in every if not name.startswith(COVERAGE)}
    done = subprocess.run(
        [sys.executable, __file__, json.dumps([names, options])],
        cwd=folder,
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    opened, saved, calls = (Counter(found[it]) for it in ("opened", "saved", "calls"))
    files = [(action, verified_by) for action, verified_by in found["files"]]
    return Counted(opened, saved, calls, files, found["error"])


def _main(names: list[str], options: dict[str, Any]) -> dict[str, Any]:
    from dvc_studio_models import pull
    from dvc_studio_models.errors import StudioModelsError
    from dvc_studio_models.files.workspace import Workspace
    from dvc_studio_models.registry.clone import Clone

    top = os.path.realpath(os.curdir)
    opened: Counter[str] = Counter()
    saved: Counter[str] = Counter()
    calls: Counter[str] = Counter()

    def relative(path: Any) -> str:
        return os.path.relpath(os.path.realpath(os.fsdecode(path)), top)

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], (str, bytes, os.PathLike)):
            opened[relative(arguments[0])] += 1
        elif event == "os.rename":
            saved[relative(arguments[1])] += 1

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return counted

    find = Clone.find.__func__  # type: ignore[attr-defined]
    Clone.find = classmethod(counting("clone", find))  # type: ignore[assignment]
    Workspace.stat_targets = counting("targets", Workspace.stat_targets)  # type: ignore[method-assign]
    sys.addaudithook(note)
    files: list[tuple[str, str | None]] = []
    error = ""
    try:
        result = pull(*names, **options)
        files = [(f.action, f.verified_by) for m in result.models for f in m.files]
    except StudioModelsError as raised:
        error = f"{type(raised).__name__}: {raised}"
    counts = {"opened": opened, "saved": saved, "calls": calls}
    return {**counts, "files": files, "error": error}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_main(*json.loads(sys.argv[1]))))
