"""Traps in what a run or a model reads: nothing of it is executed, and nothing is written where it should not be."""

from __future__ import annotations

from tests.faults.traps.links import links
from tests.faults.traps.names import names
from tests.faults.traps.pickles import bombs, pickles
from tests.faults.traps.remote_code import remote_code
from tests.faults.traps.secret import secret

__all__ = ["bombs", "links", "names", "pickles", "remote_code", "secret"]
