"""The commands behind ``make release``, ``make dist`` and ``make sbom``.

    release       checks that a version can be released; dates, commits and tags it
    changelog     reads and dates the sections of CHANGELOG.md; prints a release's text
    dist          builds sdist and wheel twice, compares the bytes, writes their hashes
    bom           lists what an installed wheel brought, as an SBOM

``docs/releasing.md`` says in which order they are used. None of it is in the wheel.
"""
