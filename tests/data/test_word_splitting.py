"""Rules for splitting raw text into words, learned from training words."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from nlpmtl.data import Input, WordCounts, WordSplitting, split_words, to_input

ENGLISH = [
    "John's well-known film wasn't good.",
    "I can't say they'd like the co-star's half-hearted role.",
    "We've seen Mary's up-to-date list; it's fine.",
    "It cost 3.5 or 1,000 dollars at 10:30.",
    "The U.S. and the U.K. agree.",
    "Write to ada@example.com or see https://example.com/a-b's page.",
] * 4
CHINESE = ["我在北京工作。", "他昨天買了iPhone手機", "張三和李四去了上海,見了Ada。", "2024年5月 天氣很好"] * 4
JAPANESE = ["私は東京に住んでいます。", "これはペンです", "明日Adaさんに会う"] * 4
THAI = ["ฉันอยู่ที่กรุงเทพ", "สวัสดีครับ"] * 4


def words_of(text: str, splitting: WordSplitting) -> list[str]:
    return [text[start:end] for start, end in splitting.split(text)]


def found_in(rows: list[list[str]]) -> WordSplitting:
    counts = WordCounts()
    counts.add(rows)
    return counts.splitting()


def outer(text: str) -> list[str]:
    return [text[start:end] for start, end in split_words(text)]


def treebank(text: str) -> list[str]:
    """Clitics are separate words, hyphens are not, as in CoNLL 2003."""
    parts = (
        re.sub(r"(?i)(n't|'(?:s|m|d|re|ve|ll))$", r" \1", w) if "@" not in w and "://" not in w else w
        for w in outer(text)
    )
    return " ".join(parts).split()


def universal(text: str) -> list[str]:
    """Clitics and hyphens are separate words, as in UD EWT."""
    hyphens = (
        re.sub(r"(?<=[a-z])-(?=[a-z])", " - ", w) if "@" not in w and "://" not in w else w for w in treebank(text)
    )
    return " ".join(hyphens).split()


def every_mark(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text)


def ideographs(text: str) -> list[str]:
    """Each Chinese character is a word, everything else as in English."""
    return re.findall(r"[a-zA-Z0-9]+|\S", text)


def visible(text: str) -> list[str]:
    """Each character is a word, white space is not, as in MSRA and many other Chinese corpora."""
    return [character for character in text if not character.isspace()]


KOREAN = ["나는 학교에　간다.", "오늘은 좋다"] * 4
SYMBOLS = ["#nlp is @ada's field, she's paid $5", "a+b=c, (see e-mail: ada@example.com)", "It's 5% of 3.5"] * 4
ARABIC = ['قال: "نعم"، ثم مضى؟', "ذهب الولد."] * 4
HINDI = ["मैं दिल्ली में रहता हूँ।", "वह गया, फिर आया।"] * 4
GERMAN = ["Sie sagt: „Ja“, und ‚nein‘.", "Er liest »Faust«."] * 4


def marks_apart(text: str) -> list[str]:
    return re.findall(r"[^\s،؟।„“‚‘»«.,:\"]+|\S", text)


@pytest.mark.parametrize(
    ("texts", "split", "method"),
    [
        (ENGLISH, outer, "whitespace"),
        (ENGLISH, treebank, "punctuation"),
        (ENGLISH, universal, "punctuation"),
        (ENGLISH[:5] * 3, every_mark, "punctuation"),
        (SYMBOLS, every_mark, "punctuation"),
        (ENGLISH, str.split, "whitespace_only"),
        (ARABIC, str.split, "whitespace_only"),
        (HINDI, str.split, "whitespace_only"),
        (ARABIC, marks_apart, "whitespace"),
        (HINDI, marks_apart, "whitespace"),
        (GERMAN, marks_apart, "whitespace"),
        (ENGLISH, list, "characters"),
        (CHINESE, list, "characters"),
        (CHINESE, visible, "nonspace_characters"),
        (KOREAN, visible, "nonspace_characters"),
        (ENGLISH, visible, "nonspace_characters"),
        (ARABIC, visible, "nonspace_characters"),
        (CHINESE, ideographs, "cjk_characters"),
        (JAPANESE, list, "nonspace_characters"),
        (JAPANESE, ideographs, "cjk_characters"),
        (THAI, list, "nonspace_characters"),
        (CHINESE[:1] * 9, list, "nonspace_characters"),
        (["l'homme d'État qu'il n'aime pas à l'école"] * 4, lambda t: re.findall(r"\w+'|\w+", t), "punctuation"),
        (["la città dell'Arno e l’isola d'Elba, l'Etna"] * 4, lambda t: re.findall(r"\w+['’]|\w+|,", t), "punctuation"),
    ],
)
def test_raw_text_is_split_like_the_training_words(
    texts: list[str], split: Callable[[str], list[str]], method: str
) -> None:
    splitting = found_in([split(text) for text in texts * 2])
    assert splitting.method == method
    assert [words_of(text, splitting) for text in texts] == [split(text) for text in texts]


@pytest.mark.parametrize(
    ("rows", "text", "words"),
    [
        ([["#", "nlp", "@", "user"]], "#nlp by @user", ["#", "nlp", "by", "@", "user"]),
        ([["it", "costs", "$", "5"]], "It costs $3.50, not €3.", ["It", "costs", "$", "3.50", ",", "not", "€3", "."]),
        ([["5", "%", "of", "it"]], "(12% of it)", ["(", "12", "%", "of", "it", ")"]),
        ([["good", "😀", "!"], ["😀", "yes"]], "bad😡 😡no", ["bad", "😡", "😡", "no"]),
        ([["(", "see", '"', "it", '"', ")"]], '("see it")', ["(", '"', "see", "it", '"', ")"]),
        ([["@", "user", ":", "ada@example.com"]], "@ada: bob@example.com", ["@", "ada", ":", "bob@example.com"]),
        ([["#", "nlp", "is", "n't", "C#"]], "#ml isn't C#", ["#", "ml", "is", "n't", "C#"]),
        ([["#nlp", "@user"]], "#nlp by @user", ["#nlp", "by", "@user"]),
        ([["to", "-", "55"]], "-5 °C", ["-5", "°C"]),
    ],
)
def test_symbols_that_are_apart_only_at_the_edges_of_words(rows: list[list[str]], text: str, words: list[str]) -> None:
    assert words_of(text, found_in(rows * 5)) == words


def test_curly_apostrophes_and_capitals_are_the_same_marks() -> None:
    splitting = found_in([["John", "'s", "film", "was", "n't", "good"]] * 3)
    assert words_of("JOHN’S film ISN’T Ada's.", splitting) == ["JOHN", "’S", "film", "IS", "N’T", "Ada", "'s", "."]


def test_a_clitic_that_training_kept_whole_stays_whole() -> None:
    splitting = found_in([["I'm", "at", "Ada", "'s", ",", "don't", "wait"], ["I'm", "John", "'s", "twin-brother"]])
    assert words_of("I'm Ada's twin-brother, don't", splitting) == ["I'm", "Ada", "'s", "twin-brother", ",", "don't"]


def test_multi_character_words_without_spaces_give_no_rule() -> None:
    assert found_in([["私", "は", "東京", "に", "住んで", "い", "ます", "。"]] * 5).method == "whitespace"
    assert found_in([]).method == "whitespace"
    assert (
        found_in([["Ada", "lives", "in", "Turin", "."], ["a", "，", "b"], ["long", "words"] * 50]).method
        == "whitespace"
    )


def test_rare_hyphens_give_no_rule() -> None:
    rows = [["Turin", "-", "Rome"]] * 2 + [["pre-show"], ["a", "well-known", "film"]]
    assert found_in(rows).method == "whitespace"


@pytest.mark.parametrize(
    "text", ["", " ", "'", "''s", "-", "a-", "-a", "’s", "n't", "a--b", "a'b'c", "\u3000", "。。", "a\u0301-b"]
)
def test_every_non_space_character_is_in_one_word(text: str) -> None:
    marks = ("'s", "n't", "-", "--", "'", "0-0", "l'")
    for splitting in (WordSplitting("punctuation", marks), WordSplitting("cjk_characters", marks)):
        covered = [index for start, end in splitting.split(text) for index in range(start, end)]
        assert covered == [index for index, character in enumerate(text) if not character.isspace()]


def test_punctuation_is_split_despite_abbreviations() -> None:
    rows = [["Dr.", "Smith", "'s", "U.S.", "film", "."], ["play", "Hello", "at", "5", "p.m."], ["the", "dogs'", "film"]]
    splitting = found_in(rows * 5)
    assert words_of("Turin, Rome.", splitting) == ["Turin", ",", "Rome", "."]


ABBREVIATIONS = [
    ["Mr.", "Smith", "left", "the", "U.S.", "in", "May", "."],
    ["He", "said", "No", ".", "No.", "5", "is", "e.g.", "fine", ",", "etc."],
    ["No", "."],
    ["(", "the", "U.S.", ")", "wo", "n't", "say", "."],
]


@pytest.mark.parametrize("extra", [[], [["John", "'s", "film"]] * 4])
def test_words_that_keep_the_mark_at_their_end(extra: list[list[str]]) -> None:
    splitting = found_in([*ABBREVIATIONS, *extra])
    assert splitting.whole == ("Mr.", "U.S.", "e.g.", "etc."), "No. is cut more often"
    text = "Mr. Smith, e.g., (U.S.) saw May. No. He left the U.S."
    words = [
        "Mr.",
        "Smith",
        ",",
        "e.g.",
        ",",
        "(",
        "U.S.",
        ")",
        "saw",
        "May",
        ".",
        "No",
        ".",
        "He",
        "left",
        "the",
        "U.S.",
    ]
    assert words_of(text, splitting) == words
    assert words_of("a U.S.... " + "." * 5, splitting)[:2] == ["a", "U.S."]


def test_the_list_of_whole_words_is_bounded() -> None:
    counts = WordCounts()
    counts.add([[f"w{i}.", "is", "a", "word", ","] for i in range(2000)] + [["w7.", "x" * 40 + "."]] * 3)
    assert len(counts.counts) < 600
    rows = [["Mr.", "x" * 40 + ".", "is", "a", "word", ",", "and", "more", ",", "yes", "!"]] * 3
    assert found_in(rows).whole == ("Mr.",)
    assert WordSplitting().split("U.S.") == [(0, 3), (3, 4)], "models without the list"


def test_split_words_are_tokenised_as_in_training() -> None:
    text = "我在 iPhone"
    raw, given = Input(text, splitting=WordSplitting("characters")), to_input({"words": list(text)})
    assert raw.encoded == given.encoded == given_text(given)
    assert raw.encoded_text == given.encoded_text
    assert (raw.text, [text[a:b] for a, b in raw.words]) == (text, list(text))
    plain = Input("Ada's  film.")
    assert plain.encoded == (plain.text, split_words(plain.text))


def given_text(given: Input) -> tuple[str, object]:
    return given.text, given.words


@pytest.mark.parametrize(
    ("method", "marks"), [("words", ()), (None, ()), ("punctuation", (3,)), ("punctuation", ("",))]
)
def test_an_invalid_rule_is_refused(method: str, marks: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"`word_splitting` is one of|`split_marks` must list strings"):
        WordSplitting(method, marks)  # type: ignore[arg-type]


def test_empty_words_give_no_rule() -> None:
    words = ["Ada", "", "lives", "in", "Turin", ".", ""]
    assert found_in([words] * 20) == found_in([[word for word in words if word]] * 20)
