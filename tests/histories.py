"""Random histories of tags: of every form, valid and not, at few commits and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from projects import git
from tagging import NewTag, delete_tags, import_tags, write_tag

if TYPE_CHECKING:
    from pathlib import Path

COMMITS = 3

NAMES = st.sampled_from(["churn", "churn", "churn", "a/b", "dir=churn", "x/y.z=a-b"])
VERSIONS = st.sampled_from(
    [
        *(
            "v1.0.0",
            "v1.0.0",
            "v1.0.0",
            "v2.0.0",
            "v1.0.1",
            "v2.0.0-rc.1",
            "v2.0.0-rc.2",
            "v2.0.0-rc.10",
        ),
        *("v2.0.0-alpha", "v2.0.0-1", "v10.0.0", "v1.0.0+b.1", "v1.0.0+b.2"),
    ]
)
STAGES = st.sampled_from(["prod", "prod", "dev", "a/b-c_d"])
COUNTERS = st.none() | st.integers(0, 12)
OTHERS = st.sampled_from(
    [
        *(
            "v1.0.0",
            "release/1",
            "churn@created",
            "churn@1.0.0",
            "churn@v1.0",
            "churn#",
        ),
        *("churn@v01.0.0", "churn#prod#", "churn#prod#x", "churn!@v1.0.0", "=a@v1.0.0"),
        *("-churn@v1.0.0", "churn@deprecated!", "a=b=c@v1.0.0", "churn@v1.0.0!!"),
        *("churn#", "größe@v1.0.0", "churn@latest", "churn#prod!#1!", "dir=@v1.0.0"),
    ]
)


@st.composite
def tag_names(draw: st.DrawFn) -> str:
    kinds = ["version", "version", "stage", "stage", "deprecated", "other"]
    kind = draw(st.sampled_from(kinds))
    if kind == "other":
        return draw(OTHERS)
    name, counter = draw(NAMES), draw(COUNTERS)
    end = "" if counter is None else f"#{counter}"
    if kind == "deprecated":
        return f"{name}@deprecated{end}"
    cancel = draw(st.sampled_from(["", "", "!"]))
    what = f"@{draw(VERSIONS)}" if kind == "version" else f"#{draw(STAGES)}"
    return f"{name}{what}{cancel}{end}"


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int, str, str]]:
    """Generate tags: name, number of the commit, time, zone and kind."""
    each = st.tuples(
        tag_names(),
        st.integers(0, COMMITS - 1),
        st.integers(0, 5),
        st.sampled_from(["+0000", "+0530", "-0800"]),
        st.sampled_from(["plain"] * 8 + ["lightweight", "nested"]),
    )
    return draw(st.lists(each, max_size=16, unique_by=lambda tag: tag[0]))


def make(
    history: tuple[Path, list[str]], tags: list[tuple[str, int, int, str, str]]
) -> Path:
    repo, commits = history
    delete_tags(repo)
    made = [
        NewTag(name, commits[at], 1_700_000_000 + time, zone, kind == "lightweight")
        for name, at, time, zone, kind in tags
    ]
    import_tags(repo, made)
    for name, _, time, zone, kind in tags:
        if kind == "nested":
            _nest(repo, name, f"{1_700_000_000 + time} {zone}")
    return repo


def _nest(repo: Path, name: str, date: str) -> None:
    """Put a tag of the tag in its place."""
    inner = git(repo, "rev-parse", f"refs/tags/{name}").strip()
    tagger = f"tagger Ada <ada@example.com> {date}"
    lines = [f"object {inner}", "type tag", f"tag {name}", tagger, "", "m", ""]
    write_tag(repo, name, lines)


SOME_HISTORIES = [
    [],
    [
        ("churn@v1.0.0", 0, 1, "+0000", "plain"),
        ("churn@v2.0.0", 0, 1, "+0000", "plain"),
        ("churn@v2.0.0!", 0, 2, "+0000", "plain"),
        ("churn#prod", 0, 3, "+0000", "plain"),
        ("churn#prod!#2", 0, 3, "+0530", "plain"),
    ],
    [
        ("churn@v1.0.0", 0, 1, "+0000", "plain"),
        ("churn#prod#1", 1, 2, "+0000", "plain"),
        ("churn#prod!#2", 1, 3, "+0000", "plain"),
        ("churn#prod#3", 0, 3, "+0000", "nested"),
        ("churn@deprecated", 0, 3, "+0000", "plain"),
        ("churn@v2.0.0", 2, 3, "+0000", "lightweight"),
    ],
    [
        ("churn@v1.0.0", 0, 0, "+0000", "plain"),
        ("churn@deprecated", 0, 1, "+0000", "plain"),
        ("churn@created", 0, 0, "+0000", "plain"),
    ],
]
