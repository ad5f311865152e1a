"""The steps of each command, and the decisions between them.

``pull`` reads from top to bottom: ``prepare`` has its steps before the first byte,
``targets`` looks at the workspace, ``plan`` decides, ``place`` changes the workspace,
``report`` returns the result; ``lock`` implements ``--lock`` and ``--locked``.
``status`` and ``inventory`` compare and list. Promises that a pull which fails leaves
the workspace as it was. Other packages do all input and output.
"""

__all__ = ["inventory", "pull", "status"]
