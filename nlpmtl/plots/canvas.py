"""Style and layout shared by all plots: fonts, colours, label names, deterministic PNG files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ft2font import FT2Font
from PIL import Image

# The palette of Okabe and Ito (2008), colour-blind safe; its yellow is too light for lines.
BLUE, ORANGE, GREEN, PINK, SKY, AMBER, BLACK = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#E69F00",
    "#222222",
)
GREY, PALE = "#666666", "#DDDDDD"
MAX_NAME_LENGTH = 26
"""Maximum length of a label name; longer ones are shortened."""
HEAD = 0.72
"""Height of title and subtitle in inches."""
TICKS = 0.46
"""Margin for ticks and axis title in inches, without tick labels."""
SMALL = 8
"""Font size of labels in points."""
_TITLE = 12
_COLOURS = 128
_FONT = "DejaVu Sans"
"""Included in matplotlib."""
_STYLE = {
    "font.family": [_FONT],
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": BLACK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titley": 1.0,  # no title moves above tick labels, which takes a quarter of the time of a plot
    "text.parse_math": False,  # a label may hold dollars
    "text.usetex": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "figure.dpi": 120,
}


@contextmanager
def plot_style() -> Iterator[None]:
    """Replace the user's matplotlib settings by ours while a plot is drawn."""
    defaults: dict[Any, Any] = {key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key}
    with matplotlib.rc_context(defaults | _STYLE):
        yield


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG: with few colours, so that it is small, and without date and version."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = BytesIO()
    image.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(buffer, format="png")
    return buffer.getvalue()


def display_names(names: Sequence[str]) -> list[str]:
    """Return names that can be drawn: on one line, shortened, or "#1", "#2", … if the font lacks a character.

    Names that would be equal after shortening also become numbers.
    """
    short = [_shorten(name) for name in names]
    counts = Counter(short)
    return [name if _readable(name) and counts[name] == 1 else f"#{number}" for number, name in enumerate(short, 1)]


def new_figure(width: float, height: float, *, title: str, subtitle: str) -> Figure:
    """Return a figure with title and subtitle in its upper `HEAD` inches; it is widened if they need it."""
    width = max(width, 0.3 + text_width([title], size=_TITLE, weight="bold"), 0.3 + text_width([subtitle]))
    figure = Figure(figsize=(width, height))
    figure.text(0.12 / width, 1 - 0.12 / height, title, va="top", fontsize=_TITLE, fontweight="bold", color=BLACK)
    figure.text(0.12 / width, 1 - 0.40 / height, subtitle, va="top", fontsize=SMALL, color=GREY)
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes; position and size are in inches, measured from the upper left corner of the figure."""
    figure_width, figure_height = figure.get_size_inches()
    bottom = figure_height - top - height
    return figure.add_axes((left / figure_width, bottom / figure_height, width / figure_width, height / figure_height))


def text_width(names: Sequence[str], *, size: float = SMALL, weight: str = "normal") -> float:
    """Return the width of the widest name in inches; `size` is the font size in points."""
    font = _font(weight)
    font.set_size(size, 72)
    widths = []
    for name in names:
        font.set_text(name)
        widths.append(font.get_width_height()[0] / 64 / 72)
    return max(widths)


def _shorten(name: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in name)
    return line if len(line) <= MAX_NAME_LENGTH else f"{line[: MAX_NAME_LENGTH - 1]}…"


def _readable(name: str) -> bool:
    font = _font("normal")
    return bool(name.strip()) and all(font.get_char_index(ord(c)) for c in name)


def _font(weight: str) -> FT2Font:
    return get_font(findfont(FontProperties(family=[_FONT], weight=weight)))
