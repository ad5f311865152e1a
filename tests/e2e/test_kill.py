"""A pull that is killed at any file-system call, and the pull after it.

strace counts the calls of a whole pull, then kills further pulls at the start of the
n-th call. After each kill, every target has its old or its new content, Git shows no
files but the targets, and every object in the cache is complete. The next pull succeeds
and leaves no temporary files. With ``KILL_ALL=1`` in the environment, all points are
tested (about 700, ten minutes); otherwise only some.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from needs import need_program
from projects import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import FileServer, StudioServer
    from warm import Warm

pytestmark = [pytest.mark.reliability("Through `dvc`: kills"), pytest.mark.slow]

POINTS = 0 if os.environ.get("KILL_ALL") else 16
"""How many to try for each kind of pull; 0 means all."""

REACHED_SHARE = 3 / 4
"""Of those tried, at least: threads make each call a little earlier or later."""

NOT_REACHED = "not reached"

CALLS = (
    "chmod,chown,copy_file_range,fallocate,fchmod,fchmodat,fchown,fchownat,fdatasync,"
    "fsync,ftruncate,ioctl,link,linkat,mkdir,mkdirat,open,openat,pwrite64,pwritev,"
    "rename,renameat,renameat2,rmdir,sendfile,symlink,symlinkat,truncate,unlink,"
    "unlinkat,utimensat,write,writev"
)
"""Whatever changes a file or a folder."""
_ENTERED = re.compile(r"(\d+) +(\w+)\((.*)")
_WRITES = {
    "ioctl": "FICLONE",
    "open": "O_CREAT|O_TMPFILE",
    "openat": "O_CREAT|O_TMPFILE",
}
"""Of calls that mostly read: what those hold that write."""

OLD = {
    "models/large.bin": random.Random(1).randbytes(700_000),
    "models/same.txt": b"in both versions\n" * 30,
    "models/sub/gone.bin": b"only in the first version\n" * 50,
}
NEW = {
    "models/large.bin": random.Random(2).randbytes(600_000),
    "models/same.txt": OLD["models/same.txt"],
    "models/new/fresh.bin": b"only in the second version\n" * 40,
    "models/new/twin.bin": b"only in the second version\n" * 40,
}


@dataclass(frozen=True)
class Kind:
    """A kind of pull."""

    link: str = "copy"
    options: tuple[str, ...] = ()
    dvc: bool = True
    cold: bool = False

    @property
    def has_receipts(self) -> bool:
        """Whether a pull knows which files an earlier one placed."""
        return self.dvc or "--no-cache" not in self.options


KINDS = {
    "copy": Kind("copy"),
    "hardlink": Kind("hardlink"),
    "symlink": Kind("symlink"),
    "no cache": Kind(options=("--no-cache",)),
    "no DVC project": Kind(dvc=False),
    "no DVC project, no cache": Kind(options=("--no-cache", "--force"), dvc=False),
    "copy, cold": Kind("copy", cold=True),
    "hardlink, cold": Kind("hardlink", cold=True),
    "symlink, cold": Kind("symlink", cold=True),
    "no cache, cold": Kind(options=("--no-cache",), cold=True),
    "no DVC project, cold": Kind(dvc=False, cold=True),
    "no DVC project, no cache, cold": Kind(
        options=("--no-cache",), dvc=False, cold=True
    ),
}


@pytest.fixture(scope="module")
def dvc(warm_dvc: Warm) -> Warm:
    need_program("strace")
    return warm_dvc


class World:
    """A clone that can be reset, with DVC's files about it."""

    def __init__(
        self, folder: Path, dvc: Warm, kind: Kind, env: dict[str, str]
    ) -> None:
        self._folder = folder
        self._dvc = dvc
        self._kind = kind
        self._env = {
            **os.environ,
            **env,
            "DVC_SITE_CACHE_DIR": str(folder / "world/site"),
            "DVC_STUDIO_MODELS_CACHE": str(folder / "world/cache"),
        }
        self.clone = folder / "world/clone"
        self.cache = self.clone / ".dvc/cache" if kind.dvc else folder / "world/cache"
        self.log = folder / "strace.log"

    def make(self) -> None:
        self.clone.mkdir(parents=True)
        git(self.clone, "init", "--quiet")
        git(self.clone, "remote", "add", "origin", "https://git.example.com/a/b.git")
        if self._kind.dvc:
            self.run("init", "--quiet")
            self.run("config", "cache.type", self._kind.link)
            git(self.clone, "add", "--all")
            git(self.clone, "commit", "--quiet", "--message", "Begin")

    def run(self, *argv: str) -> str:
        output = self._folder / "output"
        code = self._dvc.run(*argv, cwd=self.clone, env=self._env, output=output)
        text = output.read_text()
        assert code == 0, text
        return text

    def pull(self) -> str:
        return self.run("models", "pull", "m", *self._kind.options)

    def traced(self, *options: str) -> list[tuple[str, str, str]]:
        """Pull under strace; return process, call and arguments of each call."""
        self._dvc.run(
            *("models", "pull", "m", *self._kind.options),
            cwd=self.clone,
            env=self._env,
            output=self._folder / "output",
            trace=["-f", "-q", "-y", "-o", str(self.log), *options],
        )
        lines = self.log.read_text(errors="replace").splitlines()
        found = map(_ENTERED.match, lines)
        return [(m[1], m[2], m[3]) for m in found if m]

    def keep(self) -> None:
        subprocess.run(["cp", "-a", "world", "kept"], cwd=self._folder, check=True)

    def restore(self) -> None:
        shutil.rmtree(self._folder / "world")
        subprocess.run(["cp", "-a", "kept", "world"], cwd=self._folder, check=True)

    def files(self) -> set[str]:
        """Return all files of the clone that are not Git's."""
        return {
            str(path.relative_to(self.clone))
            for path in self.clone.rglob("*")
            if path.is_symlink() or not path.is_dir()
            if path.relative_to(self.clone).parts[0] != ".git"
        }

    def check_whole(self) -> str:
        """Check what holds at any moment, also right after a kill; tell how far it is.

        Returns:
            ``old`` or ``new`` if all targets are, else ``between``.
        """
        states = set()
        for path in OLD.keys() | NEW.keys():
            target = self.clone / path
            content = target.read_bytes() if target.exists() else None
            old = None if self._kind.cold else OLD.get(path)
            # Without a receipt nothing tells that a file is of the version before.
            new = NEW.get(path, None if self._kind.has_receipts else old)
            assert content in {old, new}, f"{path} is torn"
            assert not target.is_symlink() or target.exists()
            if old != new:
                states.add("old" if content == old else "new")
        shown = git(self.clone, "status", "--porcelain", "--untracked-files=all")
        shown = {line.removeprefix("?? ") for line in shown.splitlines()}
        assert shown <= OLD.keys() | NEW.keys()
        for found in (self.cache / "files/md5").glob("??/*"):
            # DVC makes an object read-only when it is whole; any other it hashes.
            if not found.stat().st_mode & 0o222:
                md5 = hashlib.md5(found.read_bytes(), usedforsecurity=False)
                assert md5.hexdigest() == found.parent.name + found.name
        return states.pop() if len(states) == 1 else "between"

    def check_done(self, expected: set[str]) -> None:
        """Check that a pull did all its work and left no other files."""
        self.check_whole()
        for path, content in NEW.items():
            assert (self.clone / path).read_bytes() == content
        assert self.files() == expected


def identity(path: Path) -> tuple[int, int] | None:
    if not path.exists():
        return None
    found = path.lstat()
    return found.st_ino, found.st_mtime_ns


def points(calls: list[tuple[str, str, str]], world: World) -> list[tuple[str, int]]:
    """Return the calls at which to kill; strace counts the calls of each thread."""
    counts: Counter[tuple[str, str]] = Counter()
    found = {}
    for process, call, arguments in calls:
        counts[process, call] += 1
        wanted = _WRITES.get(call)
        is_ours = str(world.clone) in arguments or str(world.cache) in arguments
        if is_ours and (not wanted or re.search(wanted, arguments)):
            found[call, counts[process, call]] = None
    return list(found)


def sample(every: list[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """Select some points, from the first to the last."""
    if not count or count >= len(every):
        return every
    return [every[at * (len(every) - 1) // (count - 1)] for at in range(count)]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_killed_at_any_call_a_pull_leaves_old_or_new_and_the_next_one_ends_well(
    tmp_path: Path,
    dvc: Warm,
    studio: StudioServer,
    file_server: FileServer,
    kind: Kind,
    record_property: Callable[[str, object], None],
) -> None:
    world = World(tmp_path, dvc, kind, studio.environ)
    world.make()
    if not kind.cold:
        studio.serve("m", file_server.publish(OLD))
        world.pull()
    studio.serve("m", file_server.publish(NEW))
    world.keep()
    calls = world.traced("-e", f"trace=?{CALLS.replace(',', ',?')}")
    assert "exited with 0" in world.log.read_text()
    world.pull()
    expected = world.files()

    outcomes: Counter[tuple[str, str]] = Counter()
    for call, number in sample(points(calls, world), POINTS):
        world.restore()
        before = identity(world.clone / "models/same.txt")
        inject = f"inject={call}:signal=KILL:when={number}"
        world.traced("-e", f"trace={call}", "-e", inject)
        killed = "killed by SIGKILL" in world.log.read_text()
        try:
            state = world.check_whole() if killed else NOT_REACHED
            before = before or identity(world.clone / "models/same.txt")
            world.pull()
            world.check_done(expected)
            assert before in {None, identity(world.clone / "models/same.txt")}
        except AssertionError as error:
            log = world.log.read_text()[-1000:]
            pytest.fail(f"{error}\nafter a kill at {call} {number}:\n{log}")
        outcomes[call, state] += 1

    tried = sum(outcomes.values())
    reached = sum(n for (_, state), n in outcomes.items() if state != NOT_REACHED)
    assert reached >= tried * REACHED_SHARE
    assert {state for _, state in outcomes} >= {"old", "new"}
    for (call, state), count in sorted(outcomes.items()):
        record_property("kill", [call, state, count])
