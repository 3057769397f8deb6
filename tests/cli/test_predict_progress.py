from __future__ import annotations

import io

from rich.console import Console

from nlpmtl.cli.predict_progress import Bar, Lines


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_now_and_then() -> None:
    said: list[str] = []
    clock = Clock()
    reading = Lines(2000, said.append, now=clock)
    with reading.open():
        for _ in range(40):
            clock.now += 0.6
            reading.read(50)
            reading.answered()
    assert said == ["17 texts, 42% of the file read", "34 texts, 85% of the file read"]


def test_a_short_file_says_nothing() -> None:
    said: list[str] = []
    reading = Lines(100, said.append)
    reading.read(100)
    reading.answered()
    assert said == []


def test_of_stdin_nobody_knows_how_much_is_left() -> None:
    said: list[str] = []
    clock = Clock()
    reading = Lines(None, said.append, now=clock)
    clock.now = 11.0
    reading.answered()
    assert said == ["1 texts"]


def test_a_bar_goes_with_the_bytes_that_were_read() -> None:
    screen = io.StringIO()
    reading = Bar(200, Console(file=screen, force_terminal=True, width=100))
    with reading.open():
        reading.read(100)
        for _ in range(1234):
            reading.answered()
    shown = screen.getvalue()
    assert "predicting" in shown
    assert "50%" in shown
    assert "1,234 texts" in shown
