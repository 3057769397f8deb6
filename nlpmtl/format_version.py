"""The version of the files that nlpmtl writes for programs: config.json, run.json, state.json and answers.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlpmtl.errors import NlpmtlError, quote

FORMAT_VERSION = 2
"""Value of `format_version` in files of this version of nlpmtl. Files of nlpmtl 0.1 have no such key: that is 1.

2: the config keys and task options that were renamed in nlpmtl 0.2 have their new names.
"""
FORMAT_KEY = "format_version"


def check_format_version(content: Mapping[str, Any], *, where: str, error: type[NlpmtlError]) -> int:
    """Return the format version of a file.

    Args:
        content: the content of the file.
        where: how the message begins, such as the file's path.
        error: type of the exception.

    Raises:
        NlpmtlError: of the given type; the version is newer than `FORMAT_VERSION`, or not a positive integer.
    """
    version = content.get(FORMAT_KEY, 1)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise error(f"{where}: {FORMAT_KEY} must be a positive integer, found {quote(version, limit=80)}")
    if version > FORMAT_VERSION:
        raise error(
            f"{where}: {FORMAT_KEY} is {version}, and this version of nlpmtl reads up to {FORMAT_VERSION}: a newer "
            "nlpmtl wrote the file; upgrade with `pip install --upgrade nlpmtl`"
        )
    return version
