"""The history of a model: GTO itself is the judge, over random histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from gto.api import history as history_by_gto
from gto.api import show as show_by_gto
from gto.exceptions import ManyVersions
from histories import SOME_HISTORIES, histories, make
from hypothesis import HealthCheck, example, given, settings
from tagging import NewTag, delete_tags, import_tags, make_commits, write_tag

from dvc_studio_models.registry.git.open import open_reader
from dvc_studio_models.registry.gto.history import list_versions, read_history
from dvc_studio_models.registry.gto.tags import read_registry

if TYPE_CHECKING:
    from pathlib import Path

    from dvc_studio_models.model import TagEvent
    from dvc_studio_models.registry.git.reader import GitObject


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    repo = tmp_path_factory.mktemp("history") / "repo"
    return repo, make_commits(repo, 3)


def read(repo: Path, name: str = "churn") -> tuple[TagEvent, ...]:
    reader = open_reader(repo)
    return read_history(reader, read_registry(reader), name)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(tags=histories())
@example(tags=SOME_HISTORIES[1])
@example(tags=SOME_HISTORIES[2])
@example(tags=SOME_HISTORIES[3])
def test_the_history_of_a_model_is_that_of_gto(
    history: tuple[Path, list[str]], tags: list[tuple[str, int, int, str, str]]
) -> None:
    # GTO takes the commit of a nested tag for the inner tag's id, and ends with a
    # KeyError at 'churn@created'.
    plain = [
        (*tag[:4], "plain")
        for tag in tags
        if tag[4] != "lightweight" and tag[0] != "churn@created"
    ]
    repo = make(history, plain)
    try:
        by_gto = history_by_gto(str(repo))
        shown = {
            name: show_by_gto(str(repo), name)
            for name in {e["artifact"] for e in by_gto}
        }
    except ManyVersions:
        return

    reader = open_reader(repo)
    registry = read_registry(reader)
    for name, versions in shown.items():
        ours = read_history(reader, registry, name)
        theirs = [event for event in by_gto if event["artifact"] == name]
        assert sorted(map(as_gto, ours)) == sorted(
            (
                e["event"],
                e["version"] or "",
                e["stage"] or "",
                e["commit"],
                int(e["timestamp"].timestamp()),
                e["author"],
                e["author_email"],
                e["message"],
                e["ref"],
            )
            for e in theirs
        )
        assert [(e.time, e.event) for e in ours] == [
            (int(e["timestamp"].timestamp()), e["event"]) for e in theirs
        ]
        model = registry.find(name)
        if model is None:  # GTO shows the versions of a deprecated model too
            continue
        assert {
            (v.version, v.commit, v.time, v.author)
            for v in list_versions(model, ours)
            if v.version
        } == {
            (
                v["version"],
                v["commit_hexsha"],
                int(v["created_at"].timestamp()),
                v["author"],
            )
            for v in versions
            if v["registrations"]
        }


def as_gto(event: TagEvent) -> tuple[str | int, ...]:
    return (
        event.event,
        event.version or "",
        event.stage or "",
        event.commit,
        event.time,
        event.author,
        event.email,
        event.message,
        event.tag,
    )


def test_a_message_ends_where_its_signature_begins(
    history: tuple[Path, list[str]],
) -> None:
    repo, commits = history
    delete_tags(repo)
    head = [f"object {commits[0]}", "type commit", "tag churn@v1.0.0"]
    signed = ["-----BEGIN SSH SIGNATURE-----", "abc", "-----END SSH SIGNATURE-----"]
    tagger = "tagger Jörg <j@example.com> 1700000000 +0100"
    write_tag(repo, "churn@v1.0.0", [*head, tagger, "", "Two", "", "lines", *signed])

    (event,) = read(repo)

    assert (event.author, event.email) == ("Jörg", "j@example.com")
    assert event.message == "Two\n\nlines"


def test_a_deprecated_model_keeps_its_history(history: tuple[Path, list[str]]) -> None:
    repo, commits = history
    delete_tags(repo)
    names = ["churn@v1.0.0", "churn@deprecated"]
    import_tags(
        repo, [NewTag(n, commits[0], 1_700_000_000 + i) for i, n in enumerate(names)]
    )

    assert [event.event for event in read(repo)] == ["deprecation", "registration"]
    assert read_registry(open_reader(repo)).models == ()


def test_only_the_tags_of_one_model_are_read(history: tuple[Path, list[str]]) -> None:
    repo, commits = history
    delete_tags(repo)
    import_tags(repo, [NewTag(f"m{n}@v1.0.0", commits[0]) for n in range(500)])
    reader = open_reader(repo)
    registry = read_registry(reader)
    read: list[str] = []

    class Counting:
        def read_all(self, oids: list[str]) -> list[GitObject | None]:
            read.extend(oids)
            return reader.read_all(oids)

    (event,) = read_history(Counting(), registry, "m7")  # type: ignore[arg-type]

    assert event.version == "v1.0.0"
    assert len(read) == 1
