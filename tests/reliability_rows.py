"""The faults that can occur, the outcome of each, and the tests that show it.

``docs/reliability.md`` begins with this list. Each pattern is searched in
``file::test[case]``; ``test_reliability.py`` fails for a row that matches no test.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One kind of case."""

    case: str
    outcome: str
    tests: str


_REFUSED = "refused before any byte is downloaded; the error lists all of them"
_ERROR = "an error that describes the response"
_WHOLE = "the correct bytes, with the next request"

ROWS: dict[str, tuple[Row, ...]] = {
    "Paths and the workspace": (
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
            _REFUSED + ", escaped",
            r"ends_lines_or_steers_terminals|refused_path_is_listed_escaped",
        ),
        Row(
            "names over 255 bytes, paths over the system's limit",
            _REFUSED,
            r"name_over_255_bytes|path_over_4095|too_long_with_the_root",
        ),
        Row(
            "two names that differ only in case or Unicode form; a file whose path is "
            "a folder of another file",
            _REFUSED,
            r"clash|fold_to_one",
        ),
        Row(
            "a path outside the model's own path, if the tag is known",
            _REFUSED,
            r"files_elsewhere_is_refused",
        ),
        Row(
            "hidden folders, spaces, `:`, `~`, `$`, `%2e`, a leading `-`, 🙂",
            "placed under exactly this name",
            r"real_name_is",
        ),
        Row(
            "a parent folder that is a link, or becomes one while files are placed",
            "refused; nothing is written through the link",
            r"parent_that_is_a_link|parent_that_becam|parent_that_becomes|"
            r"parent_became|through_a_link",
        ),
        Row(
            "a target that is a symbolic link, even into the DVC cache, or a hard link",
            "the link is replaced; the file it led to stays the same byte for byte",
            r"link_is_replaced|link_to_no_file_is_replaced|other_names_of_a_replaced",
        ),
        Row(
            "a target that is a folder or a device; a parent that is a file or a pipe",
            "refused and not changed",
            r"folder_in_the_place|what_is_no_file|parent_that_is_a_(file|pipe)",
        ),
        Row(
            "a target with the right content",
            "not touched: same inode, same mtime",
            r"touches_no_file|killed_at_any_call",
        ),
        Row(
            "a target with other content",
            "a conflict: nothing is changed; `--force` replaces it",
            r"modified_file_is_not_overwritten|force_replaces|one_conflict_stops",
        ),
        Row("a target tracked by Git", "refused, even with `--force`", r"git_tracks"),
        Row(
            "a file that another program changes during the pull",
            "its new content stays; files already placed are rolled back",
            r"that_changed_is|that_changes_(while|is)|that_appears|somebody_(re)?wrote",
        ),
        Row(
            "a failure while files are placed, on one or two file systems",
            "the previous files are restored",
            r"comes_back|takes_everything_back|nothing_is_lost|can_come_back",
        ),
        Row(
            "without a cache, files that cannot be placed, or a kill while placing",
            "the next pull downloads nothing again",
            r"nothing_is_downloaded_again",
        ),
        Row(
            "`--dry-run`, `--check`",
            "nothing on disk changes",
            r"nothing_changes_on_disk",
        ),
        Row(
            "a subfolder, a worktree, a root that is a link, a detached HEAD",
            "works",
            r"from_a_subfolder|in_a_worktree|root_that_is_a_link|detached_head",
        ),
        Row("a bare repository, no repository", "a clear error", r"outside_a_git|bare"),
        Row(
            "umask and modes",
            "the user's umask applies",
            r"mask_says|as_the_user_wants",
        ),
        Row(
            "random replies and workspaces",
            "nothing outside the root or in `.git` or `.dvc` changes",
            r"whatever_the_reply",
        ),
    ),
    "Studio's replies and signed URLs": (
        Row(
            "not a JSON object, truncated, nested 100,000 deep, invalid UTF-8, NaN, "
            "duplicate keys",
            _ERROR,
            r"body_that_is_no_reply|reply_that_is_none",
        ),
        Row("`{}`", "not found", r"\[\{\}\]|no_files_are_an_error"),
        Row(
            "a login page",
            "an error: not JSON; check studio.url",
            r"login_page|\[HTML\]",
        ),
        Row("20,000 files", "works", r"twenty_thousand"),
        Row(
            "an endless body, a gzip bomb",
            "stopped at 64 MiB",
            r"cut_at_64|unpacks_to|an endless body\]|reply.*gzip bomb",
        ),
        Row(
            "a reply that arrives byte by byte",
            "ends after 5 minutes",
            r"reply_that_never_ends",
        ),
        Row(
            "a URL that is null, a number, a list, empty, `file:`, `s3:`, relative, "
            "with spaces or line breaks",
            _REFUSED,
            r"no_url_is_refused|link_that_is_none",
        ),
        Row(
            "link-local and metadata addresses in any spelling, such as IPv4 in IPv6",
            _REFUSED,
            r"metadata|link-local",
        ),
        Row(
            "user name and password in a URL",
            "used, never shown",
            r"password_in_a_link|user_and_password_of_the_url|password_and_signature",
        ),
        Row(
            "redirects from storage",
            "at most 5, only http(s), never from https to http, without credentials",
            r"redirects_to_where|redirects_end|tls_is_not_left|password_of_one_host|"
            r"redirect",
        ),
        Row(
            "redirects from Studio to another host, port or scheme",
            "the token is not sent there; the error names the host and the setting",
            r"token_does_not_follow|redirect_elsewhere|\[another (host|port|scheme)",
        ),
        Row("cookies", "not stored", r"cookies"),
        Row("`~/.netrc`", "not used for Studio or storage", r"netrc|no_credentials"),
        Row(
            "401, 403, 404, 422 with `detail`, `message`, fields or HTML",
            "an error with Studio's own message, and what to do",
            r"refused_token_is_told|does_not_know_is_told|refusal_of_studio",
        ),
        Row(
            "429 and 5xx",
            "retried, up to three requests in total",
            r"busy_studio|three_times_and_no_more|\[(429|500|503)\]",
        ),
    ),
    "Faults of storage, network and machine": (
        Row(
            "404 NoSuchKey, 400",
            "not retried; the error suggests `dvc push`",
            r"\[(404 NoSuchKey|400)\]|cannot_succeed_is_not_tried",
        ),
        Row(
            "an expired S3 or Azure URL, before or between ranges",
            "renewed once for all files; the download continues",
            r"expired|ExpiredToken|of Azure|links_that_d|links_may_die|link_that_dies",
        ),
        Row(
            "403 for another reason",
            "renewed once, then an error about Studio's credentials",
            r"403 for another reason|new_link_that_is_refused",
        ),
        Row(
            "408, 425, 429, 500, 502, 503, 504",
            "retried with pauses; `Retry-After` is respected",
            r"that_passes_is_survived\[(4|5)\d\d|retry_after|busy_server|as_the_server_a",
        ),
        Row(
            "a stage that moves during the pull",
            "an error, never a mix of versions",
            r"stage_that_moves",
        ),
        Row(
            "200 or 416 in response to a range, empty objects",
            "downloaded with a plain GET of the whole file",
            r"strange_server|empty_file_comes|(200|416) to a range",
        ),
        Row(
            "206 with a wrong start or size, without a range, multipart, with huge "
            "numbers; an ETag that changes",
            "discarded, and started again once",
            r"\[206|does_not_fit|ETag|multipart|never_is_the_same|another_object",
        ),
        Row(
            "FIN, RST, a truncated chunk, no response",
            "resumed at the offset",
            r"FIN|RST|chunked body cut|close before an answer|what_a_cut|cut_at_once",
        ),
        Row(
            "wrong bytes of the right size",
            "downloaded once more, then an error; the partial download is deleted",
            r"wrong.bytes|wrong_content|wrong_byte",
        ),
        Row(
            "longer than announced, endless, a gzip bomb, wrong lengths",
            "stopped at the expected size; never placed",
            r"endless_body_ends|too long|more than was announced|"
            r"storage_answers.*(bomb|length)",
        ),
        Row(
            "a wrong `Content-Encoding`, 100 layers of it",
            "the bytes are used as they are, if the hash is right",
            r"encoding|not_encoded",
        ),
        Row(
            "invalid, endless or huge headers, endless 1xx, not HTTP",
            "an error, or " + _WHOLE,
            r"headers|HTTP/|100 Continue|not HTTP|chunk (size|ext)|negative|103 before",
        ),
        Row(
            "silence; a slow body",
            "stopped after 30 s of silence; a slow transfer continues",
            r"silence|slow_body|head_that_drips|that_lasts_ends_the_pull",
        ),
        Row(
            "connection refused, unknown host",
            "an error within 10 s that names the host",
            r"connection_ends_soon|unknown_host|refuses_connections|nobody_knows|is_gone",
        ),
        Row(
            "TLS: expired, wrong host, unknown CA, no TLS at all",
            "an error at once, never plain http; `REQUESTS_CA_BUNDLE` is respected",
            r"certificate|ca_bundle|bundle_|speaks_none",
        ),
        Row(
            "proxies with a password, `NO_PROXY`",
            "used; the password is never shown",
            r"prox",
        ),
        Row(
            "a full disk, a read-only folder, no permission, too many open files",
            "an error that names the folder; the previous file is intact",
            r"full_disk|what_the_disk|cannot_be_made|cannot_be_written|system_refuses|"
            r"too_large_is|not_be_looked",
        ),
        Row(
            "Ctrl-C, SIGTERM",
            "ends within a second; partial downloads are kept, and a message says so",
            r"was_stopped.*(Ctrl-C|SIGTERM)|interrupt_ends|signal_ends",
        ),
        Row(
            "SIGKILL while downloading",
            "the next pull downloads only the missing bytes",
            r"killed_download|killed_again|SIGKILL",
        ),
        Row(
            "SIGKILL at a file-system call",
            "each file is old or new, never mixed; the next pull finishes and cleans "
            "up (table below)",
            r"killed_at_any_call|killed_pull_left",
        ),
        Row("a power cut", "placed files are complete", r"survives_a_power_cut"),
        Row(
            "two pulls at once, locks that succeed for every process",
            "both succeed, never a mix of versions",
            r"two_processes|two_stores|at_once_share|even_if_locks_lie|of_many_that_claim",
        ),
        Row(
            "the project's lock",
            "held only while files are placed; `--wait-for-lock` waits",
            r"lock_that_is_held|waited_for|lock_of_another|while_a_pull_downloads",
        ),
        Row(
            "a partial download that is old, too long, damaged or from another program",
            "its hash decides; removed after two weeks",
            r"hash_decides|too_long_is_cut|two_weeks|bad_part|record_",
        ),
        Row(
            "a wrong clock on this machine",
            "the server's clock is used",
            r"by_the_servers_clock|by_studios_clock|clock",
        ),
        Row(
            "a closed stdout, `LC_ALL=C`, no terminal",
            "no traceback",
            r"closed_stdout|c_locale|without_a_terminal",
        ),
        Row(
            "secrets in output with `-vv`, files, file names, process arguments",
            "none",
            r"shows?_(no|a)_secret|never_shown|hostile",
        ),
    ),
    "The hook": (
        Row("at every start of Python", "imports only `sys`", r"hook_imports_only"),
        Row(
            "a broken or partly removed installation, a broken entry point",
            "`dvc` works, with one warning",
            r"broken_command|broken_|half|removed|missing_depend",
        ),
        Row(
            "a different kind of parser in DVC",
            "`dvc` works",
            r"another_kind_of_parser",
        ),
        Row("disabled", "nothing is loaded", r"switches_the_hook_off"),
    ),
    "A hostile repo on a server": (
        Row(
            "a committed config that names a program, a file or credentials",
            "not used; the log says so",
            r"committed_config_runs_no|serve_runs_no_program|asks_for_a_password",
        ),
        Row(
            "a committed `config.local`, also behind a symlink or in a repo inside",
            "ignored",
            r"test_a_config_local_",
        ),
        Row(
            "a committed config that is huge, deep, recursive, or no config",
            "refused in a sentence; other repos continue",
            r"committed_config_that_is_odd",
        ),
        Row(
            "a remote in the folder or bucket of another team, by its URL, a symlink, "
            "a new project, a reference or the name of the server's own remote",
            "refused, unless it is in the repo's `roots`",
            r"test_roots\.py",
        ),
        Row(
            "YAML with alias bombs, directives, deep nesting, megabytes; a matrix of a "
            "billion stages",
            "refused in a moment, for those models alone",
            r"too_complex|matrix_of_a_billion",
        ),
        Row(
            "symlinks in place of DVC's files in a mirror",
            "not followed",
            r"committed_symlink_is_no_way_out",
        ),
        Row(
            "a huge file in Git",
            "not read",
            r"huge_file_in_git_is_not_read",
        ),
        Row(
            "odd and broken refs",
            "not served; all others are",
            r"an_odd_ref|ref_that_is_no_ref",
        ),
    ),
}
