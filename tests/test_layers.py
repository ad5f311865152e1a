"""The layers of the house: every room imports downwards only, and does its own I/O."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "dvc_studio_models"
LAYERS = [
    {"errors", "model"},
    {
        "disk",
        "links",
        "owner",
        "paths",
        "progress",
        "ranges",
        "selection",
        "signals",
        "transport",
        "workers",
    },
    {"beside", "ledger", "part", "plan", "tree", "wire"},
    {"answer", "parts"},
    {"follow", "scratch", "storage", "verify"},
    {"linking", "locking", "project", "remote", "sizes", "store", "trees"},
    {"attempt", "objects", "placing", "setbacks"},
    {"cache"},
    {"download"},
    {
        "config",
        "receipts",
        "registry",
        "studio",
        "transfer",
        "workspace",
    },
    {"ask"},
    {"verification", "imports", "listings", "local_project", "lockfile"},
    {"source"},
    {"git_files", "location"},
    {"keepers", "pins", "studio_source", "survey"},
    {"local_source"},
    {"sources"},
    {"preparation"},
    {"outcome"},
    {"placed"},
    {"flow"},
    {"api", "inventory"},
    {"status"},
    {"command", "completion"},
    {"options"},
    {"server", "command_list", "command_status"},
    {"cli"},
    {"plugin"},
    {"__main__"},
    {"__init__"},
]
EQUALS = {("errors", "model"), ("model", "errors"), ("cli", "server")}
HEIGHT = {room: height for height, rooms in enumerate(LAYERS) for room in rooms}
SPEAKS_HTTP = {"answer", "storage", "studio", "transport", "wire"}


def rooms() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    inner = path.relative_to(PACKAGE)
    return inner.parts[0] if len(inner.parts) > 1 else inner.stem


def imports(path: Path) -> set[str]:
    """Name what a module imports, within functions and for type checkers too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


def test_a_room_that_is_imported_from_the_package_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "memo.py"
    path.write_text("from dvc_studio_models import flow, __version__\n")

    assert "dvc_studio_models.flow" in imports(path)


@pytest.mark.parametrize("path", rooms(), ids=lambda path: path.stem)
def test_a_room_imports_only_from_below(path: Path) -> None:
    room = room_of(path)
    ours = {
        name.split(".")[1]
        for name in imports(path)
        if name.startswith(f"{PACKAGE.name}.")
    }
    others = ours & {room_of(other) for other in rooms()} - {room}

    upwards = {other for other in others if HEIGHT[other] >= HEIGHT[room]}

    assert {(room, other) for other in upwards} <= EQUALS


@pytest.mark.parametrize("path", rooms(), ids=lambda path: path.stem)
def test_only_the_http_rooms_speak_http(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports(path)}

    assert room_of(path) in SPEAKS_HTTP or not packages & {"requests", "urllib3"}
