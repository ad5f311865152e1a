"""Paths, names and versions that Git, GTO and DVC accept."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest
import yaml
from projects import (
    TOKEN,
    Project,
    commit_all,
    git,
    init_project,
    read_tree,
    serving,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import RunDvc

PATHS = {
    "space": "m/a file .bin",
    "single-quote": "m/it's.bin",
    "double-quote": 'm/"quoted".bin',
    "hash": "m/a#b.bin",
    "at": "m/a@b.bin",
    "colon": "m/a:b.bin",
    "percent": "m/100%25.bin",
    "question": "m/a?b=c.bin",
    "star": "m/a*b.bin",
    "bracket": "m/a[0-9].bin",
    "brace": "m/{a,b}.bin",
    "unicode": "m/größe-模型-🐍.bin",
    "decomposed": "m/gro\u0308\u00dfe.bin",
    "dash": "m/-rf.bin",
    "double-dash": "--force",
    "tilde": "~root/m.bin",
    "dollar": "m/$HOME.bin",
    "semicolon": "m/a;b&c|d.bin",
    "plus": "m/a+b=c,d!e.bin",
    "parens": "m/(a) <b>.bin",
    "caret": "m/a^b`c`.bin",
    "dot": "m/.hidden.bin",
    "dots": "m/a..b...bin",
    "dotted-folder": "m.v1.0/x.y/z.bin",
    "long": f"m/{'l' * 250}.bin"[:252],
    "pathspec-magic": ":(top)m.bin",
    "bang": "!m.bin",
    "no-ext": "m/model",
    "gitlike": "m/git~0.bin",
}
"""A model's name, and where it lies."""


def content_of(name: str) -> bytes:
    return f"{name}\n".encode() * 20


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a model at each of the paths."""
    from dvc.repo import Repo

    project = init_project(tmp_path_factory.mktemp("odd") / "project")
    write(project.repo, {path: content_of(name) for name, path in PATHS.items()})
    artifacts = {n: {"path": path, "type": "model"} for n, path in PATHS.items()}
    dvc_yaml = yaml.safe_dump({"artifacts": artifacts}, allow_unicode=True)
    (project.repo / "dvc.yaml").write_text(dvc_yaml, "utf-8")
    with Repo(str(project.repo)) as repo:
        for path in PATHS.values():
            repo.add(str(project.repo / path))
        repo.push()
    commit_all(project, "Train")
    for name in PATHS:
        project.tag(f"{name}@v1.0.0")
    return project


def there(folder: Path) -> dict[str, bytes]:
    return {
        name: (folder / path).read_bytes()
        for name, path in PATHS.items()
        if (folder / path).exists()
    }


def point_at(clone: Path, project: Project) -> Path:
    (clone / ".dvc/config.local").write_text(
        f"['remote \"storage\"']\n    url = {project.storage}\n"
    )
    return clone


def states(run_dvc: RunDvc, clone: Path) -> dict[str, str]:
    listed = json.loads(run_dvc("models", "list", "--json", cwd=clone).stdout)
    return {each["name"]: each["workspace"]["state"] for each in listed}


def test_every_path_is_pulled_from_the_remote_and_from_the_cache(
    run_dvc: RunDvc, odd: Project, tmp_path: Path
) -> None:
    clone = point_at(odd.clone(tmp_path / "clone"), odd)
    pull = ("models", "pull", "--source")

    done = run_dvc(*pull, "remote", *PATHS, "--lock", cwd=clone)
    first = there(clone)
    status = run_dvc("models", "status", "--source", "cache", cwd=clone)
    found = states(run_dvc, clone)
    for path in PATHS.values():
        (clone / path).unlink()
    again = run_dvc(*pull, "cache", "--locked", cwd=clone)

    wanted = {name: content_of(name) for name in PATHS}
    assert done.returncode == 0, done.stderr
    assert first == wanted
    assert status.returncode == 0, status.stdout + status.stderr
    assert found == dict.fromkeys(PATHS, "registered")
    assert again.returncode == 0, again.stderr
    assert there(clone) == wanted


def test_every_path_is_pulled_through_a_server(
    run_dvc: RunDvc, odd: Project, tmp_path: Path
) -> None:
    clone = odd.clone(tmp_path / "clone")
    with serving(odd.repo, no_auth=True) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        done = run_dvc("models", "pull", *PATHS, "--lock", cwd=clone, env=env)
        first = there(clone)
        status = run_dvc("models", "status", cwd=clone, env=env)
        for path in PATHS.values():
            (clone / path).unlink()
        shutil.rmtree(clone / ".dvc/cache")
        again = run_dvc("models", "pull", "--locked", cwd=clone, env=env)

    wanted = {name: content_of(name) for name in PATHS}
    assert done.returncode == 0, done.stderr
    assert "verified against Git" in done.stdout
    assert first == wanted
    assert status.returncode == 0, status.stdout + status.stderr
    assert again.returncode == 0, again.stderr
    assert there(clone) == wanted


@pytest.mark.parametrize(
    "path",
    ["m/a\\b.bin", "m/a\nb.bin", "m/a\tb.bin", "m/git~1/x.bin"],
    ids=["backslash", "newline", "tab", "short name of .git"],
)
def test_what_is_no_path_on_every_system_stays_refused(
    run_dvc: RunDvc, tmp_path: Path, path: str
) -> None:
    project = init_project(tmp_path / "project")
    write(project.repo, {path: b"a model", "m/b.bin": b"another"})
    release(project, {"artifacts": {"m": {"path": "m"}}}, "m")
    project.tag("m@v1.0.0")
    clone = point_at(project.clone(tmp_path / "clone"), project)

    done = run_dvc("models", "pull", "m", "--source", "remote", cwd=clone)

    assert done.returncode == 7, done.stderr
    assert "refusing to write these paths from Git:" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert not (clone / "m").exists()


def test_a_path_that_is_not_there_is_told_in_one_line(
    run_dvc: RunDvc, tmp_path: Path
) -> None:
    project = init_project(tmp_path / "project")
    release(project, {"artifacts": {"m": {"path": "m/\x1b[2Ja\nb.bin"}}})
    project.tag("m@v1.0.0")
    clone = project.clone(tmp_path / "clone")

    done = run_dvc("models", "pull", "m", "--source", "remote", cwd=clone)

    assert done.returncode == 4
    assert "'m/\\x1b[2Ja\\nb.bin' is not tracked" in done.stderr


# -- shapes


def release(
    project: Project,
    dvc_yaml: dict[str, object],
    *tracked: str,
    folder: str = "",
    commit: bool = True,
) -> None:
    """Write ``dvc.yaml``, add the tracked paths, push and commit."""
    from dvc.repo import Repo

    place = project.repo / folder
    place.mkdir(parents=True, exist_ok=True)
    (place / "dvc.yaml").write_text(yaml.safe_dump(dvc_yaml), "utf-8")
    with Repo(str(place)) as repo:
        if tracked:
            repo.add([str(project.repo / path) for path in tracked])
        if "stages" in dvc_yaml:
            repo.reproduce(str(place / "dvc.yaml"))
        repo.push()
    if commit:
        commit_all(project, "Train")


def pulled_everywhere(
    run_dvc: RunDvc, project: Project, names: list[str]
) -> dict[str, bytes]:
    """Pull from the remote, the cache and a server; return the files of each pull."""
    clone = point_at(project.clone(project.root.parent / "clone"), project)
    with serving(project.repo, no_auth=True) as url:
        env = {"DVC_STUDIO_URL": url, "DVC_STUDIO_TOKEN": TOKEN}
        for args in (
            (*names, "--source", "remote", "--lock", "-o", "../remote"),
            ("--locked", "--source", "cache", "-o", "../cache"),
            (*names, "-o", "../studio"),
            (*names, "--lock"),
        ):
            done = run_dvc("models", "pull", *args, cwd=clone, env=env)
            assert done.returncode == 0, (args, done.stderr)
        status = run_dvc("models", "status", cwd=clone, env=env)
    assert "verified against Git" in done.stdout
    assert status.returncode == 0, status.stdout + status.stderr
    found = states(run_dvc, clone)
    assert {found[name.partition("@")[0]] for name in names} == {"registered"}
    trees = [read_tree(clone.parent / each) for each in ("remote", "cache", "studio")]
    assert trees[0] == trees[1] == trees[2]
    return trees[0]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return init_project(tmp_path / "project")


def test_names_and_versions_as_gto_takes_them(
    run_dvc: RunDvc, project: Project
) -> None:
    tags = {
        "a/b-c_d@v1.0.0-rc.1+b5": b"of a candidate",
        "X9@v1.0.0#2": b"counted",
        "team/churn@v10.20.30": b"in a group",
        "n@v0.0.1-alpha-1.x.7+exp.sha-5114f85": b"much after the number",
    }
    paths = {tag: f"m/{number}.bin" for number, tag in enumerate(tags)}
    write(project.repo, {paths[tag]: content for tag, content in tags.items()})
    artifacts = {t.partition("@")[0]: {"path": paths[t]} for t in tags}
    release(project, {"artifacts": artifacts}, *paths.values())
    for tag in tags:
        project.tag(tag)

    names = [tag.partition("#")[0] for tag in tags]
    found = pulled_everywhere(run_dvc, project, names)

    assert found == {paths[tag]: content for tag, content in tags.items()}


def test_the_name_of_a_tag_is_told_apart_from_what_it_is_of(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    write(project.repo, {"m.bin": b"a model"})
    release(project, {"artifacts": {"m": {"path": "m.bin"}}}, "m.bin")
    project.tag("m@v1.0.0#1")
    project.tag("m#prod#2")
    clone = point_at(project.clone(tmp_path / "clone"), project)

    by_stage = run_dvc("models", "pull", "m#prod", "--source=remote", cwd=clone)
    by_tag = run_dvc("models", "pull", "m@v1.0.0#1", "--source=remote", cwd=clone)
    of_stage = run_dvc("models", "pull", "m#prod#2", "--source=remote", cwd=clone)
    inside = run_dvc("models", "pull", "a/b=m@v1.0.0", "--source=remote", cwd=clone)

    assert by_stage.returncode == 0, by_stage.stderr
    for done, tag, name in (
        (by_tag, "m@v1.0.0#1", "m@v1.0.0"),
        (of_stage, "m#prod#2", "m#prod"),
        (inside, "a/b=m@v1.0.0", "a/b:m@v1.0.0"),
    ):
        assert done.returncode == 254
        message = f"'{tag}' is a tag's name, not a model's name: use '{name}'"
        assert message in done.stderr


@pytest.mark.parametrize(
    "path", ["./m/x.bin", "a/../m/x.bin", "m//x.bin", "m/./x.bin", "m/x.bin/"]
)
def test_a_path_that_is_not_normal_is_the_path_that_it_means(
    run_dvc: RunDvc, project: Project, path: str
) -> None:
    write(project.repo, {"m/x.bin": b"a model"})
    release(project, {"artifacts": {"m": {"path": path}}}, "m/x.bin")
    project.tag("m@v1.0.0")

    found = pulled_everywhere(run_dvc, project, ["m"])

    assert found == {"m/x.bin": b"a model"}


def test_names_of_255_bytes_in_a_folder_with_dots(
    run_dvc: RunDvc, project: Project
) -> None:
    files = {f"m.v1.0/{'l' * 255}": b"long", f"m.v1.0/{'ö' * 127}": b"long, too"}
    write(project.repo, files)
    release(project, {"artifacts": {"m": {"path": "m.v1.0"}}}, "m.v1.0")
    project.tag("m@v1.0.0")

    found = pulled_everywhere(run_dvc, project, ["m"])

    assert found == files


def test_stages_with_wdir_templates_foreach_and_matrix(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    write(project.repo, {"params.yaml": b"out: best\n", "work/src.txt": b"source\n"})
    dvc_yaml = {
        "vars": [{"folder": "models"}],
        "artifacts": {
            "wd": {"path": "work/in.bin", "type": "model"},
            "tpl": {"path": "${folder}/${out}.bin", "type": "model"},
            "each": {"path": "models/each-de.bin", "type": "model"},
            "mat": {"path": "models/mat-b-2.bin", "type": "model"},
            "other": {"path": "models/each-en.bin", "type": "dataset"},
            "untyped": {"path": "models/mat-a-1.bin"},
        },
        "stages": {
            "wd": {"wdir": "work", "cmd": "cp src.txt in.bin", "outs": ["in.bin"]},
            "tpl": {
                "cmd": "mkdir -p ${folder} && echo ${out} > ${folder}/${out}.bin",
                "outs": ["${folder}/${out}.bin"],
            },
            "each": {
                "foreach": ["en", "de"],
                "do": {
                    "cmd": "mkdir -p models && echo ${item} > models/each-${item}.bin",
                    "outs": ["models/each-${item}.bin"],
                },
            },
            "mat": {
                "matrix": {"name": ["a", "b"], "size": [1, 2]},
                "cmd": "mkdir -p models && echo ${item.name}${item.size} > "
                "models/mat-${item.name}-${item.size}.bin",
                "outs": ["models/mat-${item.name}-${item.size}.bin"],
            },
        },
    }
    release(project, dvc_yaml)
    names = ["wd", "tpl", "each", "mat", "other", "untyped"]
    for name in names:
        project.tag(f"{name}@v1.0.0")
    listed = [name for name in names if name != "other"]

    found = pulled_everywhere(run_dvc, project, listed)
    clone = tmp_path / "clone"
    other = run_dvc("models", "pull", "other", "--source", "remote", cwd=clone)

    assert found == {
        "work/in.bin": b"source\n",
        "models/best.bin": b"best\n",
        "models/each-de.bin": b"de\n",
        "models/mat-b-2.bin": b"b2\n",
        "models/mat-a-1.bin": b"a1\n",
    }
    assert other.returncode == 0, other.stderr


def test_a_model_of_a_subproject_whose_file_is_the_parents(
    run_dvc: RunDvc, project: Project, tmp_path: Path
) -> None:
    write(project.repo, {"m/x.bin": b"of the parent", "sub/y.bin": b"of the child"})
    inner = project.repo / "sub"
    run_dvc("init", "--subdir", cwd=inner)
    run_dvc("remote", "add", "-d", "inner", project.root / "inner", cwd=inner)
    release(project, {}, "m/x.bin", commit=False)
    artifacts = {"up": {"path": "../m/x.bin"}, "own": {"path": "y.bin"}}
    release(project, {"artifacts": artifacts}, "sub/y.bin", folder="sub")
    project.tag("sub=up@v1.0.0")
    project.tag("sub=own@v1.0.0")

    found = pulled_everywhere(run_dvc, project, ["sub:up"])
    clone = tmp_path / "clone"
    own = run_dvc("models", "pull", "sub:own", "--source", "remote", cwd=clone)

    assert found == {"m/x.bin": b"of the parent"}
    assert own.returncode == 0, own.stderr
    assert (clone / "sub/y.bin").read_bytes() == b"of the child"


def test_a_dvc_file_of_another_name(run_dvc: RunDvc, project: Project) -> None:
    write(project.repo, {"m/x.bin": b"a model"})
    release(project, {"artifacts": {"m": {"path": "m/x.bin"}}}, "m/x.bin")
    git(project.repo, "mv", "m/x.bin.dvc", "m/churn.dvc")
    commit_all(project, "Rename")
    project.tag("m@v1.0.0")

    found = pulled_everywhere(run_dvc, project, ["m"])

    assert found == {"m/x.bin": b"a model"}


def test_a_dvc_file_in_another_folder_with_wdir(
    run_dvc: RunDvc, project: Project
) -> None:
    write(project.repo, {"m/x.bin": b"a model"})
    release(project, {"artifacts": {"m": {"path": "m/x.bin"}}}, "m/x.bin")
    dvc_file = project.repo / "m/x.bin.dvc"
    (project.repo / "tracked").mkdir()
    moved = project.repo / "tracked/any.dvc"
    moved.write_text(dvc_file.read_text() + "wdir: ../m\n")
    dvc_file.unlink()
    commit_all(project, "Move")
    project.tag("m@v1.0.0")

    found = pulled_everywhere(run_dvc, project, ["m"])

    assert found == {"m/x.bin": b"a model"}
