"""The generated parts of docs/architecture.md: the list of files, the lines of functions, and sizes."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from statistics import median
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_BEGIN, _END = "<!-- files: written by docs/generate.py -->", "<!-- files: end -->"
_SIZES = "<!-- sizes -->"
_KIND_FILES: Final = {
    "classification": ("tasks/classification.py",),
    "sentiment": ("tasks/sentiment.py",),
    "regression": ("tasks/regression.py",),
    "multilabel": ("tasks/multilabel.py",),
    "labeling": ("tasks/labeling.py", "tasks/viterbi.py"),
    "labeling with `crf`": ("tasks/crf.py", "tasks/crf_fields.py", "heads/crf.py"),
    "question_answering": ("tasks/question_answering.py", "data/answers.py", "metrics/squad.py"),
    "multiple_choice": ("tasks/multiple_choice.py",),
    "ranking": ("tasks/ranking.py", "metrics/ranking.py"),
    "masked_lm": ("tasks/masked_lm.py", "heads/masked_lm.py"),
    "spans": (
        "tasks/spans.py",
        "tasks/relation_decoding.py",
        "tasks/span_decoding.py",
        "tasks/span_labels.py",
        "tasks/span_losses.py",
        "tasks/span_units.py",
        "data/span_columns.py",
        "heads/spans.py",
        "metrics/relations.py",
    ),
    "parsing": ("tasks/parsing.py", "heads/biaffine.py", "heads/spanning_tree.py", "metrics/attachment.py"),
    "embedding": ("tasks/embedding.py", "tasks/contrastive.py", "heads/embedding.py", "metrics/retrieval.py"),
    "generation, translation, summarization": (
        "tasks/generation.py",
        "tasks/target_vocabulary.py",
        "heads/decoder.py",
        "metrics/generated_text.py",
    ),
}
"""Task type = the files of the package that are about nothing else."""
_FUNCTION = re.compile(r"^(\| \[`([\w/]+\.py)`\]\([^)]*\) \| `([\w.]+)`: )\d+ \|", flags=re.MULTILINE)
"""Row of the files of a step or a prediction: file, function and line."""


def architecture(text: str) -> str:
    """Return the architecture page with its list of files, line numbers and sizes rewritten."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    before = _FUNCTION.sub(lambda row: f"{row[1]}{_lines()[row[2]][row[3]][0]} |", before)
    before = f"{before.partition(_SIZES)[0]}{_SIZES}\n\n{_sizes()}\n\n"
    return f"{before}{_BEGIN}\n\n{chr(10).join(_files())}\n\n{_END}{after}"


@cache
def _lines() -> dict[str, dict[str, tuple[int, int]]]:
    """Return the first and the last line of each function of the package, by file and qualified name."""
    package = ROOT / "nlpmtl"
    lines: dict[str, dict[str, tuple[int, int]]] = {}
    for path in package.rglob("*.py"):
        functions = lines.setdefault(str(path.relative_to(package)), {})
        tree = ast.parse(path.read_text(encoding="utf-8"))
        stack: list[tuple[str, ast.AST]] = [("", tree)]
        while stack:
            prefix, parent = stack.pop()
            for node in ast.iter_child_nodes(parent):
                if isinstance(node, ast.expr):  # has no functions with a name
                    continue
                inner = prefix
                if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    inner = f"{prefix}{node.name}."
                    if not isinstance(node, ast.ClassDef):
                        functions[f"{prefix}{node.name}"] = (node.lineno, node.end_lineno or node.lineno)
                stack.append((inner, node))
    return lines


def _sizes() -> str:
    """Return the sentence about the sizes of files and functions."""
    files = [len(path.read_text(encoding="utf-8").splitlines()) for path in (ROOT / "nlpmtl").rglob("*.py")]
    functions = [last - first + 1 for by_name in _lines().values() for first, last in by_name.values()]
    return (
        f"A file has {median(files):.0f} lines (median of {len(files)}), a function {median(functions):.0f} "
        f"(median of {len(functions)}), both with docstrings.\n\n"
        "The files that are about one task type only, with their lines of code (without comments, docstrings and "
        "empty lines). Outside them, only `nlpmtl init` names task types, because it proposes them:\n\n"
        + "\n".join(_kinds())
    )


def _kinds() -> Iterator[str]:
    yield "| task type | files | lines of code |"
    yield "|---|---|---|"
    for kind, files in _KIND_FILES.items():
        links = ", ".join(f"[`{file}`](../nlpmtl/{file})" for file in files)
        yield f"| {kind} | {links} | {sum(code_lines(ROOT / 'nlpmtl' / file) for file in files)} |"


def code_lines(path: Path) -> int:
    """Return the number of lines of a Python file that have code, and not only a comment or a docstring."""
    text = path.read_text(encoding="utf-8")
    strings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        for statement in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                strings.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    without_code = (
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENDMARKER,
    )
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in without_code:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - strings)


def _files() -> Iterator[str]:
    package = ROOT / "nlpmtl"
    yield "| file | |"
    yield "|---|---|"
    for path in sorted(package.rglob("*.py"), key=lambda path: (path.parent != package, path)):
        sentence = _first_sentence(path)
        if sentence:
            yield f"| [`{path.relative_to(package)}`](../{path.relative_to(ROOT)}) | {sentence} |"


def _first_sentence(path: Path) -> str:
    docstring = re.match(r'"""(.*?)(?:\n\s*\n|""")', path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(docstring[1].split()).replace("|", "\\|") if docstring else ""
