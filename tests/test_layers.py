"""The packages and the arrows between them: who may import what, and speak to whom."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import dvc_studio_models

PACKAGE = Path(__file__).parents[1] / "dvc_studio_models"
GROUND = {"background", "errors", "model"}
ARROWS = {
    "cli": {"operations", "server", "registry", "store", "files"},
    "operations": {"sources", "registry", "store", "files"},
    "sources": {"transfer", "http", "registry", "store"},
    "transfer": {"http", "store", "files"},
    "store": {"files"},
    "registry": {"files"},
    "http": set(),
    "files": set(),
    "server": {"registry"},
}
ENTRIES = {
    "__init__": {"operations"},
    "__main__": {"cli", "plugin"},
    "plugin": {"cli"},
    **dict.fromkeys(GROUND, GROUND),
}
CUT = {}
"""What is still to be cut."""
LIBRARIES = {
    "requests": {"http"},
    "urllib3": {"http"},
    "scmrepo": {"registry", "store"},  # store/project: what DVC raises
    "pygit2": {"registry"},
    "dulwich": {"registry"},
    "tqdm": {"cli"},
    "starlette": {"server"},
    "uvicorn": {"server"},
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def package_of(path: Path) -> str:
    inner = path.relative_to(PACKAGE)
    return inner.parts[0] if len(inner.parts) > 1 else inner.stem


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Return what a module imports, in functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return frozenset(found)


def ours(path: Path) -> set[tuple[str, ...]]:
    """Return what a module imports of this project, without the project's name."""
    names = (tuple(name.split(".")) for name in imports(path))
    return {name[1:] for name in names if name[0] == PACKAGE.name}


def test_a_module_imported_from_the_package_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "memo.py"
    path.write_text("from dvc_studio_models import store, __version__\n")

    assert ("store",) in ours(path)


def others(path: Path) -> set[str]:
    """Return the other packages that a module imports from, but for the ground."""
    tops = {name[0] for name in ours(path) if name[0] in {*ARROWS, *ENTRIES}}
    return tops - GROUND - {package_of(path)}


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_module_imports_only_along_the_arrows(path: Path) -> None:
    allowed = {**ARROWS, **ENTRIES}[package_of(path)]
    assert others(path) <= allowed | CUT.get(str(path.relative_to(PACKAGE)), set())


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_a_library_is_used_by_its_package_alone(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)} & set(LIBRARIES)

    assert {name for name in used if package_of(path) not in LIBRARIES[name]} == set()


SERVER = {
    "server": {"server.links", "server.catalog"},
    "server.links": {"server.catalog"},
    "server.catalog": set(),
}
"""The arrows inside of the server."""


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "server").rglob("*.py")), ids=lambda path: path.stem
)
def test_the_server_is_built_on_links_and_links_on_the_catalog(path: Path) -> None:
    room = ".".join(path.relative_to(PACKAGE).parent.parts)
    rooms = {
        max(room for room in SERVER if f"{'.'.join(name)}.".startswith(f"{room}."))
        for name in ours(path)
        if name[0] == "server" and len(name) > 1
    }

    assert rooms <= {room, *SERVER[room]}


def test_the_map_names_every_package() -> None:
    text = dvc_studio_models.__doc__ or ""

    assert {name for name in ARROWS if f"\n    {name}/ " not in text} == set()
