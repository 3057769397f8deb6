"""The `nlpmtl` command. Each subcommand is one file that parses arguments, calls the library and prints the result.

nlpmtl train quickstart --output runs/quickstart
nlpmtl predict runs/quickstart/model "My lamp has not arrived."
"""

from __future__ import annotations

from nlpmtl.cli.app import app, main

__all__ = ["app", "main"]
