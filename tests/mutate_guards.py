"""Removes each guard in turn, and checks that a test fails without it.

    python tests/mutate_guards.py [MODULE ...]

A guard is an ``if``, a ``raise``, one part of an ``and`` or ``or``, a member of a set,
a flag of ``os.open``, or ``follow_symlinks=False``, in the modules that protect paths
and the workspace. Each is removed in a copy of the package. The tests that run its line
are run first, then all others. Prints the guards without which no test fails, and exits
with 1 if there are any. The figures are written to ``mutants.txt``.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Removal = tuple[ast.AST, str, object, str]

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "dvc_studio_models"
MODULES = {
    "files/durable": [
        "files/test_durable.py",
        "files/test_macos.py",
        "store/dvc/test_store.py",
    ],
    "files/owner": [
        "files/test_scratch.py",
        "files/test_macos.py",
        "store/parts/test_folder.py",
    ],
    "files/paths": ["files/test_paths.py", "files/test_macos.py"],
    "files/folders": ["files/test_workspace.py", "files/test_macos.py"],
    "files/moves": ["files/test_workspace.py", "files/test_macos.py"],
    "files/transaction": ["files/test_workspace.py", "files/test_macos.py"],
    "files/receipts": ["files/test_receipts.py"],
    "files/scratch": [
        "files/test_scratch.py",
        "files/test_macos.py",
        "files/test_workspace.py",
        "store/dvc/test_store.py",
    ],
    "files/workspace": ["files/test_workspace.py", "files/test_macos.py"],
}
HEAVY = ("hypothesis", "pygit2", "requests", "dvc.repo", "dvc.exceptions", "servers")
FIGURES = TESTS / "mutants.txt"
TIMEOUT_S = 90
MEMORY_BYTES = 4 << 30  # of address space: a mutant must not use all memory
SMALL = "if size < PIECE_BYTES"
SUBVOLUMES = "if os.stat(home).st_dev != os.fstat(folder).st_dev"
LOOPS = "errno.ELOOP of {errno.ENOTDIR, errno.ELOOP}"
DARWIN = "sys.platform == 'darwin'"
IS_LINUX = "sys.platform == 'linux'"
COPIES = f"{IS_LINUX} and hasattr(os, 'copy_file_range')"
DIRECT = f"{IS_LINUX} and hasattr(os, 'O_DIRECT')"
UNNAMED = f"{IS_LINUX} and hasattr(os, 'O_TMPFILE')"
LISTS = f"{IS_LINUX} and hasattr(os, 'listxattr')"
REPORTS = f"{IS_LINUX} and _kernel_release() >= _REPORTS_ERRORS"
REFUSED = "{errno.EINVAL, errno.ENOTSUP, errno."
SAME = "fold(other) == fold(name)"
EXCUSED = {
    ("files/folders", f"{SAME} of {SAME} and stat_target(other, folder) == found"): (
        "a rename to another link of the same file does nothing"
    ),
    ("files/folders", "names if name not in names else (), always"): (
        "a rename to the same name does nothing"
    ),
    ("files/folders", LOOPS): "only macOS reports it",
    ("files/moves", SUBVOLUMES): "only needed on btrfs",
    ("files/durable", SMALL): "without it, copies are correct but slower",
    ("files/durable", f"errno.ENOTSUP of {REFUSED}"): "EOPNOTSUPP is the same on Linux",
    ("files/durable", f"errno.EOPNOTSUPP of {REFUSED}"): "so is ENOTSUP",
    ("files/durable", f"if {DIRECT}"): "without it, copies are correct but slower",
    ("files/durable", f"{IS_LINUX} of {DIRECT}"): "only Linux has it; for types",
    ("files/durable", f"{IS_LINUX} of {COPIES}"): "only Linux has it; for types",
    ("files/durable", f"{IS_LINUX} of {REPORTS}"): "others have no syncfs",
    ("files/moves", f"{IS_LINUX} of {LISTS}"): "only Linux has it; for types",
    ("files/transaction", f"are_many of are_many and {DARWIN}"): "one flush more",
    ("files/scratch", f"if {UNNAMED}"): "without it, Git may show a file for a moment",
    ("files/scratch", "if _link_ignore(folder)"): "the file is looked at once more",
    ("files/scratch", f"{IS_LINUX} of {UNNAMED}"): "only Linux has it; for types",
}


@dataclass(frozen=True)
class Mutant:
    """One module without one of its guards."""

    module: str
    line: int
    guard: str
    code: str


def mutants(module: str) -> Iterator[Mutant]:
    """Yield each version of a module without one of its guards."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    for node, field, replacement, guard in _removals(tree):
        before = getattr(node, field)
        setattr(node, field, replacement)
        line = getattr(node, "lineno", None) or node.target.lineno  # of a comprehension
        yield Mutant(module, line, guard, ast.unparse(tree))
        setattr(node, field, before)


def _removals(tree: ast.AST) -> Iterator[Removal]:
    for node in ast.walk(tree):
        if find := FINDERS.get(type(node)):
            yield from find(node)
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                yield from _raises(node, field, value)
            elif isinstance(value, ast.BinOp):
                yield from _flags(node, field, value)


def _ifs(node: ast.If) -> Iterator[Removal]:
    if _text(node.test) != "TYPE_CHECKING":
        yield node, "test", ast.Constant(value=False), f"if {_text(node.test)}"


def _choices(node: ast.IfExp) -> Iterator[Removal]:
    for value, outcome in ((True, "always"), (False, "never")):
        yield node, "test", ast.Constant(value=value), f"{_text(node)}, {outcome}"


def _filters(node: ast.comprehension) -> Iterator[Removal]:
    for part, rest in _each(node.ifs):
        yield node, "ifs", rest, f"if {_text(part)} of a comprehension"


def _parts(node: ast.BoolOp) -> Iterator[Removal]:
    for part, rest in _each(node.values):
        yield node, "values", rest, f"{_text(part)} of {_text(node)}"


def _members(node: ast.Set) -> Iterator[Removal]:
    for part, rest in _each(node.elts):
        yield node, "elts", rest, f"{_text(part)} of {_text(node)[:36]}"


def _keywords(node: ast.Call) -> Iterator[Removal]:
    for part, rest in _each(node.keywords):
        if part.arg == "follow_symlinks":
            yield node, "keywords", rest, f"follow_symlinks of {_text(node)}"


def _raises(node: ast.AST, field: str, body: list[ast.AST]) -> Iterator[Removal]:
    for index, item in enumerate(body):
        if isinstance(item, ast.Raise):
            rest = [*body[:index], ast.Pass(), *body[index + 1 :]]
            yield node, field, rest, _text(item)


def _flags(node: ast.AST, field: str, value: ast.BinOp) -> Iterator[Removal]:
    if _text(value.right).startswith("os.O_"):
        yield node, field, value.left, _text(value.right)
        if not isinstance(value.left, ast.BinOp) and _text(value.left) != "os.O_RDONLY":
            yield node, field, value.right, _text(value.left)  # O_RDONLY is nothing


FINDERS: dict[type, Callable[[Any], Iterator[Removal]]] = {
    ast.If: _ifs,
    ast.IfExp: _choices,
    ast.comprehension: _filters,
    ast.BoolOp: _parts,
    ast.Set: _members,
    ast.Call: _keywords,
}


def _each(items: Sequence[ast.AST]) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    for index, item in enumerate(items):
        yield item, [*items[:index], *items[index + 1 :]]


def _text(node: ast.AST) -> str:
    return ast.unparse(node)


# Run the tests


class Recorder:
    """Records the duration and the lines of each test."""

    def __init__(self, cover: coverage.Coverage) -> None:
        self.seconds: dict[str, float] = {}
        self._cover = cover

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        self._cover.switch_context(item.nodeid)
        began = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - began
        self._cover.switch_context("")


class Chooser:
    """Runs only some tests, the fastest first."""

    def __init__(self, seconds: dict[str, float], chosen: set[str]) -> None:
        self._seconds = seconds
        self._chosen = chosen

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._chosen),
            key=lambda item: self._seconds[item.nodeid],
        )


def run_tests(package: Path, files: Sequence[str], *plugins: object) -> int:
    """Run tests in this process with a copy of the package; return the exit code."""
    import hypothesis

    hypothesis.settings.register_profile("mutants", derandomize=True, database=None)
    hypothesis.settings.load_profile("mutants")
    sys.path[:0] = [str(package), str(TESTS)]
    os.environ["PYTHONPATH"] = str(package)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    paths = [str(TESTS / file) for file in files]
    args = ["-x", "-p", "no:cacheprovider", "--assert=plain"]
    return int(pytest.main([*args, *paths], list(plugins)))


def start_child(work: Callable[..., int], *args: object, quiet: bool) -> int:
    """Call ``work`` in a child process; return its ID."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setpgid(0, 0)
            if quiet:
                devnull = os.open(os.devnull, os.O_RDWR)
                for stream in (0, 1, 2):
                    os.dup2(devnull, stream)
            status = work(*args)
        finally:
            sys.stdout.flush()
            os._exit(status)
    return child


def wait_for(child: int) -> int:
    """Wait for a process, kill its process group, and return its status."""
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    with contextlib.suppress(ProcessLookupError):  # its ID cannot be reused yet
        os.killpg(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def record(folder: Path, files: Sequence[str]) -> int:
    """Run all tests on the unchanged package; record their lines and durations."""
    cover = coverage.Coverage(
        data_file=str(folder / "coverage"),
        include=[str(folder / "*")],
        config_file=False,
    )
    recorder = Recorder(cover)
    cover.start()
    status = run_tests(folder, files, recorder)
    cover.stop()
    cover.save()
    (folder / "seconds").write_text(json.dumps(recorder.seconds))
    return status


def tests_by_line(folder: Path, module: str) -> dict[int, set[str]]:
    """Return line -> tests that run it."""
    data = coverage.CoverageData(str(folder / "coverage"))
    data.read()
    path = str(folder / PACKAGE.name / f"{module}.py")
    found = data.contexts_by_lineno(path)
    return {line: set(contexts) - {""} for line, contexts in found.items()}


def is_detected(mutant: Mutant, seconds: dict[str, float], first: set[str]) -> bool:
    """Whether a test fails, or hangs, without the guard."""
    files = MODULES[mutant.module]
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = copy_package(Path(name))
        path = folder / PACKAGE.name / f"{mutant.module}.py"
        path.write_text(mutant.code, "utf-8")
        parts = (first, set(seconds) - first)
        return any(part and fails(folder, files, seconds, part) for part in parts)


def fails(
    folder: Path, files: Sequence[str], seconds: dict[str, float], chosen: set[str]
) -> bool:
    """Whether a chosen test fails or exceeds a limit."""
    child = start_child(run_limited, folder, files, seconds, chosen, quiet=True)
    return wait_for(child) != 0


def run_limited(
    folder: Path, files: Sequence[str], seconds: dict[str, float], chosen: set[str]
) -> int:
    """Run some tests with limits on time and memory."""
    os.chdir(folder)  # a mutant may write anywhere
    signal.alarm(TIMEOUT_S)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    return run_tests(folder, files, Chooser(seconds, chosen))


def copy_package(folder: Path) -> Path:
    """Copy the package, without byte code."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=ignore)
    return folder


def run_share(
    module: str, share: slice, seconds: dict[str, float], lines: dict[int, set[str]]
) -> int:
    """Test some mutants of a module; return the number that no test detects."""
    missed = 0
    for mutant in list(mutants(module))[share]:
        excuse = EXCUSED.get((module, mutant.guard))
        if excuse or is_detected(mutant, seconds, lines.get(mutant.line, set())):
            continue
        missed += 1
        print(f"{module}.py:{mutant.line}: no test fails without {mutant.guard!r}")  # noqa: T201
    return missed


def run_mutants(module: str) -> int:
    """Test all mutants of a module; return the number that no test detects."""
    files = MODULES[module]
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        folder = copy_package(Path(name))
        if wait_for(start_child(record, folder, files, quiet=True)):
            sys.exit(f"the tests of {module} fail on the unchanged code")
        seconds = json.loads((folder / "seconds").read_text())
        lines = tests_by_line(folder, module)
        if fails(folder, files, seconds, set(seconds)):
            limits = f"{TIMEOUT_S} s and {MEMORY_BYTES >> 30} GiB"
            sys.exit(f"the tests of {module} do not pass within {limits}")
    count = os.cpu_count() or 1
    shares = [slice(number, None, count) for number in range(count)]
    children = [
        start_child(run_share, module, share, seconds, lines, quiet=False)
        for share in shares
    ]
    missed = sum(os.waitstatus_to_exitcode(wait_for(child)) for child in children)
    guards = list(mutants(module))
    excused = sum((module, mutant.guard) in EXCUSED for mutant in guards)
    line = f"{module}: {len(guards)} guards, {missed} missed, {excused} excused"
    print(line)  # noqa: T201
    write_figures(line)
    return missed


def write_figures(line: str) -> None:
    """Write the figures of a module to the file, for ``docs/reliability.md``."""
    before = FIGURES.read_text().splitlines() if FIGURES.exists() else []
    module = line.partition(":")[0]
    others = [each for each in before if each.partition(":")[0] != module]
    FIGURES.write_text("\n".join(sorted([*others, line])) + "\n")


def main(modules: Sequence[str]) -> int:
    """Test the guards of modules; return the exit code."""
    sys.path.insert(0, str(TESTS))
    for name in HEAVY:  # imported once, not for every mutant
        importlib.import_module(name)
    return 1 if sum(map(run_mutants, modules)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(MODULES)))
