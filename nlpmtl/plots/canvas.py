"""What all pictures have in common: fonts, colours, names that fit, and bytes that are the same each time."""

from __future__ import annotations

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

# The palette of Okabe and Ito (2008), told apart by the colour-blind too; its yellow is too light for lines.
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
LONGEST = 26
"""Characters of a label's name; more are cut off."""
HEAD = 0.72
"""Inches that a title and the line below it take."""
TICKS = 0.46
"""Inches between axes and the edge, for ticks and the name of the axis, without the names of labels."""
SMALL = 8
"""The size of the letters of labels, in points."""
_TITLE = 12
_COLOURS = 128
_FONT = "DejaVu Sans"
"""It comes with matplotlib."""
_STYLE = {
    "font.family": [_FONT],
    "font.size": 9,
    "axes.edgecolor": GREY,
    "axes.labelcolor": BLACK,
    "axes.spines.right": False,
    "axes.spines.top": False,
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
    """Our settings in place of the user's, for as long as something is drawn."""
    plain: dict[Any, Any] = {key: value for key, value in matplotlib.rcParamsDefault.items() if "backend" not in key}
    with matplotlib.rc_context(plain | _STYLE):
        yield


def to_png(figure: Figure) -> bytes:
    """The picture as a file: in so few colours that it is small, without a date or a version."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = BytesIO()
    drawn.quantize(_COLOURS, dither=Image.Dither.NONE).save(buffer, format="png")
    return buffer.getvalue()


def display_names(names: Sequence[str]) -> list[str]:
    """Names as a picture can show them: on one line, cut to a length; a number, from 1, where the font lacks a letter.

    Names that would become the same get their number too.
    """
    cut = [_cut(name) for name in names]
    readable = [_readable(name) and cut.count(name) == 1 for name in cut]
    return [name if clear else f"#{i}" for i, (name, clear) in enumerate(zip(cut, readable, strict=True), 1)]


def new_figure(width: float, height: float, *, title: str, subtitle: str) -> Figure:
    """A figure of at least a size in inches, with a title and a line that says how to read it, in the upper `HEAD`."""
    width = max(width, 0.3 + text_width([title], size=_TITLE, weight="bold"), 0.3 + text_width([subtitle]))
    figure = Figure(figsize=(width, height))
    figure.text(0.12 / width, 1 - 0.12 / height, title, va="top", fontsize=_TITLE, fontweight="bold", color=BLACK)
    figure.text(0.12 / width, 1 - 0.40 / height, subtitle, va="top", fontsize=SMALL, color=GREY)
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose upper left corner is so many inches from that of the figure."""
    whole, high = figure.get_size_inches()
    return figure.add_axes((left / whole, (high - top - height) / high, width / whole, height / high))


def text_width(names: Sequence[str], *, size: float = SMALL, weight: str = "normal") -> float:
    """The inches that the longest of some names takes, in letters of a size in points."""
    font = _font(weight)
    font.set_size(size, 72)
    widths = []
    for name in names:
        font.set_text(name)
        widths.append(font.get_width_height()[0] / 64 / 72)
    return max(widths)


def _cut(name: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in name)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def _readable(name: str) -> bool:
    font = _font("normal")
    return bool(name.strip()) and all(font.get_char_index(ord(c)) for c in name)


def _font(weight: str) -> FT2Font:
    return get_font(findfont(FontProperties(family=[_FONT], weight=weight)))
