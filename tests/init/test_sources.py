"""Files on the command line: which are splits of one dataset, and the names of the datasets."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from nlpmtl.config import NAME
from nlpmtl.errors import ConfigError, DataError
from nlpmtl.init.sources import find_sources, to_name


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "shop"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def find(*names: str) -> dict[str, dict[str, list[str]]]:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    return {
        source.name: {split: list(files) for split, files in source.files.items()} for source in find_sources(names)
    }


def test_splits_of_one_dataset(directory: Path) -> None:
    assert find("reviews_train.csv", "reviews-dev.csv", "test.reviews.jsonl") == {
        "reviews": {"train": ["reviews_train.csv"], "validation": ["reviews-dev.csv"], "test": ["test.reviews.jsonl"]}
    }
    assert list(find("a-train-2020.csv", "a-VALID-2020.csv")) == ["a_2020"]
    assert find("a.csv", "a_test.csv") == {"a": {"train": ["a.csv"], "test": ["a_test.csv"]}}


def test_only_whole_words_name_a_split(directory: Path) -> None:
    names = ("latest.csv", "devices.csv", "training.csv", "contest2.csv")
    assert find(*names) == {name.removesuffix(".csv"): {"train": [name]} for name in names}
    assert find("latest2train.csv") == {"latest2": {"train": ["latest2train.csv"]}}


def test_files_that_are_named_only_by_their_split(directory: Path) -> None:
    assert list(find("train.csv", "test.csv")) == ["shop"]
    assert list(find("en/train.csv", "en/test.csv", "fr/train.csv")) == ["en", "fr"]


def test_further_splits_of_an_archive(directory: Path) -> None:
    """As in the archives of GLUE: several validation and test files, and files without labels in other directories."""
    names = ("train", "dev_matched", "dev_mismatched", "test_matched", "original/raw/out_of_domain_dev")
    with zipfile.ZipFile("MNLI.zip", "w") as archive:
        for name in names:
            archive.writestr(f"MNLI/{name}.tsv", "text\tlabel\n")
    (source,) = find_sources(["MNLI.zip"])
    assert source.files == {
        "train": ["MNLI.zip/MNLI/train.tsv"],
        "validation": ["MNLI.zip/MNLI/dev_matched.tsv"],
        "test": ["MNLI.zip/MNLI/test_matched.tsv"],
    }
    assert [Path(path).stem for path in source.unused] == ["dev_mismatched", "out_of_domain_dev"]
    with pytest.raises(ConfigError, match=r"ratings-dev\.csv: by its name, this file is the validation split"):
        find("reviews-train.csv", "ratings-dev.csv")


def test_texts_of_an_archive_with_columns(directory: Path) -> None:
    with zipfile.ZipFile("conll.zip", "w") as archive:
        for split in ("train", "valid"):
            archive.writestr(f"{split}.txt", "EU NNP B-ORG\nrejects VBZ O\n. . O\n\nEU NNP B-ORG\n. . O\n")
        archive.writestr("LICENSE.txt", "© the authors of these files\n".encode("latin-1"))
    (source,) = find_sources(["conll.zip"])
    assert source.files == {"train": ["conll.zip/train.txt"], "validation": ["conll.zip/valid.txt"]}


def test_files_of_text_and_of_superglue(directory: Path) -> None:
    assert list(find("ner/train.txt", "ner/dev.txt")) == ["ner"]
    assert list(find("reviews.txt.gz")) == ["reviews"]
    assert find("RTE/train.jsonl", "RTE/val.jsonl", "interval.csv", "value.csv") == {
        "RTE": {"train": ["RTE/train.jsonl"], "validation": ["RTE/val.jsonl"]},
        "interval": {"train": ["interval.csv"]},
        "value": {"train": ["value.csv"]},
    }


def test_archives(directory: Path) -> None:
    """The data files of an archive are datasets, as if it were extracted; an archive with only one is named itself."""
    for name, members in {"RTE": ["RTE/train.jsonl", "RTE/val.jsonl", "README"], "export": ["admin.jsonl"]}.items():
        with zipfile.ZipFile(f"{name}.zip", "w") as archive:
            for member in members:
                archive.writestr(member, "{}")
            archive.writestr("unknown.jsonl", "")
    rte = {"train": ["RTE.zip/RTE/train.jsonl"], "validation": ["RTE.zip/RTE/val.jsonl"]}
    for argument in ("RTE.zip", "RTE.zip/RTE/*.jsonl"):
        assert [(source.name, source.files) for source in find_sources([argument])] == [("RTE", rte)]
    assert [(source.name, source.files) for source in find_sources(["export.zip"])] == [
        ("export", {"train": ["export.zip"]})
    ]


def test_equal_names_in_two_directories(directory: Path) -> None:
    assert list(find("a/Reviews.csv", "b/reviews.csv")) == ["Reviews", "reviews_2"]
    assert list(find("run.csv")) == ["run_2"], "run.toml is the run file"


def test_shards_are_one_split(directory: Path) -> None:
    names = [f"train-0000{index}-of-00002.parquet" for index in (1, 0)]
    assert find(*names) == {"shop": {"train": sorted(names)}}


def test_patterns(directory: Path) -> None:
    for name in ("a-train.csv", "a-test.csv", "b.csv"):
        Path(name).touch()
    assert [source.name for source in find_sources(["*.csv"])] == ["a", "b"]
    with pytest.raises(DataError, match=r"x\*\.csv: no file matches this pattern"):
        find_sources(["x*.csv"])


def test_hub_ids_and_saved_datasets(directory: Path) -> None:
    (hub,) = find_sources(["nyu-mll/glue"])
    assert (hub.name, hub.hub, hub.files) == ("glue", "nyu-mll/glue", {})
    for split in ("train", "test"):
        Path("saved", split).mkdir(parents=True)
    Path("saved", "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    (saved,) = find_sources(["saved"])
    assert (saved.name, saved.files) == ("saved", {"train": ["saved/train"], "test": ["saved/test"]})


@pytest.mark.parametrize(
    ("names", "missing", "message"),
    [
        (["reviews.csv"], ["reviws.csv"], r"reviws.csv: no such file; did you mean 'reviews.csv'\?"),
        ([], ["nothing"], "nothing: no such file; the id of a dataset on the Hub looks like owner/name"),
        ([], ["no/such/file.csv"], "no/such/file.csv: no such file"),
        (["a.csv", "a.csv"], [], "a.csv: given more than once"),
        (["a.csv", "./a.csv"], [], "./a.csv: given more than once, also as a.csv"),
        (["dev.csv", "valid.csv", "train.csv"], [], "dev.csv and valid.csv are both the validation split of one"),
        (["ab_test.csv"], [], "ab_test.csv: by its name, this file is the test split of a dataset without a train"),
    ],
)
def test_errors(directory: Path, names: list[str], missing: list[str], message: str) -> None:
    for name in names:
        Path(name).touch()
    with pytest.raises((ConfigError, DataError), match=f"^{message}"):
        find_sources([*names, *missing])


@pytest.mark.parametrize(
    ("text", "name"), [("Café Kritik", "Cafe_Kritik"), ("2020", "_2020"), ("отзывы", ""), ("a" * 99, "a" * 30)]
)
def test_names(text: str, name: str) -> None:
    assert to_name(text) == name
    import re

    assert not name or re.match(NAME, name)
