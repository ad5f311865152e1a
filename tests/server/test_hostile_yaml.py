"""DVC files that would take too much time or memory stop only what needs them."""

from __future__ import annotations

import time

import pytest
import requests
from projects import CHURN, ORIGIN_URL, TOKEN, Project, commit_all, git, serving, write

from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.server.catalog.reading import Records
from dvc_studio_models.server.errors.requests import GitSilentError
from tests.server.api import TIMEOUT_S, ask, fetch, links, md5_of, refusal

pytestmark = pytest.mark.reliability("The server: hostile DVC files")

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
OUT = f"outs:\n- path: m.bin\n  md5: {md5_of(b'm')}\n  hash: md5\n"
MODEL = "artifacts:\n  m:\n    path: m.bin\n"

HOSTILE = {
    "alias bomb": f"{BOMB}\n",
    "alias of itself": "a: &a [*a]\n",
    "merge bomb": "b0: &b0 {a: 1}\n"
    + "".join(
        f"b{n}: &b{n}\n  <<: [{', '.join([f'*b{n - 1}'] * 10)}]\n" for n in range(1, 10)
    ),
    "deep list": "a: " + "[" * 3000 + "]" * 3000 + "\n",
    "deep mapping": "a: " + "{a: " * 3000 + "}" * 3000 + "\n",
    "deep on one line": "a:\n" + "- " * 3000 + "x\n",
    "tags": f"%TAG !e! tag:{'x' * 100_000}\n---\n"
    + "".join(f"a{n}: !e!b c\n" for n in range(20_000)),
    "base 60": "%YAML 1.1\n---\na: " + ":".join("1" * 400_000) + "\n",
    "base 60 after a break": "x: y\u2028%YAML 1.1\u2028---\u2028a: "
    + ":".join("1" * 400_000)
    + "\n",
    "numbers of one hash": "a:\n"
    + "".join(f"  {n * (2**61 - 1)}: 1\n" for n in range(60_000)),
    "tagged numbers of one hash": "a:\n"
    + "".join(
        f'  !!int "\\x{ord(digits[0]):x}{digits[1:]}": 1\n'
        for digits in (str(n * (2**61 - 1)) for n in range(1, 60_000))
    ),
    "lists of one hash": "a:\n"
    + "".join(
        "  ? - "
        + "\n    - ".join("-1" if n >> bit & 1 else "-2" for bit in range(15))
        + "\n  : 1\n"
        for n in range(1 << 13)
    ),
    "many keys": "a:\n" + "".join(f"  k{n}: 1\n" for n in range(300_000)),
    "megabytes": "a: " + "x" * (9 << 20) + "\n",
}


def register(project: Project, files: dict[str, str]) -> None:
    write(project.repo, {name: text.encode() for name, text in files.items()})
    commit_all(project, "Change DVC files")
    project.tag("m@v1.0.0")


@pytest.mark.parametrize("where", ["dvc.yaml", "m.bin.dvc", "dvc.lock", "params.yaml"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_too_complex_is_refused_in_a_moment(
    project: Project, text: str, where: str
) -> None:
    files = {"dvc.yaml": MODEL, "m.bin.dvc": OUT}
    if where == "params.yaml":  # read only where there is a template
        files["dvc.yaml"] = "stages:\n  s:\n    cmd: echo ${a}\n" + MODEL
    if where == "dvc.lock":
        files["dvc.yaml"] = "stages:\n  s:\n    cmd: echo\n    outs: [m.bin]\n" + MODEL
        del files["m.bin.dvc"]
    files[where] = text + files.get(where, "")
    register(project, files)

    begun = time.process_time()
    with serving(project.repo) as url:
        reply = ask(url, repo=ORIGIN_URL, name="m")
        link = links(url, "churn", version="v2.0.0")["models/churn.pkl"]

        assert fetch(link).content == CHURN["v2.0.0"]
    assert time.process_time() - begun < 30
    if where != "params.yaml":
        status, detail = refusal(reply)
        assert status == 404
        assert "internal error" not in detail
        assert f": '{where}'" in detail


def test_one_thread_at_a_time_reads_the_dvc_files_of_a_repo(project: Project) -> None:
    records = Records(open_reader(project.repo), wait_s=0.1)

    with records.open(), pytest.raises(GitSilentError), records.open():
        pass
    with records.open() as reader:
        assert reader.read(project.commit("HEAD"), "churn")


@pytest.mark.parametrize("how", ["values", "template"])
def test_a_matrix_of_a_billion_stages_is_refused(project: Project, how: str) -> None:
    values = [f"v{n}" for n in range(1000)]
    text = "vars:\n- all: [" + ", ".join(values) + "]\n" if how == "template" else ""
    each = "${all}" if how == "template" else f"[{', '.join(values)}]"
    matrix = "".join(f"      {key}: {each}\n" for key in "abc")
    text += f"stages:\n  s:\n    matrix:\n{matrix}    cmd: echo\n"
    register(project, {"dvc.yaml": text + MODEL, "m.bin.dvc": OUT})
    (project.repo / "m.bin.dvc").unlink()
    commit_all(project, "Track no more")
    project.tag("m@v2.0.0")

    with serving(project.repo) as url:
        status, detail = refusal(ask(url, repo=ORIGIN_URL, name="m"))

    assert status == 404
    assert "a matrix makes more than 10000 stages" in detail


def test_anchors_as_people_use_them_are_read(project: Project) -> None:
    text = "vars:\n- &x {a: 1}\n- *x\n- b: [[1], [2]]\n"
    register(project, {"dvc.yaml": text + MODEL, "m.bin.dvc": OUT})

    with serving(project.repo) as url:
        assert links(url, "m")


@pytest.mark.clock  # parses for 8 s with coverage on a quiet machine
def test_ten_thousand_files_in_one_dvc_file_are_read(project: Project) -> None:
    entries = "".join(
        f"  - relpath: f{n}\n    md5: {md5_of(b'%d' % n)}\n    size: 1\n"
        for n in range(10_000)
    )
    out = f"outs:\n- path: m.bin\n  md5: {'a' * 32}.dir\n  hash: md5\n  files:\n"
    register(project, {"dvc.yaml": MODEL, "m.bin.dvc": out + entries})

    with serving(project.repo) as url:
        assert len(links(url, "m")) == 10_000


@pytest.mark.parametrize("name", [".dvc/config", "dvc.yaml", "m.bin.dvc", ".dvc"])
def test_a_committed_symlink_is_no_way_out_of_a_mirror(
    project: Project, name: str
) -> None:
    secret = project.root / "secret"
    secret.write_text("[core]\nremote = storage\nTOP-SECRET\n")
    register(project, {"dvc.yaml": MODEL, "m.bin.dvc": OUT})
    link = project.repo / name
    if name == ".dvc":
        link.rename(project.root / "moved")
    else:
        link.unlink()
    link.symlink_to(secret)
    commit_all(project, "Link")
    project.tag("m@v2.0.0")
    project.mirror()

    with serving(f"acme/models={project.bare}") as url:
        reply = ask(url, repo="acme/models", name="m", version="v2.0.0")

    assert reply.status_code >= 400
    assert "internal error" not in reply.text
    assert "SECRET" not in reply.text


def test_a_huge_file_in_git_is_not_read(project: Project) -> None:
    with (project.repo / "huge.dvc").open("wb") as file:
        file.truncate(80 << 20)
    register(project, {"dvc.yaml": MODEL, "m.bin.dvc": OUT})

    with serving(project.repo) as url:
        assert links(url, "m")


@pytest.mark.parametrize(
    "ref",
    [
        "refs/tags/m@v1.0.0.lock",
        "refs/tags/" + "a/" * 100 + "m@v1.0.0",
        "refs/tags/m@v99999999999999999999.0.0",
        "refs/tags/m#prod#99999999999999999999",
        "refs/tags/\u202em@v1.0.0",
        "refs/tags/m@v1.0.0\u00e9",
        "refs/tags/m..n",
    ],
    ids=["lock", "deep", "version", "stage", "right to left", "letter", "dots"],
)
def test_an_odd_ref_changes_nothing_for_others(project: Project, ref: str) -> None:
    write(project.bare, {ref: f"{project.commit('HEAD')}\n".encode()})

    with serving(f"acme/models={project.bare}") as url:
        reply = ask(url, repo="acme/models", name="churn")

    assert reply.status_code == 200, reply.text


@pytest.mark.parametrize("content", [b"ref: refs/heads/../../x\n", b"x" * 9999, b""])
def test_a_ref_that_is_no_ref_is_not_served(project: Project, content: bytes) -> None:
    write(project.bare, {"refs/tags/m@v1.0.0": content})

    with serving(f"acme/models={project.bare}") as url:
        assert ask(url, repo="acme/models", name="churn").status_code == 200
        assert ask(url, repo="acme/models", name="m").status_code >= 400


def test_long_texts_of_commits_and_tags_are_cut(project: Project) -> None:
    text = "x" * (2 << 20)
    models = f"{MODEL}    desc: {text}\n    labels: [{text}]\n"
    register(project, {"dvc.yaml": models, "m.bin.dvc": OUT})
    message = project.root / "message"
    for number in range(2, 5):
        message.write_text(f"{text}\n")
        git(project.repo, "tag", "--annotate", f"--file={message}", f"m@v{number}.0.0")

    with serving(project.repo) as url:
        reply = requests.get(
            f"{url}/api/model-registry/models/m",
            params={"repo": ORIGIN_URL},
            headers={"Authorization": f"token {TOKEN}"},
            timeout=TIMEOUT_S,
        )

    assert reply.status_code == 200, reply.text
    assert len(reply.content) < 100_000
    (newest, *_) = reply.json()["versions"]
    assert newest["message"].startswith("xxx")
    assert newest["message"].endswith("…")
