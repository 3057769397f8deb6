"""Progress of a run: its state, which events update, and views of it for a terminal, a notebook and plain output."""

from nlpmtl.progress.display import display, display_events, progress_view
from nlpmtl.progress.state import Bar, RunProgress, TaskProgress, duration
from nlpmtl.progress.views import NotebookView, PlainView, TerminalView, View

__all__ = [
    "Bar",
    "NotebookView",
    "PlainView",
    "RunProgress",
    "TaskProgress",
    "TerminalView",
    "View",
    "display",
    "display_events",
    "duration",
    "progress_view",
]
