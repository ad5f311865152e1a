"""A TCP proxy that makes a far server of a near one, as a process of its own.

Every byte is held for half the delay in each direction; the bandwidth is not limited,
since whatever arrives meanwhile travels along. Connecting costs nothing: only what is
sent travels.

    python -m benchmarks.delay PORT TARGET_PORT DELAY_MS
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

_HOST = "127.0.0.1"
_CHUNK_BYTES = 1 << 18
_CHUNKS_ON_THE_WAY = 1024  # so that a reader that has gone cannot fill the memory


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float
) -> None:
    """Move what arrives, each piece ``delay_s`` later, and then the end."""
    way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_ON_THE_WAY)
    clock = asyncio.get_running_loop().time

    async def arrive() -> None:
        while True:
            due, chunk = await way.get()
            await asyncio.sleep(due - clock())
            if not chunk:
                return
            writer.write(chunk)
            await writer.drain()

    arriving = asyncio.create_task(arrive())
    try:
        while chunk := await reader.read(_CHUNK_BYTES):
            await way.put((clock() + delay_s, chunk))
        await way.put((clock() + delay_s, b""))
        await arriving
        writer.write_eof()
    finally:
        arriving.cancel()


async def _connect(
    client: asyncio.StreamReader,
    to_client: asyncio.StreamWriter,
    target_port: int,
    delay_s: float,
) -> None:
    server, to_server = await asyncio.open_connection(_HOST, target_port)
    try:
        with contextlib.suppress(OSError):  # one of the two hung up
            await asyncio.gather(
                _carry(client, to_server, delay_s), _carry(server, to_client, delay_s)
            )
    finally:
        to_server.close()
        to_client.close()


async def serve(port: int, target_port: int, delay_ms: float) -> None:
    """Listen on ``port`` until the process is ended."""
    server = await asyncio.start_server(
        lambda reader, writer: _connect(
            reader, writer, target_port, delay_ms / 1000 / 2
        ),
        _HOST,
        port,
        limit=_CHUNK_BYTES,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
