"""Label names of ClassLabel features of `datasets`, whose values are stored as integers.

Features are in the form of ``Features.to_dict()``, which `datasets` also writes to the metadata of Parquet files.

Example:
    >>> label = {"names": ["person", "place"], "_type": "ClassLabel"}
    >>> span = {"start": {"_type": "Value"}, "label": label}
    >>> features = {"topic": label, "spans": {"feature": span, "_type": "List"}}
    >>> class_names(features, columns=["topic", "spans"])
    {'topic': ('person', 'place')}
    >>> list(name_labels(iter([(1, {"topic": 1, "spans": [{"start": 0, "label": 1}]})]), features))
    [(1, {'topic': 1, 'spans': [{'start': 0, 'label': 'place'}]})]
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nlpmtl.data.raw_rows import MalformedRow, NumberedRows

UNLABELLED = -1
"""The integer of a row without a label in a ClassLabel column."""


def class_names(features: Any, *, columns: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the label names of each column that is a ClassLabel or a list of ClassLabels."""
    if not isinstance(features, Mapping):
        return {}
    names = {column: _names(_item(features[column])) for column in columns if column in features}
    return {column: column_names for column, column_names in names.items() if column_names}


def name_labels(rows: NumberedRows, features: Any) -> NumberedRows:
    """Yield rows with label names instead of the integers of ClassLabels inside objects, such as spans.

    The integers of columns that `class_names` returns stay: the type of a label column decides what they mean.
    """
    named = {
        column: feature
        for column, feature in (features.items() if isinstance(features, Mapping) else ())
        if isinstance(_item(feature), Mapping) and not _is_leaf(_item(feature)) and _has_names(feature)
    }
    for number, row in rows:
        if named and not isinstance(row, MalformedRow):
            row = {key: _rename(value, named[key]) if key in named else value for key, value in row.items()}
        yield number, row


def replace_ids(value: Any, names: Sequence[str]) -> Any:
    """Return a value with label names instead of integers, also in lists; None for an integer without a name.

    >>> replace_ids([0, 1, -1], ["joy", "fear"])
    ['joy', 'fear', None]
    """
    if isinstance(value, list | tuple):
        return [replace_ids(item, names) for item in value]
    if type(value) is not int:
        return value
    return names[value] if 0 <= value < len(names) else None


def _item(feature: Any) -> Any:
    """Return the feature of the items of a list, else the feature itself; older files have a list of one feature."""
    while True:
        if isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        elif isinstance(feature, Mapping) and _is_leaf(feature) and "feature" in feature:
            feature = feature["feature"]
        else:
            return feature


def _is_leaf(feature: Mapping[str, Any]) -> bool:
    """Return whether a feature has a type; otherwise it is an object with a feature for each key."""
    return isinstance(feature.get("_type"), str)


def _names(feature: Any) -> tuple[str, ...]:
    """Return the names of a ClassLabel; empty for other features."""
    if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    valid = isinstance(names, list) and all(isinstance(name, str) for name in names)
    return tuple(names or ()) if valid else ()


def _has_names(feature: Any) -> bool:
    """Return whether a feature has a ClassLabel in it."""
    item = _item(feature)
    if isinstance(item, Mapping) and not _is_leaf(item):
        return any(map(_has_names, item.values()))
    return bool(_names(item))


def _rename(value: Any, feature: Any) -> Any:
    item = _item(feature)
    if isinstance(item, Mapping) and not _is_leaf(item):
        if isinstance(value, Mapping):
            return {key: _rename(part, item[key]) if key in item else part for key, part in value.items()}
        return [_rename(part, item) for part in value] if isinstance(value, list | tuple) else value
    names = _names(item)
    return replace_ids(value, names) if names else value
