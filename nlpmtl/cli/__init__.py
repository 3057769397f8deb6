"""The command `nlpmtl`: one file per verb, which takes arguments, calls the library and shows what comes back.

nlpmtl train quickstart --output runs/quickstart
nlpmtl predict runs/quickstart/model "My lamp has not arrived."
"""

from __future__ import annotations

from nlpmtl.cli.app import app, main

__all__ = ["app", "main"]
