"""Compares the time, CPU and memory of a pull with other tools: ``make bench``.

__main__   runs the chosen cases in order, and cleans up
cases/     one function per case: the work, the tools, the goals
tools      the command of each tool for the same work
bare       the least that a pull has to do, to show what the machine allows
project    a Git and DVC project with a model of random bytes
servers    nginx with three ports, and a minimal Studio
delay      a proxy that delays every response; runs as its own process
measure    wall time, CPU time and peak memory of a command
strace     system calls of a command
report     writes the results as Markdown
needs      installs the Debian packages
clients    HTTP clients: ``python -m benchmarks.clients``
serve      the server: ``make bench-serve``
tags       pulls in clones with many tags
hook       the time that the plugin adds to Python's start; also runs alone
"""
