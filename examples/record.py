"""Record a real run of demo.sh as an animated SVG: ``record.py docs/pull.svg``.

The demo runs in its own pseudo-terminal, and pyte interprets its output. Each line
appears in the animation at the time it appeared in the terminal. ``make picture`` runs
this script.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pyte

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path(__file__).with_name("demo.sh")
BEGIN = "# Another clone"  # the lines before it create the registry
COLUMNS, ROWS = 80, 200
CELL, LINE, MARGIN = 7.8, 18, 16  # in pixels, for most monospaced fonts of 13 px
STYLE = f"""
rect {{ fill: #1b1f27 }}
text {{ font: 13px/{LINE}px ui-monospace, Menlo, Consolas, monospace; fill: #d5dae3 }}
text {{ white-space: pre; animation: show 1ms backwards }}
.comment {{ fill: #8fa1b8 }}
.command {{ fill: #7fd1a5 }}
@keyframes show {{ from {{ opacity: 0 }} }}
@media (prefers-reduced-motion) {{ text {{ animation: none }} }}
"""


def record() -> Iterator[tuple[float, bytes]]:
    """Run the demo; yield its output with the seconds since its start."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began = time.monotonic()
    env = {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(["bash", DEMO], stdout=theirs, stderr=theirs, env=env) as run:
        os.close(theirs)
        while chunk := read(ours):
            yield time.monotonic() - began, chunk
    os.close(ours)
    if run.returncode:
        sys.exit(f"the demo failed: {run.returncode}")


def read(terminal: int) -> bytes:
    """Read available output; return nothing at the end."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:  # Linux raises EIO at the end of a terminal
            raise
        return b""


def show(chunks: Iterator[tuple[float, bytes]]) -> list[tuple[float, str]]:
    """Return the lines left on the terminal, and the time at which each appeared."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    lines = [(0.0, "")] * ROWS
    for at, chunk in chunks:
        stream.feed(chunk)
        lines = [
            (then, text) if text == now.rstrip() else (at, now.rstrip())
            for (then, text), now in zip(lines, screen.display, strict=True)
        ]
    first = next(n for n, (_, text) in enumerate(lines) if text.startswith(BEGIN))
    last = max(n for n, (_, text) in enumerate(lines) if text)
    return lines[first : last + 1]


def draw(lines: list[tuple[float, str]]) -> str:
    """Return the SVG."""
    began = lines[0][0]
    width = COLUMNS * CELL + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    drawn = [
        f'<text x="{MARGIN}" y="{MARGIN + LINE * n + 13}"{class_of(text)} '
        f'style="animation-delay:{at - began:.1f}s">{escape(text)}</text>'
        for n, (at, text) in enumerate(lines)
        if text
    ]
    box = f'viewBox="0 0 {width:.0f} {height}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" {box}>',
        f"<style>{STYLE}</style>",
        f'<rect width="{width:.0f}" height="{height}" rx="8"/>',
    ]
    return "\n".join([*head, *drawn, "</svg>\n"])


def class_of(text: str) -> str:
    """Return the class attribute of a line: a comment, a command or output."""
    classes = {"# ": ' class="comment"', "$ ": ' class="command"'}
    return classes.get(text[:2], "")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(draw(show(record())), "utf-8")
