"""What we use of other packages is what they offer, and is all in one table."""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import inspect
import textwrap
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from needs import need_package
from seams import LIBRARIES, SEAMS, Seam

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "dvc_studio_models"


@dataclass
class Use:
    """How our code uses one name."""

    modules: set[str] = field(default_factory=set)
    args: int = 0
    keywords: set[str] = field(default_factory=set)
    methods: set[str] = field(default_factory=set)
    """Those that classes of ours define which inherit from it."""


class Scan:
    """What our code uses, by the dotted name of what is imported."""

    def __init__(self) -> None:
        self.uses: dict[str, Use] = defaultdict(Use)
        self.words: dict[str, set[str]] = defaultdict(set)
        """Attributes, keywords, names of functions and strings, with their modules."""

    def read(self, text: str, module: str) -> None:
        """Add one module."""
        tree = ast.parse(text)
        names = dict(_imported(tree))
        inner = {n.value for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
        for name in names.values():
            self.uses[name].modules.add(module)
        for node in ast.walk(tree):
            for word in _words(node):
                self.words[word].add(module)
            if node not in inner and (name := _dotted(node, names)):
                self.uses[name].modules.add(module)
            if isinstance(node, ast.Call) and (name := _dotted(node.func, names)):
                self._read_call(name, node)
            if isinstance(node, ast.ClassDef):
                self._read_class(node, names)

    def _read_call(self, name: str, node: ast.Call) -> None:
        use = self.uses[name]
        use.args = max(use.args, len(node.args))
        use.keywords |= {each.arg for each in node.keywords if each.arg}

    def _read_class(self, node: ast.ClassDef, names: dict[str, str]) -> None:
        methods = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        for base in node.bases:
            if name := _dotted(base, names):
                self.uses[name].methods |= methods


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield names in a module, and what they are."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in LIBRARIES:
                for each in node.names:
                    yield each.asname or each.name, f"{node.module}.{each.name}"
        elif isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.split(".")[0]
                if top in LIBRARIES:
                    yield each.asname or top, each.name if each.asname else top


def _dotted(node: ast.AST, names: dict[str, str]) -> str | None:
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _dotted(node.value, names)
        return base and f"{base}.{node.attr}"
    return None


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(attr=word) | ast.FunctionDef(name=word):
            yield word
        case ast.keyword(arg=str(word)) | ast.Constant(value=str(word)):
            yield word


@functools.cache
def scan() -> Scan:
    found = Scan()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        found.read(path.read_text("utf-8"), module)
    return found


def missing() -> set[str]:
    """Return the names that are used and are not in the table.

    A module or class of which only a member is used need not be there.
    """
    uses = scan().uses
    found = set()
    for name, use in uses.items():
        parent, _, last = name.rpartition(".")
        is_member = parent in SEAMS and last in SEAMS[parent].members.split()
        is_on_the_way = any(other.startswith(f"{name}.") for other in uses)
        if use.args or use.keywords or not is_on_the_way:
            found |= {name} if name not in SEAMS and not is_member else set()
    return found


def users(name: str) -> str:
    """Return the modules that use a name; of a method, all that use one like it."""
    uses = scan().uses.items()
    found = [use.modules for each, use in uses if f"{each}.".startswith(f"{name}.")]
    return _listed(*found) if found else users_of(name.rpartition(".")[2])


def users_of(word: str) -> str:
    """Return the modules that use an attribute of that name."""
    return _listed(scan().words.get(word, set()))


def _listed(*modules: set[str]) -> str:
    return ", ".join(sorted(set[str]().union(*modules))) or "nobody"


def find(name: str) -> Any:
    """Import a name: a module, or something in one.

    Raises:
        ImportError: There is no such module.
        AttributeError: It is not in its module.
    """
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            if count == 1:
                raise
            continue
        for part in parts[count:]:
            found = getattr(found, part)
        return found
    raise AssertionError


def lacks(found: Any, member: str) -> bool:
    """Whether a class neither defines an attribute nor sets it on its instances."""
    if hasattr(found, member) or not isinstance(found, type):
        return not hasattr(found, member)
    return not any(
        member in getattr(kind, "__annotations__", {}) or member in _set_by(kind)
        for kind in found.__mro__[:-1]
    )


@functools.cache
def _set_by(kind: type) -> set[str]:
    """Return the attributes that the methods of a class set on instances."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, TypeError):  # it is not written in Python
        return set()
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and ast.unparse(node.value) == "self"
    }


def problems(name: str, seam: Seam) -> Iterator[str]:
    """Yield what is not as our code uses it."""
    try:
        found = find(name)
    except (ImportError, AttributeError) as error:
        yield f"{name}: {error} (used by {users(name)})"
        return
    for member in [*seam.members.split(), *seam.overrides.split()]:
        if lacks(found, member):
            yield f"{name}: no attribute '{member}' (used by {users_of(member)})"
    if problem := call_problem(found, seam):
        yield f"{name}: {problem} (used by {users(name)})"


def call_problem(found: Any, seam: Seam) -> str | None:
    """Return why a function or class cannot be called as our code calls it."""
    keywords = seam.keywords.split()
    if not (seam.args or keywords):
        return None
    signature = inspect.signature(found)
    kinds = {each.kind for each in signature.parameters.values()}
    if inspect.Parameter.VAR_KEYWORD not in kinds:
        for keyword in keywords:
            if keyword not in signature.parameters:
                return f"no parameter '{keyword}'"
    try:
        signature.bind_partial(*range(seam.args), **dict.fromkeys(keywords))
    except TypeError as error:
        return f"{error}: {signature}"
    return None


@pytest.mark.parametrize("name", sorted(SEAMS))
def test_a_name_is_there_as_it_is_used(name: str) -> None:
    need_package(name.partition(".")[0])

    found = list(problems(name, SEAMS[name]))
    if found and SEAMS[name].is_checked:
        pytest.skip(found[0])
    assert found == []


def test_all_that_is_used_is_in_the_table() -> None:
    assert [f"{name} (used by {users(name)})" for name in missing()] == []


@pytest.mark.parametrize("name", sorted(SEAMS))
def test_the_table_says_how_a_name_is_called(name: str) -> None:
    use, seam = scan().uses.get(name, Use()), SEAMS[name]
    inherited = {
        method
        for method in use.methods
        if not method.startswith("__") and not lacks(find(name), method)
    }

    assert use.args <= seam.args
    assert use.keywords <= set(seam.keywords.split())
    assert inherited <= set(seam.overrides.split())


@pytest.mark.parametrize("name", sorted(SEAMS))
def test_all_in_the_table_is_used(name: str) -> None:
    seam, last = SEAMS[name], name.rpartition(".")[2]
    words = f"{seam.keywords} {seam.members} {seam.overrides}".split()

    assert [word for word in words if word not in scan().words] == []
    assert name in scan().uses or name in scan().words or last in scan().words or words


# The check itself


@pytest.mark.parametrize(
    ("name", "seam", "problem"),
    [
        ("json.no_such", Seam(), "has no attribute 'no_such'"),
        ("json.dump.no.such", Seam(), "has no attribute 'no'"),
        ("json.dumps", Seam(1, "sort_keys"), None),
        ("json.dumps", Seam(2), "too many positional arguments"),
        ("textwrap.indent", Seam(2, "margin"), "no parameter 'margin'"),
        ("textwrap.TextWrapper", Seam(members="width wrap"), None),
        ("textwrap.TextWrapper", Seam(members="height"), "no attribute 'height'"),
        ("textwrap.TextWrapper", Seam(overrides="fold"), "no attribute 'fold'"),
    ],
)
def test_a_change_is_named(name: str, seam: Seam, problem: str | None) -> None:
    found = list(problems(name, seam))

    assert len(found) == (problem is not None)
    assert problem is None or (name in found[0] and problem in found[0])


def test_uses_are_found() -> None:
    found = Scan()
    found.read(
        "import dvc.repo\n"
        "from dvc import config as settings\n"
        "def open_it():\n"
        "    from dvc.fs import GitFileSystem as Files\n"
        "    class Mine(Files):\n"
        "        def ls(self): ...\n"
        "    Files(1, rev=2).open\n"
        "    dvc.repo.Repo.find_root()\n"
        "    settings._private\n",
        "one",
    )

    assert found.uses["dvc.fs.GitFileSystem"] == Use({"one"}, 1, {"rev"}, {"ls"})
    assert "dvc.repo.Repo.find_root" in found.uses
    assert "dvc.config._private" in found.uses
