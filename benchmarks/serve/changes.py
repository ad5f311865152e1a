"""Repos that change while they are served, and what may be answered at each moment."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.serve.load import environ

if TYPE_CHECKING:
    import random
    from pathlib import Path

COMMITS = 40
MOST = 20
"""Versions, and tags of each stage, at once; older ones are deleted."""
MODEL = "m"
STAGES = ("dev", "prod")
_WHO = "Ada <ada@example.com>"
_BEGUN = 1_600_000_000


@dataclass
class _Span:
    """A commit, and the time in which it may be the answer."""

    commit: str
    begin: float
    end: float = float("inf")


class Timeline:
    """Which commit a request selects, as it changes."""

    def __init__(self) -> None:
        """Create an empty one."""
        self._spans: list[_Span] = []
        self._lock = threading.Lock()

    def set(self, commit: str, begin: float, end: float) -> None:
        """Note a change that took from ``begin`` to ``end``."""
        with self._lock:
            if self._spans:
                self._spans[-1].end = end
            self._spans.append(_Span(commit, begin))
            del self._spans[:-100]

    def at(self, begin: float, end: float, *, late_s: float = 0) -> set[str]:
        """Return what may be answered to a request from ``begin`` to ``end``.

        Args:
            begin: When it was sent.
            end: When the reply came.
            late_s: How much later than the change the server may know it.
        """
        with self._lock:
            return {
                span.commit
                for span in self._spans
                if span.begin <= end and span.end + late_s >= begin
            }


@dataclass
class ChangingRepo:
    """A bare repo whose tags are made and moved."""

    path: Path
    name: str
    storage: Path
    late_s: float = 0
    """How much later than it happens the server knows a change."""

    timelines: dict[str, Timeline] = field(default_factory=dict)
    """By the parameters of a request."""

    commits: list[str] = field(default_factory=list)
    md5s: dict[str, str] = field(default_factory=dict)
    """The model's file at each commit."""

    _tags_of: dict[str, list[str]] = field(default_factory=dict)
    """The tags of versions, and those of each stage, oldest first."""

    _counter: int = 0
    _versions: int = 0
    _tags: int = 0

    @classmethod
    def make(cls, root: Path, name: str, *, late_s: float = 0) -> ChangingRepo:
        """Create a repo with a model of one file, and its stored files."""
        path, storage = root / f"{name}.git", root / f"{name}-storage"
        repo = cls(path, name, storage, late_s)
        storage.mkdir()
        path.mkdir()
        repo.git("init", "--quiet", "--bare", "--initial-branch", "main")
        history = "".join(repo._history())
        subprocess.run(
            ["git", "fast-import", "--quiet"],
            cwd=path,
            env=environ(root),
            input=history.encode(),
            check=True,
        )
        commits = repo.git("rev-list", "--reverse", "main").split()
        repo.md5s = dict(zip(commits, map(_md5, repo._contents()), strict=True))
        repo.commits = commits
        for _ in range(2):
            repo.register()
        for stage in STAGES:
            repo.assign(stage)
        return repo

    def git(self, *args: str, **variables: str) -> str:
        """Run Git in the repo."""
        done = subprocess.run(
            ["git", *args],
            cwd=self.path,
            env={**environ(self.path.parent), **variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def change(self, chance: random.Random) -> str:
        """Do one of the things that happen to a repo; return which."""
        what = chance.choice(
            ("register", "assign", "assign", "move", "move", "gc", "repack", "pack")
        )
        if what == "register":
            self.register()
        elif what == "assign":
            self.assign(chance.choice(STAGES))
        elif what == "move":
            self.move(chance)
        elif what == "gc":
            self.git("gc", "--quiet", "--prune=now")
        elif what == "repack":
            self.git("repack", "-a", "-d", "-q")
        else:
            self.git("pack-refs", "--all")
        return what

    def register(self) -> None:
        """Register the next version, which is the latest then."""
        self._versions += 1
        version = f"v1.{self._versions}.0"
        commit = self.commits[self._versions % len(self.commits)]
        self._tag(f"{MODEL}@{version}", commit, "", f"version={version}")
        self._forget_old("version", f"{MODEL}@{version}")

    def assign(self, stage: str) -> None:
        """Assign a stage to a version; which one is told by its commit."""
        self._counter += 1
        known = {key: line for key, line in self.timelines.items() if "version" in key}
        key = sorted(known)[self._counter % len(known)]
        (commit,) = known[key].at(time.time(), time.time())
        tag = f"{MODEL}#{stage}#{self._counter}"
        self._tag(tag, commit, f"stage={stage}")
        self._forget_old(stage, tag)

    def move(self, chance: random.Random) -> None:
        """Move the tag of the latest version to another commit."""
        version = f"v1.{self._versions}.0"
        commit = chance.choice(self.commits)
        self._tag(f"{MODEL}@{version}", commit, "", f"version={version}")

    def _tag(self, tag: str, commit: str, *keys: str) -> None:
        self._tags += 1  # GTO goes by the seconds of tags
        date = {"GIT_COMMITTER_DATE": f"{_BEGUN + COMMITS + self._tags} +0000"}
        begin = time.time()
        self.git("tag", "-f", "-a", "-m", "x", tag, commit, **date)
        end = time.time()
        for key in keys:
            self.timelines.setdefault(key, Timeline()).set(commit, begin, end)

    def _forget_old(self, kind: str, tag: str) -> None:
        """Note a new tag; delete the oldest one of its kind if there are too many."""
        tags = self._tags_of.setdefault(kind, [])
        tags.append(tag)
        if len(tags) > MOST:
            old = tags.pop(0)
            # First, so that no client takes the missing version for a mistake.
            self.timelines.pop(f"version={old.partition('@')[2]}", None)
            self.git("tag", "--delete", old)

    def _contents(self) -> list[bytes]:
        return [f"{self.name} {number}\n".encode() for number in range(COMMITS)]

    def _history(self) -> list[str]:
        """Store the files, and return the history as input of ``git fast-import``."""
        files = {
            ".dvc/config": (
                f"[core]\nremote = s\n['remote \"s\"']\nurl = {self.storage}\n"
            ),
            "dvc.yaml": f"artifacts:\n  {MODEL}:\n    path: m.bin\n",
        }
        lines = []
        for number, content in enumerate(self._contents(), 1):
            md5 = _md5(content)
            stored = self.storage / "files/md5" / md5[:2] / md5[2:]
            stored.parent.mkdir(parents=True, exist_ok=True)
            stored.write_bytes(content)
            files["m.bin.dvc"] = (
                f"outs:\n- path: m.bin\n  hash: md5\n  md5: {md5}\n"
                f"  size: {len(content)}\n"
            )
            made = f"{_WHO} {_BEGUN + number} +0000\ndata 1\nx\n"
            lines.append(f"commit refs/heads/main\nmark :{number}\ncommitter {made}")
            lines.append(f"from :{number - 1}\n" if number > 1 else "")
            lines += (
                f"M 100644 inline {path}\ndata {len(text)}\n{text}\n"
                for path, text in files.items()
            )
            files = {}
        return lines


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()
