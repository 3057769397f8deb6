"""The config table of a task type: a model whose keys are its fields and its label columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from nlpmtl.config import LabelledOptions, TaskOptions
from nlpmtl.data import column_type, is_coded

if TYPE_CHECKING:
    from nlpmtl.tasks.fields import TaskFields


def make_options_model(cls: type[TaskFields]) -> type[TaskOptions]:
    """Return the model of the tables of a task type in config files, made from the fields of its class."""
    any_of: frozenset[str] = getattr(cls, "any_of", frozenset()) & cls.columns.keys()
    optional = getattr(cls, "optional", frozenset()) | any_of
    base = LabelledOptions if "label" in cls.columns else TaskOptions
    keys: dict[str, Any] = {}
    if "label" in cls.columns and "label" in optional:
        keys["label"] = _label_key(cls.columns["label"])
    keys |= {key: _column_key(key, cls.columns[key], key in optional) for key in cls.columns if key != "label"}
    learned = cls.fitted | cls.calibrated
    keys |= {field.alias or name: _config_key(field) for name, field in cls.own_fields().items() if name not in learned}
    create: Any = create_model
    about = f"Options of `{cls.__name__}`."
    model: type[TaskOptions] = create(
        f"{cls.__name__}Options",
        __base__=base,
        __module__=cls.__module__,
        __doc__=about,
        __cls_kwargs__={"use_attribute_docstrings": False},  # there is no source to read, and the search is slow
        **keys,
    )
    model.renamed_keys, model.task_type = cls.renamed_keys, cls
    if any_of:
        needed: dict[str, Any] = {"anyOf": [{"required": [key]} for key in cls.columns if key in any_of]}
        model.model_config = {**model.model_config, "json_schema_extra": {"allOf": [needed]}}
    if issubclass(model, LabelledOptions):
        model.takes_columns = column_type(cls.columns["label"]).flag_type is not None
    return model


def _config_key(field: FieldInfo) -> tuple[Any, Any]:
    """Return the annotation and the default of a field as a config key, which is in dumps of a config."""
    if field.is_required():
        default: dict[str, Any] = {}
    elif field.default_factory is not None:
        default = {"default_factory": field.default_factory}
    else:
        default = {"default": field.default}
    return field.rebuild_annotation(), Field(
        description=field.description,
        validate_default=field.validate_default,
        json_schema_extra=field.json_schema_extra,
        **default,
    )


def _label_key(type_: str) -> tuple[Any, Any]:
    """Return the annotation and the default of the key `label`, which may be omitted."""
    if column_type(type_).flag_type is not None:
        label = LabelledOptions.model_fields["label"]
        return str | tuple[str, ...] | None, Field(None, description=label.description)
    about = "Column of the label." if is_coded(type_) else f"Column of the label: {_describe(type_)}."
    return str | None, Field(None, description=about)


def _describe(type_: str) -> str:
    """Return the first sentence about a column type, as a part of a sentence."""
    what = (column_type(type_).__doc__ or "a value").partition("\n")[0].rstrip(".")
    return f"{what[0].lower()}{what[1:]}"


def _column_key(key: str, type_: str, optional: bool) -> tuple[Any, Any]:
    """Return the annotation and the default of the config key of a label column."""
    about = f"Column of `{key}`: {_describe(type_)}."
    if not optional:
        return str, Field(description=about)
    return str | None, Field(None, description=f"{about} Default: the data have none.")
