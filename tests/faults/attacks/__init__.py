"""Attacks through files that a run or a model reads: no code is executed, and nothing is written outside."""

from __future__ import annotations

from tests.faults.attacks.links import links
from tests.faults.attacks.names import names
from tests.faults.attacks.pickles import payloads, pickles
from tests.faults.attacks.remote_code import remote_code
from tests.faults.attacks.tokens import tokens

__all__ = ["links", "names", "payloads", "pickles", "remote_code", "tokens"]
