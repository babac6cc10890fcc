"""From a reply to a program: which of its text is the answer, and what the answer still needs.

Everything here reads text and never runs any of it. A program that will not compile is still a program (the
executor says so in its verdict); what cannot become a program gets its verdict here, with a one-line reason.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.core.fences import Block, clean, outside, parse, read_blocks
from orchestrator.core.generation import REFUSAL
from orchestrator.core.problems import PublicProblem
from orchestrator.core.verdicts import Verdict

__all__ = ["Extraction", "complete", "extract", "whole"]

_PYTHON_LABELS = frozenset({"", "python", "python3", "py", "py3", "ipython", "python-repl", "pycon", "code"})
_CUDA_LABELS = frozenset({"", "cuda", "cu", "cpp", "c++", "c", "cxx", "cc", "code"})

_CUT = "cut off at max_tokens before the program was complete"

_MOST_TRIES = 60
"""Parses spent on finding code in unfenced prose: replies are short, but nothing bounds a hostile one."""


@dataclass(frozen=True, slots=True)
class Extraction:
    """A program, or the verdict that there is none.

    Exactly one of ``program`` and ``verdict`` is set; ``reason`` is empty with a program.
    """

    program: str | None
    verdict: Verdict | None
    reason: str


def extract(reply_text: str, problem: PublicProblem, stop_reason: str = "end_turn") -> Extraction:
    """Find the program in a chat reply.

    The last fenced block that defines the entry point wins; failing that, the last block that is a body for
    the prompt's own stub; failing that, code that stands in the text without a fence. Imports and helpers
    that the prompt defines are put before code that lacks them. A stub without a body is not a definition.

    Args:
        reply_text: the text blocks of the reply, joined.
        problem: the problem that was asked.
        stop_reason: the API's; ``refusal`` ends it here, ``max_tokens`` explains a fragment.
    """
    if stop_reason == REFUSAL:
        return _nothing(Verdict.NO_CODE, "the model refused")
    text = clean(reply_text)
    cut = stop_reason in {"max_tokens", "model_context_window_exceeded"}
    if not text.strip():
        why = "cut off before any text" if cut else "the reply is empty"
        return _nothing(Verdict.NO_CODE, why)
    if problem.dialect == "cuda":
        return _extract_cuda(text, problem, cut)
    blocks = list(read_blocks(text))
    if cut and blocks and not blocks[-1].closed and parse(blocks[-1].text) is None:
        # A fragment is no answer; an earlier block that is complete may be one.
        blocks.pop()
    found = (
        _last_definition(blocks, problem)
        or _last_body([block.text for block in blocks], problem)
        or _unfenced(outside(text) if blocks else text, problem)
    )
    if found is not None:
        if cut and parse(found) is None:
            return _nothing(Verdict.NO_CODE, _CUT)
        return Extraction(found, None, "")
    if cut:
        return _nothing(Verdict.NO_CODE, _CUT)
    return _explain(blocks, text, problem)


def complete(completion: str, problem: PublicProblem) -> Extraction:
    """The program that a completion makes of the prompt: ``prompt + completion``."""
    completion = completion.replace("\r\n", "\n")
    program = problem.prompt + completion
    if problem.dialect != "cuda" and not completion.strip():
        return _nothing(Verdict.NO_CODE, "the completion is empty")
    tree = parse(program)
    if tree is not None and problem.dialect != "cuda" and not _defines(tree, problem.entry_point):
        return _missing(problem, stub=_binds(tree, problem.entry_point))
    return Extraction(program, None, "")


def whole(solution: str, problem: PublicProblem) -> Extraction:
    """A whole program, taken as it is; nothing of the prompt is added."""
    if not solution.strip():
        return _nothing(Verdict.NO_CODE, "the solution is empty")
    # A byte-order mark is no part of a program, and as text it does not compile.
    program = solution.removeprefix("\ufeff").replace("\r\n", "\n")
    tree = None if problem.dialect == "cuda" else parse(program)
    if tree is not None and not _accepts(program, tree, problem):
        return _missing(problem, stub=_binds(tree, problem.entry_point))
    return Extraction(program, None, "")


def _nothing(verdict: Verdict, reason: str) -> Extraction:
    return Extraction(None, verdict, reason)


def _missing(problem: PublicProblem, *, stub: bool) -> Extraction:
    name = problem.entry_point
    if stub:
        return _nothing(Verdict.ERROR, f"`{name}` has no body: only the prompt's stub came back")
    return _nothing(Verdict.ERROR, f"the code does not define `{name}`")


def _explain(blocks: Sequence[Block], text: str, problem: PublicProblem) -> Extraction:
    """Say why there is no program: code without the entry point is an error, no code is ``no_code``."""
    trees = [parse(block.text) for block in blocks] or [parse(text)]
    if any(tree is not None and _binds(tree, problem.entry_point) for tree in trees):
        return _missing(problem, stub=True)
    code = [b for b in blocks if b.text.strip() and b.label in _PYTHON_LABELS]
    if code or (not blocks and trees[0] is not None and _does_something(trees[0])):
        return _missing(problem, stub=False)
    return _nothing(Verdict.NO_CODE, "the reply holds no program")


def _does_something(tree: ast.Module) -> bool:
    """Whether a text that parses is code at all (a single word of prose parses as a name)."""
    return any(not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call) for node in tree.body)


# --- Python -------------------------------------------------------------------------------------------------


def _last_definition(blocks: Sequence[Block], problem: PublicProblem) -> str | None:
    for block in reversed(blocks):
        for text in (block.text, textwrap.dedent(block.text), *block.longer):
            tree = parse(text)
            if tree is not None and _accepts(text, tree, problem):
                return _with_helpers(text, tree, problem)
        if block.label in _PYTHON_LABELS and parse(block.text) is None and _mentions(block.text, problem):
            return block.text
    return None


def _mentions(text: str, problem: PublicProblem) -> bool:
    """Whether source that does not parse at least opens a definition of the entry point."""
    return re.search(rf"^\s*(?:async\s+)?def\s+{re.escape(problem.entry_point)}\b", text, re.M) is not None


def _accepts(text: str, tree: ast.Module, problem: PublicProblem) -> bool:
    """Whether the program defines the entry point, as far as can be seen without running it."""
    if _defines(tree, problem.entry_point):
        return True
    if _binds(tree, problem.entry_point):
        # An empty body is an answer only where the prompt did not hand out that very stub.
        prompt = _prompt_tree(problem)
        return prompt is None or not _binds(prompt, problem.entry_point)
    dynamic = re.search(r"\bimport \*|\bglobals\(\)|\bexec\(|\bsetattr\(", text)
    return dynamic is not None and re.search(rf"\b{re.escape(problem.entry_point)}\b", text) is not None


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when a module is loaded, in order: also those under if, try, with and loops."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from _statements(getattr(node, field, []))
        for part in [*getattr(node, "handlers", []), *getattr(node, "cases", [])]:
            yield from _statements(part.body)


def _bound(node: ast.stmt) -> set[str]:
    """The module-level names that one statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.For) or (isinstance(node, ast.AnnAssign) and node.value is not None):
        targets = [node.target]
    names = (n for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


def _binds(tree: ast.Module, name: str) -> bool:
    return any(name in _bound(node) for node in _statements(tree.body))


def _defines(tree: ast.Module, name: str) -> bool:
    """Whether the last binding of ``name`` is more than a function without a body."""
    last = None
    for node in _statements(tree.body):
        if name in _bound(node):
            last = node
    return last is not None and not _is_stub(last)


def _is_stub(node: ast.stmt) -> bool:
    """A function of nothing but a docstring, ``pass``, ``...``, a bare name, or NotImplementedError."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return all(
        isinstance(s, ast.Pass)
        or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant | ast.Name))
        or (isinstance(s, ast.Raise) and s.exc is not None and "NotImplementedError" in ast.dump(s.exc))
        for s in node.body
    )


def _prompt_tree(problem: PublicProblem) -> ast.Module | None:
    """The prompt as Python, where it is; a bare signature is given a body."""
    return parse(problem.prompt) or parse(problem.prompt.rstrip() + "\n    pass\n")


def _with_helpers(text: str, tree: ast.Module, problem: PublicProblem) -> str:
    """Put the prompt's imports, helpers and constants before code that lacks them.

    They go after the code's own ``from __future__`` imports, which must stay first.
    """
    prompt = _prompt_tree(problem)
    if prompt is None:
        return text
    have = set().union(*(_bound(node) for node in _statements(tree.body)))
    future: list[str] = []
    helpers: list[str] = []
    for node in prompt.body:
        names = _bound(node)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            if not names <= have:
                future.append(ast.unparse(node))
        elif isinstance(node, ast.Import | ast.ImportFrom):
            lacking = [a for a in node.names if (a.asname or a.name).split(".")[0] not in have]
            if lacking:
                node.names = lacking
                helpers.append(ast.unparse(node))
        elif problem.entry_point not in names and (names or _bound_within(node)) and not (names & have):
            helpers.append(ast.unparse(node))
    if not future and not helpers:
        return text
    lines = text.split("\n")
    at = max((n.end_lineno or 0 for n in tree.body if _is_future(n)), default=0)
    gap = ["", ""] if helpers else []
    return "\n".join([*future, *lines[:at], *helpers, *gap, *lines[at:]])


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _bound_within(node: ast.stmt) -> bool:
    """Whether a compound statement (``try: import x``) binds anything."""
    return any(_bound(inner) for inner in _statements([node]))


def _last_body(texts: Sequence[str], problem: PublicProblem) -> str | None:
    """The prompt completed by the last text that is a body for its stub."""
    prompt = _prompt_tree(problem)
    if prompt is None or not prompt.body or problem.entry_point not in _bound(prompt.body[-1]):
        return None
    base = problem.prompt if problem.prompt.endswith("\n") else problem.prompt + "\n"
    for text in reversed(texts):
        for body in _as_bodies(text):
            program = base + body
            tree = parse(program)
            if tree is not None and _defines(tree, problem.entry_point):
                return program
    return None


def _as_bodies(text: str) -> Iterator[str]:
    """Ways to read ``text`` as a function's body: as it is, first line dedented, all dedented."""
    text = text.strip("\n") + "\n"
    if text[0] in " \t":
        yield text
        yield textwrap.indent(textwrap.dedent(text), "    ")
    elif re.search(r"^\s*(?:return|yield)\b", text, re.M) and parse(text) is None:
        yield "    " + text
        yield textwrap.indent(text, "    ")


def _unfenced(text: str, problem: PublicProblem) -> str | None:
    """Code that stands in the text without a fence: a whole reply, a completion, or lines amid prose."""
    if not text.strip():
        return None
    lines = text.strip("\n").split("\n")
    starts = [
        i
        for i, line in enumerate(lines)
        if re.match(r"(?:from\s|import\s|def\s|async\s+def\s|class\s|@|[A-Za-z_]\w*\s*[:=])", line)
    ]
    ends = [len(lines)] + [
        i for i in range(len(lines) - 1, 0, -1) if lines[i].strip() and lines[i][0] not in " \t)]}"
    ]
    tries = 0
    for start in [0, *(s for s in starts if s)]:
        for end in ends:
            if end <= start or tries >= _MOST_TRIES:
                break
            tries += 1
            part = "\n".join(lines[start:end]) + "\n"
            tree = parse(part)
            if tree is not None and _accepts(part, tree, problem):
                return _with_helpers(part, tree, problem)
            if start == 0 and (program := _last_body([part], problem)) is not None:
                return program
    opening = next((i for i in starts if _mentions(lines[i], problem)), None)
    if opening is None or parse(text) is not None:
        return None
    rest = "\n".join(lines[opening:]) + "\n"
    return None if parse(rest) is not None else rest


# --- CUDA C++ -----------------------------------------------------------------------------------------------


def _extract_cuda(text: str, problem: PublicProblem, cut: bool) -> Extraction:
    """The last block that defines the entry point, else the last that names it, else unfenced source."""
    name = re.escape(problem.entry_point)
    defines = re.compile(rf"\b{name}\s*\([^;{{}}]*\)\s*\{{")
    names = re.compile(rf"\b{name}\b")
    blocks = [b for b in read_blocks(text) if b.label in _CUDA_LABELS]
    if not blocks and "#include" in text:
        blocks = [Block("", text[text.index("#include") :], closed=not cut)]
    for pattern in (defines, names):
        for block in reversed(blocks):
            if pattern.search(block.text):
                if cut and not block.closed:
                    return _nothing(Verdict.NO_CODE, _CUT)
                return Extraction(block.text, None, "")
    if blocks:
        return _missing(problem, stub=False)
    return _nothing(Verdict.NO_CODE, "the reply holds no program")
