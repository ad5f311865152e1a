"""The commands: argv to options, results to text and JSON. One module a command."""

from dvc_studio_models.cli.pull import add_parser

__all__ = ["add_parser"]
