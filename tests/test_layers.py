"""The packages and the arrows between them: who may import what, and speak to whom."""

from __future__ import annotations

import ast
import functools
import graphlib
from pathlib import Path

import pytest

import dvc_studio_models

PACKAGE = Path(__file__).parents[1] / "dvc_studio_models"
GROUND = {"background", "errors", "interrupts", "log", "model"}
ARROWS = {
    "api": {"operations"},
    "cli": {"operations", "server", "registry", "store", "files"},
    "operations": {"sources", "registry", "store", "files"},
    "sources": {"transfer", "http", "registry", "store"},
    "transfer": {"http", "store", "files"},
    "store": {"files"},
    "registry": {"files"},
    "http": set(),
    "files": set(),
    "server": {"registry", "http"},
}
ENTRIES = {
    "__init__": {"api", "operations"},  # operations: the types of results
    "__main__": {"cli", "plugin"},
    "plugin": {"cli"},
    **dict.fromkeys(GROUND, GROUND),
}
CUT = {}
"""What is still to be cut."""
CALLED_BY_DVC = {"add_parser"}
LIBRARIES = {
    "requests": {"http"},
    "urllib3": {"http"},
    "pycurl": {"http"},
    "scmrepo": {"registry", "store"},  # store/dvc/project: what DVC raises
    "pygit2": {"registry"},
    "dulwich": {"registry"},
    "tqdm": {"cli"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "prometheus_client": {"server"},
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


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.stem)
def test_what_a_program_may_call_has_a_logger_of_the_package(path: Path) -> None:
    """DVC prints what is logged below ``dvc``."""
    prints = "logging.getLogger(f" in path.read_text("utf-8")

    assert not prints or package_of(path) in {"cli", "server", "plugin"}


SERVER = {
    name: {"server.config", "server.errors", *(f"server.{below}" for below in rest)}
    for name, rest in {
        "server": {"web", "routes", "site", "links", "monitoring", "waiting"},
        "server.web": {"routes", "site", "access", "links", "catalog", "monitoring"}
        | {"mirrors"},
        "server.routes": {"site", "access", "links", "catalog", "stores", "monitoring"}
        | {"waiting", "mirrors"},
        "server.site": {"access", "links", "catalog", "stores", "repos", "waiting"}
        | {"mirrors"},
        "server.access": {"monitoring", "waiting"},
        "server.links": {"catalog", "stores", "waiting"},
        "server.catalog": {"stores", "repos", "waiting"},
        "server.stores": {"repos", "waiting"},
        "server.repos": set(),
        "server.mirrors": set(),
        "server.monitoring": set(),
        "server.waiting": {"monitoring"},
        "server.config": set(),
        "server.errors": set(),
    }.items()
}
"""The arrows inside of the server."""


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "server").rglob("*.py")), ids=lambda path: path.stem
)
def test_a_room_of_the_server_imports_only_rooms_below_it(path: Path) -> None:
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


# Faces


def face(package: str) -> set[str]:
    """Return the modules that a package offers to the others."""
    tree = ast.parse((PACKAGE / package / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and _names(node) == ["__all__"]:
            return set(ast.literal_eval(node.value))
    return set()


def _names(node: ast.Assign) -> list[str]:
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def used_of(package: str) -> set[tuple[str, ...]]:
    """Return what the modules outside of a package import from it."""
    return {
        name[1:]
        for path in modules()
        if package_of(path) != package
        for name in ours(path)
        if name[0] == package
    }


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_a_package_offers_exactly_what_the_others_use(package: str) -> None:
    offered = face(package)
    used = used_of(package)

    taken = {next(n for n in _dotted(name) if n in offered | {""}) for name in used}
    assert taken - {""} == offered - CALLED_BY_DVC
    assert {".".join(name) for name in used if not _is_offered(name, offered)} == set()


def _dotted(name: tuple[str, ...]) -> list[str]:
    return [".".join(name[:count]) for count in range(len(name), -1, -1)]


def _is_offered(name: tuple[str, ...], offered: set[str]) -> bool:
    is_public = not any(part.startswith("_") for part in name)
    return is_public and any(each in offered for each in _dotted(name))


def test_every_package_says_what_it_owns() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), path


# Circles and sizes


def module_name(path: Path) -> str:
    inner = path.relative_to(PACKAGE).with_suffix("")
    return ".".join(inner.parts).removesuffix(".__init__")


def graph() -> dict[str, set[str]]:
    """Return for each module the modules it imports, for type checkers too."""
    names = {module_name(path): path for path in modules()}
    return {
        module: {
            known
            for name in ours(path)
            if (known := next((n for n in _dotted(name) if n in names), None))
            if known != module
        }
        for module, path in names.items()
    }


def test_no_modules_import_each_other_in_a_circle() -> None:
    sorter = graphlib.TopologicalSorter(graph())

    sorter.prepare()  # raises CycleError, which names the modules


def test_folders_and_modules_are_small() -> None:
    top = {path for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert len(top) <= 9 + len(ARROWS)

    for folder in {path.parent for path in modules()} - {PACKAGE, PACKAGE / "cli"}:
        assert len(set(folder.glob("*.py")) - {folder / "__init__.py"}) <= 10, folder

    lines = {path: path.read_text("utf-8").count("\n") for path in modules()}
    long = {module_name(path) for path, count in lines.items() if count > 350}
    assert long <= {"errors", "model"}  # lists of values
