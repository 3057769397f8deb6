from __future__ import annotations

from nlpmtl.artifact import write_card

TASKS = {
    "topic": {"kind": "classification", "input": "text", "labels": ["a", "b"]},
    "many": {"kind": "classification", "input": "words", "labels": [f"l{i}" for i in range(12)]},
    "grade": {"kind": "regression", "input": "pair", "labels": []},
}
SCORES = {
    "split": "validation",
    "tasks": {
        "topic": {"accuracy": 0.91234, "score": 0.91234, "rows": 872},
        "grade": {"pearsonr": None, "score": 0.0, "rows": 5},
    },
}


def test_a_card_tells_tasks_scores_and_facts() -> None:
    calibrated = {
        "topic": {
            "rows": 436,
            "temperature": 1.5,
            "error_before": 0.1,
            "error": 0.02,
            "score_before": 0.9,
            "score": 0.91,
        }
    }
    facts = ["seed 17", "three epochs"]
    card = write_card(encoder="org/encoder", tasks=TASKS, scores=SCORES, calibrated=calibrated, facts=facts)
    lines = card.splitlines()
    assert lines[0] == "---"
    assert "library_name: nlpmtl" in lines[: lines.index("---", 1)]
    assert "One encoder (`org/encoder`) with 3 heads, trained with nlpmtl." in lines
    assert "| topic | classification | text | `a`, `b` |" in lines
    assert "| grade | regression | pair | a number |" in lines
    assert any("… (12)" in line and "`l7`" in line and "`l8`" not in line for line in lines)
    assert "On the split `validation`:" in lines
    assert "| topic | accuracy | 0.9123 | 872 |" in lines
    assert "| grade | pearsonr | undefined | 5 |" in lines
    assert "- seed 17" in lines
    assert "| topic | 1.500 | 0.1000 | 0.0200 | 0.9000 | 0.9100 | 436 |" in lines


def test_a_card_without_scores_says_so() -> None:
    card = write_card(encoder="e", tasks={"topic": TASKS["topic"]}, scores=None, calibrated={}, facts=[])
    assert "Not evaluated." in card
    assert "with 1 head," in card
    assert "Calibration" not in card
