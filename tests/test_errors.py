"""Error classes, exit codes and suggestions."""

from __future__ import annotations

import pytest

import nlpmtl.errors as errors
from nlpmtl.errors import ConfigError, DataError, ModelError, NlpmtlError, RunError, did_you_mean


@pytest.mark.parametrize(("error", "code"), [(ConfigError, 2), (DataError, 2), (ModelError, 2), (RunError, 1)])
def test_every_error_has_one_base_class_and_an_exit_code(error: type[NlpmtlError], code: int) -> None:
    with pytest.raises(NlpmtlError, match="what is wrong") as caught:
        raise error("what is wrong")
    assert caught.value.exit_code == code


def test_the_documented_class_tree_is_complete() -> None:
    drawn = [line.split()[1] for line in str(errors.__doc__).splitlines() if line.strip()[:1] in ("├", "└")]
    assert drawn == [error.__name__ for error in NlpmtlError.__subclasses__()]


@pytest.mark.parametrize(
    ("name", "known", "hint"),
    [
        ("temprature", ["uniform", "temperature"], "did you mean 'temperature'?"),
        ("zzz", ["uniform", "capped"], "known: capped, uniform"),
        ("", ["b", "a"], "known: a, b"),
        ("anything", [], "no names are defined"),
        ("e\u0301", ["\u00e9", "a"], "did you mean '\u00e9'?"),
        ("lr", {"lrs": 1, "head_lr": 2}, "did you mean 'lrs'?"),
    ],
)
def test_suggestions_for_unknown_names(name: str, known: list[str], hint: str) -> None:
    assert did_you_mean(name, known) == hint
    assert did_you_mean(name, iter(known)) == hint
