"""Proposals of `nlpmtl init`: what the columns of files are, and the dataset files and the run file for them.

    sources = find_sources(["reviews.csv"])
    proposals = propose([read_sample(source) for source in sources])
    files = write_configs(proposals, directory=Path(), encoder=None)

`rules.py` has the table of rules. Nothing here imports torch.
"""

from __future__ import annotations

from nlpmtl.init.configs import check_targets, run_name, write_configs
from nlpmtl.init.encoder import default_encoder
from nlpmtl.init.finding import NOT_USED, Finding
from nlpmtl.init.overrides import KINDS, SYNTAX, Override, parse_override, refuse_repeated
from nlpmtl.init.profile import Profile
from nlpmtl.init.proposal import Proposal, TaskProposal, propose
from nlpmtl.init.rules import RULES, classify
from nlpmtl.init.sample import Sample, read_sample
from nlpmtl.init.sources import Source, find_sources
from nlpmtl.init.table import Table

__all__ = [
    "KINDS",
    "NOT_USED",
    "RULES",
    "SYNTAX",
    "Finding",
    "Override",
    "Profile",
    "Proposal",
    "Sample",
    "Source",
    "Table",
    "TaskProposal",
    "check_targets",
    "classify",
    "default_encoder",
    "find_sources",
    "parse_override",
    "propose",
    "read_sample",
    "refuse_repeated",
    "run_name",
    "write_configs",
]
