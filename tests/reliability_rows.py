"""What can go wrong, what happens then, and which tests show it.

The list that ``docs/reliability.md`` begins with. A pattern is searched in
``file::test[case]``; a row without any test fails ``test_reliability.py``.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One kind of case."""

    case: str
    outcome: str
    tests: str


_REFUSED = "refused, all of them listed, before any byte is fetched"
_ERROR = "an error that says what came instead"
_WHOLE = "the right bytes, by the next request"

ROWS: dict[str, tuple[Row, ...]] = {
    "Paths, and what is on disk": (
        Row(
            "`../x`, `m/../x`, `.`, `./m`, `m//a`, `m/`, empty",
            _REFUSED,
            r"path_that_is_not_normal|must_not_be_written.*\[(\.\./x|m//a|m/|)\]",
        ),
        Row(
            "`/x`, `//x`, `C:/x`, `C:x`, backslashes",
            _REFUSED + "; on every system",
            r"test_an_absolute_path|test_a_backslash|must_not_be_written.*\[.?(/|C:|\\)",
        ),
        Row(
            "`.git` and `.dvc` in any case, with dots, spaces, streams, short names, "
            "ignorable code points, at any depth",
            _REFUSED + "; on every system",
            r"every_spelling_of|what_git_refuses|must_not_be_written.*(?i:git|dvc)",
        ),
        Row(
            "`.gitmodules`, `.gitattributes`, `.dvcignore`, `dvc.yaml`, `*.dvc`, CI",
            _REFUSED,
            r"steers_git_dvc_or_ci|short_name_on_ntfs",
        ),
        Row(
            "control characters, lone surrogates, line separators",
            _REFUSED + ", shown escaped",
            r"ends_lines_or_steers_terminals|refused_path_is_listed_escaped",
        ),
        Row(
            "names over 255 bytes, paths over the system's limit",
            _REFUSED,
            r"name_over_255_bytes|path_over_4095|too_long_with_the_root",
        ),
        Row(
            "two names that are one file where case or Unicode form do not count; "
            "a file that is a folder of another",
            _REFUSED,
            r"clash|fold_to_one",
        ),
        Row(
            "a path outside the model's own, when the tag is known",
            _REFUSED,
            r"outside_the_models_own",
        ),
        Row(
            "hidden folders, spaces, `:`, `~`, `$`, `%2e`, a leading `-`, 🙂",
            "placed literally",
            r"real_name_is",
        ),
        Row(
            "a parent that is a link, or becomes one while files are placed",
            "refused, nothing is written through it",
            r"parent_that_is_a_link|parent_that_becam|parent_that_becomes|"
            r"parent_became|through_a_link",
        ),
        Row(
            "a target that is a link, also into the DVC cache, or a hard link",
            "the link is replaced, what it led to stays byte for byte",
            r"link_is_replaced|link_to_no_file_is_replaced|other_names_of_a_replaced",
        ),
        Row(
            "a target that is a folder or a device; a parent that is a file or a pipe",
            "refused, untouched",
            r"folder_in_the_place|what_is_no_file|parent_that_is_a_(file|pipe)",
        ),
        Row(
            "a target with the right content",
            "not touched: same inode, same time",
            r"touches_no_file|killed_at_any_call",
        ),
        Row(
            "a target with other content",
            "a conflict, nothing is changed; `--force` replaces it",
            r"modified_file_is_not_overwritten|force_replaces|one_conflict_stops",
        ),
        Row("a target that Git tracks", "refused, also with `--force`", r"git_tracks"),
        Row(
            "a file that somebody changes while the pull runs",
            "it stays; what was placed is taken back",
            r"that_changed_is|that_changes_(while|is)|that_appears|somebody_(re)?wrote",
        ),
        Row(
            "a failure midway, on one or two file systems",
            "what was there comes back",
            r"comes_back|takes_everything_back|nothing_is_lost|can_come_back",
        ),
        Row(
            "a subfolder, a worktree, a linked root, a detached head",
            "works",
            r"from_a_subfolder|in_a_worktree|root_that_is_a_link|detached_head",
        ),
        Row("a bare repository, no repository", "a clear error", r"outside_a_git|bare"),
        Row(
            "umask and modes", "as the user's mask says", r"mask_says|as_the_user_wants"
        ),
        Row(
            "random replies and workspaces",
            "nothing outside the root, of `.git` or of `.dvc` changes",
            r"whatever_the_reply",
        ),
    ),
    "Replies of Studio, and links": (
        Row(
            "no JSON object, cut, nested 100,000 deep, bad UTF-8, NaN, duplicate keys",
            _ERROR,
            r"body_that_is_no_reply|reply_that_is_none",
        ),
        Row("`{}`", "not found", r"\[\{\}\]|no_files_are_an_error"),
        Row("a login page", "not JSON; check studio.url", r"login_page|\[HTML\]"),
        Row("20,000 files", "works", r"twenty_thousand"),
        Row(
            "an endless body, a gzip bomb",
            "cut at 64 MiB",
            r"cut_at_64|unpacks_to|an endless body\]|reply.*gzip bomb",
        ),
        Row("a reply that drips", "given up after 5 minutes", r"reply_that_never_ends"),
        Row(
            "a link that is null, a number, a list, empty, `file:`, `s3:`, relative, "
            "with spaces or line breaks",
            _REFUSED,
            r"no_url_is_refused|link_that_is_none",
        ),
        Row(
            "link-local and metadata addresses, in any spelling, IPv4 within IPv6",
            _REFUSED,
            r"metadata|link-local",
        ),
        Row(
            "user and password in a link",
            "used, never shown",
            r"password_in_a_link|user_and_password_of_the_url|password_and_signature",
        ),
        Row(
            "redirects of storage",
            "at most 5, http(s) only, never from https to http, without credentials",
            r"redirects_to_where|redirects_end|tls_is_not_left|password_of_one_host|"
            r"redirect",
        ),
        Row(
            "redirects of Studio to another host, port or scheme",
            "the token does not go there; the host and the setting are named",
            r"token_does_not_follow|redirect_elsewhere|\[another (host|port|scheme)",
        ),
        Row("cookies", "not kept", r"cookies"),
        Row(
            "`~/.netrc`", "disturbs neither Studio nor storage", r"netrc|no_credentials"
        ),
        Row(
            "401, 403, 404, 422 with `detail`, `message`, fields or HTML",
            "Studio's own sentence, and what to do",
            r"refused_token_is_told|does_not_know_is_told|refusal_of_studio",
        ),
        Row(
            "429 and 5xx",
            "asked again, three times in all",
            r"busy_studio|three_times_and_no_more|\[(429|500|503)\]",
        ),
    ),
    "Faults of storage, the network and the machine": (
        Row(
            "404 NoSuchKey, 400",
            "not retried; was it pushed?",
            r"\[(404 NoSuchKey|400)\]|cannot_succeed_is_not_tried",
        ),
        Row(
            "an expired link of S3 or Azure, before or between ranges",
            "renewed once for all files, and continued",
            r"expired|ExpiredToken|of Azure|links_that_d|links_may_die|link_that_dies",
        ),
        Row(
            "403 for another reason",
            "one renewal, then the sentence about Studio's credentials",
            r"403 for another reason|new_link_that_is_refused",
        ),
        Row(
            "408, 425, 429, 500, 502, 503, 504",
            "tried again, with pauses; `Retry-After` is kept to",
            r"that_passes_is_survived\[(4|5)\d\d|retry_after|busy_server|as_the_server_a",
        ),
        Row(
            "a stage that moves while it is pulled",
            "an error, never a mix",
            r"stage_that_moves",
        ),
        Row(
            "200 or 416 to a range, empty objects",
            "a plain GET of the whole",
            r"strange_server|empty_file_comes|(200|416) to a range",
        ),
        Row(
            "206 of another start or size, without a range, of many parts, of numbers "
            "without end; an ETag that changes",
            "thrown away, begun again once",
            r"\[206|does_not_fit|ETag|multipart|never_is_the_same|another_object",
        ),
        Row(
            "FIN, RST, a cut chunk, no answer",
            "resumed at the offset",
            r"FIN|RST|chunked body cut|close before an answer|what_a_cut|cut_at_once",
        ),
        Row(
            "wrong bytes of the right size",
            "fetched once more, then an error; the part is deleted",
            r"wrong.bytes|wrong_content|wrong_byte",
        ),
        Row(
            "longer than announced, endless, a gzip bomb, lengths that lie",
            "ends at what was promised; never placed",
            r"endless_body_ends|too long|more than was announced|"
            r"storage_answers.*(bomb|length)",
        ),
        Row(
            "encodings that lie, 100 layers of them",
            "as it is, if the hash is right",
            r"encoding|not_encoded",
        ),
        Row(
            "broken, endless or huge headers, endless 1xx, no HTTP at all",
            "an error, or " + _WHOLE,
            r"headers|HTTP/|100 Continue|not HTTP|chunk (size|ext)|negative|103 before",
        ),
        Row(
            "silence; a slow body",
            "cut after 30 s of silence; what moves is waited for",
            r"silence|slow_body|head_that_drips|that_lasts_ends_the_pull",
        ),
        Row(
            "connection refused, unknown host",
            "an error within 10 s that names the host",
            r"connection_ends_soon|unknown_host|refuses_connections|nobody_knows|is_gone",
        ),
        Row(
            "TLS: expired, another host, unknown CA, none at all",
            "ends at once, never plain http; `REQUESTS_CA_BUNDLE` counts",
            r"certificate|ca_bundle|bundle_|speaks_none",
        ),
        Row(
            "proxies with a password, `NO_PROXY`",
            "used; the password is never shown",
            r"prox",
        ),
        Row(
            "a full disk, a read-only folder, no permission, too many open files",
            "an error that names the folder; the old file is intact",
            r"full_disk|what_the_disk|cannot_be_made|cannot_be_written|system_refuses|"
            r"too_large_is|not_be_looked",
        ),
        Row(
            "Ctrl-C, SIGTERM",
            "ends within a second; parts are kept, and a line says so",
            r"was_stopped.*(Ctrl-C|SIGTERM)|interrupt_ends|signal_ends",
        ),
        Row(
            "SIGKILL while downloading",
            "the next pull fetches only what is missing",
            r"killed_download|killed_again|SIGKILL",
        ),
        Row(
            "SIGKILL at a file-system call",
            "old or new, never torn; the next pull finishes and sweeps (table below)",
            r"killed_at_any_call|killed_pull_left",
        ),
        Row("a power cut", "what was placed is whole", r"survives_a_power_cut"),
        Row(
            "two pulls at once, locks that succeed for everybody",
            "both end well, never a mix",
            r"two_processes|two_stores|at_once_share|even_if_locks_lie|of_many_that_claim",
        ),
        Row(
            "the project's lock",
            "held only while placing; `--wait-for-lock` waits",
            r"lock_that_is_held|waited_for|lock_of_another|while_a_pull_downloads",
        ),
        Row(
            "a stale, too long, torn or foreign part",
            "its hash decides; swept after two weeks",
            r"hash_decides|too_long_is_cut|two_weeks|bad_part|record_",
        ),
        Row(
            "a clock that is wrong",
            "the server's own counts",
            r"by_the_servers_clock|by_studios_clock|clock",
        ),
        Row(
            "a closed stdout, `LC_ALL=C`, no terminal",
            "no traceback",
            r"closed_stdout|c_locale|without_a_terminal",
        ),
        Row(
            "secrets in output at `-vv`, files, names, arguments of processes",
            "none",
            r"shows?_(no|a)_secret|never_shown|hostile",
        ),
    ),
    "The hook": (
        Row("at every start of Python", "imports only `sys`", r"hook_imports_only"),
        Row(
            "a broken or half-removed installation, a broken entry point",
            "`dvc` works, with one warning",
            r"broken_command|broken_|half|removed|missing_depend",
        ),
        Row("another kind of parser in DVC", "`dvc` works", r"another_kind_of_parser"),
        Row("switched off", "nothing is loaded", r"switches_the_hook_off"),
    ),
}
