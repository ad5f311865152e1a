"""Downloads: files with signed URLs in, verified parts out.

    engine      all files of a pull: threads, progress, the end
    small       small files, many requests at a time
    file        one file: its size, its links, a content that came in one piece
    download    one file in ranges: its requests, retries and verification
    schedule    one attempt at a file: which ranges to request, and when
    retries     how a download goes on after a failure
    hashing     the hash of a part while it arrives
    mirror      flushes and second copies while a part arrives
    space       bytes to write, compared with the free space
    sizes       sizes of files, for dry runs

Promises that a file is passed on only with the expected hash, that memory does not grow
with the size of files, and that unfinished parts are kept for the next pull. Requests
are sent by ``http``; parts are kept by ``store``.
"""

__all__ = ["engine", "sizes"]
