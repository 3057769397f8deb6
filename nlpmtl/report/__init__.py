"""HTML reports of a run and of its data: one self-contained page each, in which all texts are escaped."""

from __future__ import annotations

from nlpmtl.report.data_page import render_data_page
from nlpmtl.report.run_page import Plot, RunPage, Score, TaskSection, WrongRows, render_run_page

__all__ = [
    "Plot",
    "RunPage",
    "Score",
    "TaskSection",
    "WrongRows",
    "render_data_page",
    "render_run_page",
]
