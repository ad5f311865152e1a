"""The steps of a pull, in order, and the decisions between them.

``names`` finds the models that a command is for. ``prepare`` has the steps before the
first byte, ``targets`` looks at the workspace, ``plan`` decides, ``place`` changes the
workspace, ``report`` returns the result; ``lock`` implements ``--lock`` and
``--locked``.
"""
