"""Which claims of a job's token say whose job it is.

Everybody can run jobs at a public issuer, and choose most of their claims: a rule has
to name an owner or a repo of the operator's.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PUBLIC_HOSTS = {"token.actions.githubusercontent.com", "gitlab.com"}
"""Hosts of issuers at which everybody can run jobs."""

OWNER_CLAIMS = {
    "enterprise_id",
    "namespace_id",
    "namespace_path",
    "project_id",
    "project_path",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "sub",
}
"""Claims of GitHub and GitLab that say whose job it is, and that nobody can choose."""

_WILD = re.compile(r"[*?[]")


def find_problem(issuer: str, claims: Mapping[str, Sequence[str]]) -> str | None:
    """Say why a rule would accept the jobs of strangers; None if it would not."""
    if not claims:
        return "'claims' is empty: name the repos whose jobs are accepted"
    is_public = urlsplit(issuer).hostname in PUBLIC_HOSTS
    naming = [
        name
        for name, globs in claims.items()
        if globs and all(map(_names_owner, globs))
        if not is_public or name in OWNER_CLAIMS
    ]
    if naming:
        return None
    if is_public:
        name = "project_path" if "gitlab" in issuer else "repository"
        return (
            f"everybody can run jobs at '{issuer}': 'claims' has to name whose jobs "
            f"are accepted, such as '{name}: acme/*', without a '*' before the first "
            "'/'"
        )
    return (
        "'claims' accepts every job of the issuer: one has to have a value with no "
        "'*' before its first '/'"
    )


def _names_owner(glob: str) -> bool:
    owner = glob.partition("/")[0]
    return bool(owner) and not _WILD.search(owner)


def find_audience_problem(audience: str) -> str | None:
    """Say why no client would get a token with this audience; None if one would.

    Clients ask for a token for the origin of the server that they know.
    """
    try:
        parts = urlsplit(audience)
    except ValueError:  # unbalanced brackets
        return "this is not a URL"
    origin = f"{parts.scheme}://{parts.netloc.lower()}"
    if parts.scheme in {"http", "https"} and audience != origin:
        return f"this is not an origin: did you mean '{origin}'?"
    return None
