"""Registries of kinds: options, plugins and errors."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from nlpmtl.errors import ConfigError
from nlpmtl.registry import METRICS, SAMPLERS, SHARINGS, TASKS, WEIGHTINGS, KindOptions, Registry


class Animal:
    def __init__(self, *, legs: int, name: str) -> None:
        self.legs, self.name = legs, name


class AnimalOptions(KindOptions):
    legs: int = Field(4, gt=0)
    column: str = ""


@pytest.fixture
def animals() -> Registry:
    registry = Registry("animal")

    @registry.register("dog", AnimalOptions)
    class Dog(Animal): ...

    @registry.register("stone")
    class Stone: ...

    return registry


def test_a_member_is_built_from_its_options_and_the_context(animals: Registry) -> None:
    dog = animals.build(animals.parse({"kind": "dog", "legs": 3}), Animal, exclude={"column"}, name="Rex")
    assert (type(dog).__name__, dog.legs, dog.name) == ("Dog", 3, "Rex")
    assert type(animals.build(KindOptions(kind="stone"), object)).__name__ == "Stone"


def test_names_are_sorted_and_lead_to_classes_and_options(animals: Registry) -> None:
    assert animals.names() == ["dog", "stone"]
    assert animals.get("dog").__name__ == "Dog"
    assert animals.options("dog") is AnimalOptions
    assert animals.options("stone") is KindOptions


def test_a_name_of_another_tool_leads_to_the_class_that_lists_it(animals: Registry) -> None:
    @animals.register("cat")
    class Cat:
        other_names = "felis felis_catus"

    @animals.register("big_cat")
    class BigCat(Cat): ...

    with pytest.raises(ValueError, match="unknown animal 'Felis-catus'; write 'cat'"):
        animals.get("Felis-catus")
    with pytest.raises(ValueError, match=r"""was expected; write \{ kind = "cat" \}"""):
        animals.parse("felis")


def test_a_class_is_imported_when_it_is_used(
    animals: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlpmtl.registry.ANIMALS", animals, raising=False)
    code = "from nlpmtl.registry import ANIMALS\n\n@ANIMALS.register('cat')\nclass Cat: ..."
    (tmp_path / "lazy_cat.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    animals.register_lazily("cat", AnimalOptions, module="lazy_cat")
    assert animals.options("cat") is AnimalOptions
    assert "lazy_cat" not in sys.modules
    with pytest.raises(ValueError, match="the animal 'cat' is already registered, by lazy_cat"):
        animals.register("cat")(Animal)
    assert animals.get("cat").__module__ == "lazy_cat"


def test_register_returns_the_class(animals: Registry) -> None:
    class Cat: ...

    assert animals.register("cat")(Cat) is Cat


def test_duplicate_names_in_a_registry_are_refused(animals: Registry) -> None:
    with pytest.raises(ValueError, match=r"the animal 'dog' is already registered, by .*test_registry"):

        @animals.register("dog")
        class Wolf: ...

    assert animals.get("dog").__name__ == "Dog"


def test_old_names_of_methods_are_refused_with_the_new_ones() -> None:
    registry = Registry("animal", renamed={"bark": "speak", "paws": "legs", "tail": "end"})

    class Barking:
        paws = 4

        def bark(self) -> None: ...

    class Dog(Barking): ...

    with pytest.raises(
        ConfigError, match=r"Dog is written for nlpmtl 0\.1: rename `bark` to `speak`, `paws` to `legs`$"
    ):
        registry.register("dog")(Dog)
    assert registry.names() == []


def test_plugins_of_0_1_are_refused() -> None:
    class OldWeighting:
        def weigh(self) -> None: ...

    class OldSampler:
        def learn(self) -> None: ...

    class OldSharing:
        def own(self) -> None: ...

    with pytest.raises(ConfigError, match="rename `own` to `task_parameters`"):
        SHARINGS.register("old")(OldSharing)
    with pytest.raises(ConfigError, match="rename `weigh` to `compute_weights`"):
        WEIGHTINGS.register("old")(OldWeighting)
    with pytest.raises(ConfigError, match="rename `learn` to `update`"):
        SAMPLERS.register("old")(OldSampler)


def test_a_reloaded_module_registers_its_classes_again(animals: Registry) -> None:
    old = animals.get("dog")
    new = type("Dog", (Animal,), {"__module__": old.__module__, "__qualname__": old.__qualname__})
    animals.register("dog", AnimalOptions)(new)
    assert animals.get("dog") is new


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "`kind` is missing; known: dog, stone"),
        ({"legs": 3}, "`kind` is missing; known: dog, stone"),
        ("dog", 'a table with a `kind` was expected; write { kind = "dog" }'),
        (None, "a table with a `kind` was expected"),
        ({"kind": "dgo"}, "unknown animal 'dgo'; did you mean 'dog'?"),
        ({"kind": "zz"}, "unknown animal 'zz'; known: dog, stone"),
        ({"kind": 3}, "unknown animal 3; known: dog, stone"),
        ({"kind": ["dog"]}, "unknown animal ['dog']; did you mean 'dog'?"),
    ],
)
def test_unparsable_kinds(animals: Registry, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=r"animal|kind") as caught:
        animals.parse(value)
    assert str(caught.value) == message


@pytest.mark.parametrize("value", [{"kind": "dog", "legs": 0}, {"kind": "dog", "leg": 1}, {"kind": "stone", "legs": 1}])
def test_wrong_keys_of_a_known_kind(animals: Registry, value: Mapping[str, object]) -> None:
    with pytest.raises(ValidationError, match="leg"):
        animals.parse(value)


def test_options_objects_are_returned_unchanged(animals: Registry) -> None:
    options = AnimalOptions(kind="dog", legs=2)
    assert animals.parse(options) is options


def test_a_member_of_another_base_is_refused(animals: Registry) -> None:
    with pytest.raises(ConfigError, match="the animal 'stone' is not a subclass of Animal"):
        animals.build(KindOptions(kind="stone"), Animal)


@pytest.mark.parametrize("name", ["get", "options"])
def test_unknown_names(animals: Registry, name: str) -> None:
    with pytest.raises(ValueError, match="unknown animal 'dig'; did you mean 'dog'"):
        getattr(animals, name)("dig")


def test_registries_are_independent() -> None:
    sections = [TASKS, SAMPLERS, WEIGHTINGS, SHARINGS, METRICS]
    assert len({section.noun for section in sections}) == len(sections)
    for section in sections:
        assert section.names() == sorted(section.names())
