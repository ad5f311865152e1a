"""How fast, how large and how frugal a pull is, beside its peers: ``make bench``.

__main__   which cases, in which order, and the clean-up
cases      one function a case: the work, the tools, the goals
tools      the same work as each tool does it
project    a Git and DVC project with a model of random bytes
servers    nginx with three ports, and a minimal Studio
delay      a proxy that makes a far server of a near one; a process of its own
measure    wall time, CPU time and peak memory of a command
report     Markdown
needs      the Debian packages
hook       what the hook at Python's start costs; runs alone, too
"""
