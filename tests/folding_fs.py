"""A file system that finds names as macOS does, for tests on Linux.

It passes everything through to a folder:

    python tests/folding_fs.py serve KIND FOLDER MOUNT_POINT
    python tests/folding_fs.py run KIND COMMAND [ARGUMENT...]

The second runs a command with a mounted folder in the place of ``{}``.

``apfs`` finds names in any case and Unicode form, and keeps the form in which they were
created. ``hfs+`` also ignores some invisible characters, and stores names decomposed
(NFD). Neither can store a name that is not valid UTF-8.
"""

# Each call of FUSE is the system call of that name.
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH115, PTH208, PTH211

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("apfs", "hfs+")
DEVICE = Path("/dev/fuse")
MOUNT_S = 20.0
_TIMES = ("atime", "mtime", "ctime")
UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2  # instead of a time, for utimensat
# ``next_hfs_char`` in Git's utf8.c
IGNORED_BY_HFS = dict.fromkeys(
    [*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF]
)


@dataclass(frozen=True)
class Rules:
    """How one kind of file system compares and stores names."""

    kind: str

    def key(self, name: str) -> str:
        """Return what is equal for names of one file."""
        if self.kind == "hfs+":
            name = name.translate(IGNORED_BY_HFS)
        folded = unicodedata.normalize("NFD", name).casefold()
        return unicodedata.normalize("NFD", folded)

    def stored(self, name: str) -> str:
        """Return the name that a new file gets.

        Raises:
            OSError: It is not valid UTF-8.
        """
        try:
            name.encode()
        except UnicodeEncodeError:
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ)) from None
        return unicodedata.normalize("NFD", name) if self.kind == "hfs+" else name


class Names:
    """Finds the files of one folder by the names that users may give them."""

    def __init__(self, root: str, rules: Rules) -> None:
        self._root = root
        self._rules = rules

    def find(self, path: str) -> str:
        """Return the real path of a file; a new name if there is none.

        Raises:
            FileNotFoundError: A parent does not exist.
        """
        exact = self._root + path.rstrip("/")
        if self._rules.stored(path) == path and os.path.lexists(exact):
            return exact
        here = self._root
        *parents, last = [name for name in path.split("/") if name] or [""]
        for name in parents:
            here = self._child(here, name)
            os.lstat(here)
        return self._child(here, last) if last else here

    def _child(self, folder: str, name: str) -> str:
        stored = self._rules.stored(name)
        if os.path.lexists(f"{folder}/{stored}"):
            return f"{folder}/{stored}"
        key = self._rules.key(name)
        with contextlib.suppress(NotADirectoryError):
            for other in os.listdir(folder):
                if self._rules.key(other) == key:
                    return f"{folder}/{other}"
        return f"{folder}/{stored}"

    def renamed(self, path: str, name: str) -> str:
        """Return a real path with its last part spelled as in ``name``."""
        last = self._rules.stored(name.rpartition("/")[2])
        return f"{path.rpartition('/')[0]}/{last}"


def serve(kind: str, folder: str, mount_point: str) -> None:
    """Serve until the file system is unmounted, or standard input ends."""
    import mfusepy

    threading.Thread(target=end_with_input, daemon=True).start()
    os.umask(0)
    mfusepy.FUSE(
        Operations(Names(os.path.realpath(folder), Rules(kind))),
        mount_point,
        foreground=True,
        nothreads=True,  # faster, as only one thread of Python runs at a time
        fsname=kind,
        default_permissions=True,
    )


def end_with_input() -> None:
    """Let libfuse unmount when the process that started this one has ended."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


class Operations:
    """The calls of FUSE, each as the system call on the real path."""

    use_ns = True

    def __init__(self, names: Names) -> None:
        self._names = names
        self._find = names.find

    def init_with_config(self, _: object, config: Any) -> None:
        """Let the kernel keep nothing: one file has many names."""
        config.entry_timeout = config.attr_timeout = config.negative_timeout = 0
        config.use_ino = config.readdir_ino = config.hard_remove = 1

    def getattr(self, path: str | None, fh: int | None = None) -> dict[str, Any]:
        found = os.lstat(self._find(path)) if path is not None else os.fstat(fh or 0)
        fields = ("mode", "ino", "dev", "nlink", "uid", "gid", "size", "blocks")
        times = {f"st_{t}": getattr(found, f"st_{t}_ns") for t in _TIMES}
        return {f"st_{f}": getattr(found, f"st_{f}") for f in fields} | times

    def readdir(self, path: str, _: int) -> list[tuple[str, dict[str, int], int]]:
        with os.scandir(self._find(path)) as entries:
            inodes = {entry.name: entry.inode() for entry in entries}
        inodes |= dict.fromkeys((".", ".."), os.lstat(self._find(path)).st_ino)
        return [(name, {"st_ino": n}, 0) for name, n in inodes.items()]

    def fsyncdir(self, path: str, *_: int) -> None:
        opened = os.open(self._find(path), os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)

    def readlink(self, path: str) -> str:
        return os.readlink(self._find(path))

    def mkdir(self, path: str, mode: int) -> None:
        os.mkdir(self._find(path), mode)

    def mknod(self, path: str, mode: int, device: int) -> None:
        os.mknod(self._find(path), mode, device)

    def symlink(self, path: str, target: str) -> None:
        os.symlink(target, self._find(path))

    def link(self, path: str, old: str) -> None:
        os.link(self._find(old), self._find(path), follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """Give a file a name, and the spelling of that name."""
        before, replaced = self._find(old), self._find(new)
        os.rename(before, replaced)
        if os.path.lexists(replaced):
            os.rename(replaced, self._names.renamed(replaced, new))

    def unlink(self, path: str) -> None:
        os.unlink(self._find(path))

    def rmdir(self, path: str) -> None:
        os.rmdir(self._find(path))

    def chmod(self, path: str, mode: int) -> None:
        os.chmod(self._find(path), mode)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.lchown(self._find(path), uid, gid)

    def truncate(self, path: str, length: int, _: int | None = None) -> None:
        os.truncate(self._find(path), length)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> None:
        real, now = self._find(path), time.time_ns()
        found = os.lstat(real)
        before = found.st_atime_ns, found.st_mtime_ns
        pairs = zip(times or (UTIME_NOW, UTIME_NOW), before, strict=True)
        new = [{UTIME_NOW: now, UTIME_OMIT: old}.get(t, t) for t, old in pairs]
        os.utime(real, ns=(new[0], new[1]), follow_symlinks=False)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._find(path))
        return {n: getattr(found, n) for n in dir(found) if n[:2] == "f_"}

    def create(self, path: str, mode: int, flags: int) -> int:
        return os.open(self._find(path), flags | os.O_CREAT | os.O_NOFOLLOW, mode)

    def open(self, path: str, flags: int) -> int:
        return os.open(self._find(path), flags & ~os.O_APPEND)

    def read(self, _: str | None, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, _: str | None, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def fsync(self, _: str | None, _datasync: int, fh: int) -> None:
        os.fsync(fh)

    def release(self, _: str | None, fh: int) -> None:
        os.close(fh)


class CannotMountError(Exception):
    """The machine does not let this process mount it."""


@contextlib.contextmanager
def mounted(kind: str, folder: Path, mount_point: Path) -> Iterator[Path]:
    """Mount an existing folder at another one until the context ends.

    Raises:
        CannotMountError: The message says why.
    """
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        raise CannotMountError(os.strerror(errno.EACCES))
    paths = map(str, (folder, mount_point))
    command = [sys.executable, __file__, "serve", kind, *paths]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            until = time.monotonic() + MOUNT_S
            while not mount_point.is_mount():
                if process.poll() is not None or time.monotonic() > until:
                    process.kill()
                    said = process.communicate()[1].strip().splitlines() or [
                        "no answer"
                    ]
                    raise CannotMountError(said[-1])
                time.sleep(0.01)
            yield mount_point
        finally:
            _end(process, mount_point)


def _end(process: subprocess.Popen[str], mount_point: Path) -> None:
    """End the process by closing its input; libfuse unmounts.

    A second signal would end it before that.
    """
    while process.poll() is None:
        try:
            process.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError):
                os.statvfs(mount_point)  # it may wait for a request


def run(kind: str, *command: str) -> int:
    """Run a command, with the path of a mounted folder in the place of ``{}``."""
    with tempfile.TemporaryDirectory() as home:
        folder, mount_point = Path(home, "inside"), Path(home, "mounted")
        folder.mkdir()
        mount_point.mkdir()
        with mounted(kind, folder, mount_point):
            filled = [word.replace("{}", str(mount_point)) for word in command]
            return subprocess.run(filled, check=False).returncode


def main() -> int:
    """Serve, or run a command, by the arguments of the process.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(dest="action", required=True)
    for action, names in (("serve", ("folder", "mount_point")), ("run", ("command",))):
        inner = actions.add_parser(action)
        inner.add_argument("kind", choices=KINDS)
        for name in names:
            rest = argparse.REMAINDER if name == "command" else None
            inner.add_argument(name, nargs=rest)
    args = parser.parse_args()
    if args.action == "serve":
        serve(args.kind, args.folder, args.mount_point)
        return 0
    try:
        return run(args.kind, *args.command)
    except CannotMountError as error:
        sys.exit(f"{DEVICE} mounts no file system: {error}")


if __name__ == "__main__":
    sys.exit(main())
