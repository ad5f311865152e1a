"""``dvc-models``: the same commands where ``dvc`` does not load plugins.

That is with a frozen build of DVC, after ``pip install --target``, and where ``.pth``
files are forbidden or disabled.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from dvc_studio_models import __version__, interrupts
from dvc_studio_models.plugin import OWN, add_commands

if TYPE_CHECKING:
    from argparse import Action
    from collections.abc import Mapping, Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``dvc models`` with the given arguments.

    Args:
        argv: The arguments after the program's name; by default those of the process.
            DVC's own options (``--cd DIR``, ``--wait-for-lock``) may come first, as
            they come before ``models`` on the command line of ``dvc``.

    Returns:
        The exit code.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if interrupts.asks_for_json(args):
        interrupts.arm()
    try:
        return _run(args)
    except KeyboardInterrupt:  # before DVC handles it
        sys.stderr.write(f"ERROR: {interrupts.MESSAGES[KeyboardInterrupt]}\n")
        return interrupts.INTERRUPTED


def _run(args: Sequence[str]) -> int:
    import dvc.cli.parser

    if args in (["-V"], ["--version"]):
        sys.stdout.write(f"{__version__}\n")
        return 0
    add_commands(dvc.cli.parser, [OWN])
    options = dvc.cli.parser.get_main_parser()._option_string_actions
    start = _count_leading_options(args, options)
    return int(dvc.cli.main([*args[:start], "models", *args[start:]]))


def _count_leading_options(args: Sequence[str], options: Mapping[str, Action]) -> int:
    """Count the options of DVC, with their values, that come before the command."""
    position = 0
    while position < len(args):
        name, equals, _ = args[position].partition("=")
        if not name.startswith("-") or name in {"-h", "--help"}:
            break
        takes_next = not equals and name in options and options[name].nargs != 0
        position += 2 if takes_next else 1
    return position


if __name__ == "__main__":
    sys.exit(main())
