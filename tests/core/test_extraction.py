"""Every shape of reply that is known to matter, and what must come of it."""

from __future__ import annotations

import ast
import dataclasses
import textwrap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.extraction import Extraction, complete, extract, whole
from orchestrator.core.problems import PublicProblem, PythonTests
from orchestrator.core.verdicts import Verdict
from tasks import humaneval

PROMPT = '''from typing import List
import math


LIMIT = 3


def helper(x: int) -> int:
    """ One more. """
    return x + 1


def add(a: int, b: int) -> int:
    """ Add two numbers.
    >>> add(2, 3)
    5
    """
'''
ADD = PublicProblem("Mine/0", "mine", PROMPT, "add")
PROSE = PublicProblem("Mine/1", "mine", "Write a function `add` that adds two numbers.", "add")
CUDA = PublicProblem("gpu/add", "gpu", "Write a kernel.", "solve", dialect="cuda")

GOOD = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"


def fence(code: str, label: str = "python", mark: str = "```") -> str:
    return f"{mark}{label}\n{code}{mark}\n"


def value(extraction: Extraction, *args: Any, name: str = "add") -> Any:
    """Run the extracted program (this test wrote it) and call its entry point."""
    assert extraction.program is not None, extraction.reason
    assert extraction.verdict is None
    assert extraction.reason == ""
    space: dict[str, Any] = {"__name__": "candidate"}
    exec(compile(extraction.program, "candidate.py", "exec"), space)
    return space[name](*args)


DOCSTRING_WITH_FENCE = '''def add(a, b):
    """Adds.

```
add(1, 2)
```
    """
    return a + b
'''
DOCSTRING_WITH_LABEL = DOCSTRING_WITH_FENCE.replace("```\nadd(1", "```python\nadd(1")

FINDS_FIVE = {
    "one block": fence(GOOD),
    "prose around": "Sure! Here it is:\n\n" + fence(GOOD) + "\nIt adds the two numbers. Tell me more.",
    "no label": fence(GOOD, ""),
    "upper-case label": fence(GOOD, "PYTHON"),
    "py label": fence(GOOD, "py"),
    "python3 label": fence(GOOD, "Python3"),
    "label with attributes": fence(GOOD, 'python title="add.py" {.numberLines}'),
    "braced label": fence(GOOD, "{.python}"),
    "label and file name": fence(GOOD, "python:add.py"),
    "space before the label": fence(GOOD, " python"),
    "tildes": fence(GOOD, "python", "~~~"),
    "four backticks": fence(GOOD, "python", "````"),
    "wrong label": fence(GOOD, "text"),
    "carriage returns": fence(GOOD).replace("\n", "\r\n"),
    "old Mac line ends": fence(GOOD).replace("\n", "\r"),
    "byte-order mark": "\ufeff" + fence(GOOD),
    "unclosed": "```python\n" + GOOD,
    "unclosed after prose": "The code:\n```\n" + GOOD,
    "closed without a line end": "```python\n" + GOOD + "```",
    "last block wins": fence(WRONG) + "Wait, that is wrong.\n" + fence(GOOD),
    "usage after": fence(GOOD) + "Use it so:\n" + fence("print(add(1, 2))\n"),
    "shell before": fence("pip install numpy\n", "bash") + fence(GOOD),
    "shell after": fence(GOOD) + fence("python add.py\n", "sh"),
    "output after": fence(GOOD) + "Output:\n" + fence("5\n", ""),
    "unlabelled output with a return": fence(GOOD) + fence("return value: 5\n", ""),
    "stub quoted after the answer": fence(GOOD) + "This completes:\n" + fence(PROMPT),
    "stub quoted before the answer": fence(PROMPT) + fence(GOOD),
    "other function after": fence(GOOD) + fence("def sub(a, b):\n    return a - b\n"),
    "broken block before": fence("def add(a, b:\n    return\n") + fence(GOOD),
    "unclosed block before": "```python\ndef add(a, b):\n    return (a -\n\nNo, rather:\n" + fence(GOOD),
    "inside a list item": "1. The code\n\n   ```python\n" + "   def add(a, b):\n       return a + b\n" + "   ```",
    "indented without its fence": "```python\n    def add(a, b):\n        return a + b\n```",
    "markdown around it": "````markdown\n# Answer\n" + fence(GOOD) + "````\n",
    "fence in a docstring": fence(DOCSTRING_WITH_FENCE),
    "labelled fence in a docstring": fence(DOCSTRING_WITH_LABEL),
    "interactive session": fence(">>> def add(a, b):\n...     return a + b\n>>> add(1, 2)\n3\n", "pycon"),
    "whole prompt repeated": fence(PROMPT + "    return a + b\n"),
    "lambda": fence("add = lambda a, b: a + b\n"),
    "annotated assignment": fence(
        "from typing import Callable\nadd: Callable[[int, int], int] = lambda a, b: a + b\n"
    ),
    "imported": fence("from operator import add\n"),
    "imported under the name": fence("from operator import __add__ as add\n"),
    "alias of another": fence("def plus(a, b):\n    return a + b\n\nadd = plus\n"),
    "class instance": fence("class Adder:\n    def __call__(self, a, b):\n        return a + b\n\nadd = Adder()\n"),
    "under if": fence("if True:\n    def add(a, b):\n        return a + b\n"),
    "under try": fence("try:\n    from operator import add\nexcept ImportError:\n    add = None\n"),
    "in a match": fence("match 1:\n    case 1:\n        def add(a, b):\n            return a + b\n"),
    "redefined stub": fence("def add(a, b):\n    pass\n\n" + GOOD),
    "star import": fence("from operator import *  # gives add\n"),
    "through globals": fence("globals()['add'] = lambda a, b: a + b\n"),
    "decorated": fence("import functools\n\n@functools.cache\n" + GOOD),
    "main guard": fence(GOOD + '\nif __name__ == "__main__":\n    print(add(1, 2))\n'),
    "future import": fence("from __future__ import annotations\n\n" + GOOD),
    "future import after a docstring": fence('"""Adds."""\nfrom __future__ import annotations\n' + GOOD),
    "future import after a comment": fence("# adds\n\nfrom __future__ import annotations\n" + GOOD),
    "form feed and tabs": fence("\x0cdef add(a, b):\n\treturn a + b\n"),
    "non-ASCII": fence("def add(a, b):\n    größe = a + b  # → Summe\n    return größe\n"),
    "body": fence("    return a + b\n"),
    "body with a blank line": fence("    total = a\n\n    total += b\n    return total\n"),
    "body indented by two": fence("  total = a + b\n  return total\n"),
    "body without indentation": fence("total = a + b\nreturn total\n"),
    "body whose first line lost its indentation": fence("total = a\n    total += b\n    return total\n"),
    "body then usage": fence("    return a + b\n") + fence("add(1, 2)\n"),
    "body in the text": "    return a + b\n",
    "body in the text, then more": "    return a + b\n\n\nThis adds them.\n",
    "body in the text, then a helper": "    return other(a, b)\n\n\ndef other(a, b):\n    return a + b\n",
    "code without a fence": GOOD,
    "code amid prose": "Here is the function:\n\n" + GOOD + "\nIt works for all integers.\n",
    "code with imports amid prose": "Here it is.\n\nimport math\n\n" + GOOD + "\nDone: it is correct.\n",
    "code amid prose that begins like code": "from the task it follows that\n\n" + GOOD + "import is not used.\n",
    "shell block beside unfenced code": fence("ls\n", "bash") + "\n" + GOOD,
    "thoughts first": "<think>\nMaybe\n" + fence(WRONG) + "</think>\n" + fence(GOOD),
}


@pytest.mark.parametrize("reply", FINDS_FIVE.values(), ids=FINDS_FIVE.keys())
def test_finds_the_program(reply: str) -> None:
    assert value(extract(reply, ADD), 2, 3) == 5


PROSE_TOO = sorted(set(FINDS_FIVE) - {k for k in FINDS_FIVE if k.startswith(("body", "stub quoted after"))})


@pytest.mark.parametrize("case", PROSE_TOO)
def test_finds_it_without_python_in_the_prompt(case: str) -> None:
    assert value(extract(FINDS_FIVE[case], PROSE), 2, 3) == 5


HAS_NONE = {
    "empty": ("", "end_turn", Verdict.NO_CODE, "empty"),
    "blank": (" \n\n", "end_turn", Verdict.NO_CODE, "empty"),
    "prose": ("I would add the two numbers.", "end_turn", Verdict.NO_CODE, "no program"),
    "one word": ("Certainly", "end_turn", Verdict.NO_CODE, "no program"),
    "refusal in words": ("I'm sorry, but I can't help with that.", "end_turn", Verdict.NO_CODE, "no program"),
    "refusal": ("", "refusal", Verdict.NO_CODE, "refused"),
    "refusal after code": (fence(GOOD), "refusal", Verdict.NO_CODE, "refused"),
    "only a shell block": (fence("pip install add\n", "bash"), "end_turn", Verdict.NO_CODE, "no program"),
    "only thoughts": ("<think>" + fence(GOOD), "end_turn", Verdict.NO_CODE, "empty"),
    "empty block": (fence(""), "end_turn", Verdict.NO_CODE, "no program"),
    "cut off before any text": ("", "max_tokens", Verdict.NO_CODE, "cut off"),
    "cut off in prose": ("Let me think about", "max_tokens", Verdict.NO_CODE, "cut off"),
    "cut off in the code": ("```python\ndef add(a, b):\n    return (a +", "max_tokens", Verdict.NO_CODE, "cut off"),
    "cut off without a fence": ("def add(a, b):\n    return (a +", "max_tokens", Verdict.NO_CODE, "cut off"),
    "cut off after the header": ("```python\ndef add(a, b):\n", "max_tokens", Verdict.NO_CODE, "cut off"),
    "cut off after the docstring": ("```python\n" + PROMPT, "max_tokens", Verdict.NO_CODE, "cut off"),
    "other name": (fence("def plus(a, b):\n    return a + b\n"), "end_turn", Verdict.ERROR, "define `add`"),
    "other name, no fence": ("def plus(a, b):\n    return a + b\n", "end_turn", Verdict.ERROR, "define `add`"),
    "method only": (
        fence("class Solution:\n    def add(self, a, b):\n        return a + b\n"),
        "end_turn",
        Verdict.ERROR,
        "define `add`",
    ),
    "nested only": (
        fence("def outer():\n    def add(a, b):\n        return a + b\n"),
        "end_turn",
        Verdict.ERROR,
        "define `add`",
    ),
    "usage only": (fence("print(add(1, 2))\n"), "end_turn", Verdict.ERROR, "define `add`"),
    "prompt's stub": (fence(PROMPT), "end_turn", Verdict.ERROR, "no body"),
    "stub with pass": (fence("def add(a, b):\n    pass\n"), "end_turn", Verdict.ERROR, "no body"),
    "stub with dots": (fence("def add(a, b):\n    ...\n"), "end_turn", Verdict.ERROR, "no body"),
    "stub that raises": (
        fence("def add(a, b):\n    raise NotImplementedError('later')\n"),
        "end_turn",
        Verdict.ERROR,
        "no body",
    ),
    "stub after a real one": (fence(GOOD + "\ndef add(a, b):\n    pass\n"), "end_turn", Verdict.ERROR, "no body"),
    "unfenced stub": (PROMPT, "end_turn", Verdict.ERROR, "no body"),
    "helper only": (fence("def helper(x):\n    return x + 2\n"), "end_turn", Verdict.ERROR, "define `add`"),
}


@pytest.mark.parametrize(("reply", "stop", "verdict", "reason"), HAS_NONE.values(), ids=HAS_NONE.keys())
def test_says_why_there_is_none(reply: str, stop: str, verdict: Verdict, reason: str) -> None:
    found = extract(reply, ADD, stop)
    assert found.program is None
    assert found.verdict is verdict
    assert reason in found.reason
    assert "\n" not in found.reason


BROKEN = {
    "syntax error": fence("def add(a, b)\n    return a + b\n"),
    "syntax error after the answer's head": fence(GOOD + "\nprint 'hello'\n"),
    "unclosed syntax error": "```python\ndef add(a, b):\n    return (a + b\n",
    "unfenced syntax error": "def add(a, b):\n    return (a +\n",
    "wrong indentation": fence("def add(a, b):\nreturn a + b\n"),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_program_is_still_a_program(reply: str) -> None:
    """The executor will say what is wrong with it, and feedback can quote that."""
    found = extract(reply, ADD)
    assert found.verdict is None
    assert found.program is not None
    with pytest.raises(SyntaxError):
        compile(found.program, "candidate.py", "exec")


def test_an_earlier_whole_block_counts_when_the_last_was_cut_off() -> None:
    reply = fence(GOOD) + "Better:\n```python\ndef add(a, b):\n    return sum([a,"
    assert value(extract(reply, ADD, "max_tokens"), 2, 3) == 5


def test_a_whole_program_counts_although_the_prose_after_it_was_cut_off() -> None:
    assert value(extract(fence(GOOD) + "This works becau", ADD, "max_tokens"), 2, 3) == 5


def test_helpers_of_the_prompt_are_kept() -> None:
    code = "def add(a, b):\n    xs: List[int] = [a, b]\n    return helper(math.ceil(sum(xs))) * LIMIT\n"
    assert value(extract(fence(code), ADD), 2, 3) == 18


def test_own_helpers_replace_those_of_the_prompt() -> None:
    code = "def helper(x):\n    return 0\n\nLIMIT = 7\n\ndef add(a, b):\n    return helper(a) + LIMIT\n"
    found = extract(fence(code), ADD)
    assert value(found, 2, 3) == 7
    assert found.program is not None
    assert found.program.count("def helper") == 1
    assert "LIMIT = 3" not in found.program


def test_nothing_is_added_to_a_program_that_lacks_nothing() -> None:
    code = PROMPT + "    return a + b\n"
    assert extract(fence(code), ADD).program == code


def test_the_prompts_stub_is_never_put_before_the_code() -> None:
    found = extract(fence("def other():\n    pass\n\nadd = other\n"), ADD)
    assert found.program is not None
    assert "def add" not in found.program


def test_only_the_lacking_names_of_an_import_are_added() -> None:
    problem = dataclasses.replace(ADD, prompt="from typing import Any, List\n\ndef add(a, b):\n    '''Add.'''\n")
    found = extract(fence("class List:\n    pass\n\n" + GOOD), problem)
    assert found.program is not None
    assert "from typing import Any\n" in found.program


@pytest.mark.parametrize("own", ["", "from __future__ import annotations\n", "'''Doc.'''\n"])
def test_future_imports_come_first(own: str) -> None:
    prompt = (
        "from __future__ import annotations\nimport math\n\ndef add(a: Later, b: Later) -> int:\n    '''Add.'''\n"
    )
    problem = dataclasses.replace(ADD, prompt=prompt)
    code = own + "def add(a: Later, b: Later) -> int:\n    return math.floor(a + b)\n"
    found = extract(fence(code), problem)
    assert value(found, 2, 3) == 5
    assert found.program is not None
    assert found.program.count("__future__") == 1


def test_a_helper_after_the_stub_and_one_under_try_are_kept() -> None:
    prompt = (
        "try:\n    import json\nexcept ImportError:\n    json = None\n\n"
        "def add(a, b):\n    '''Add.'''\n\n"
        "def twice(x):\n    return 2 * x\n"
    )
    problem = dataclasses.replace(ADD, prompt=prompt)
    code = "def add(a, b):\n    return json.loads(str(twice(a + b)))\n"
    assert value(extract(fence(code), problem), 2, 3) == 10


def test_a_prompt_that_ends_in_a_bare_signature_takes_a_body() -> None:
    problem = dataclasses.replace(ADD, prompt="def add(a, b):\n")
    assert value(extract(fence("    return a + b\n"), problem), 2, 3) == 5
    assert value(extract(fence(GOOD), problem), 2, 3) == 5


def test_an_empty_function_is_an_answer_where_the_prompt_gave_no_stub() -> None:
    assert value(extract(fence("def add(a, b):\n    pass\n"), PROSE), 2, 3) is None


def test_a_body_without_a_return_is_accepted() -> None:
    problem = PublicProblem("gpu/copy", "gpu", "def solve(x, out):\n    '''Copy x to out.'''\n", "solve", "torch")
    out = [0]
    value(extract(fence("    out[:] = x\n"), problem), [3], out, name="solve")
    assert out == [3]


def test_a_long_reply_without_code_is_read_quickly() -> None:
    """The number of parses is bounded, whatever the reply looks like."""
    reply = "import this is prose\nclass of words: x\n" * 3000
    assert extract(reply, ADD).verdict is Verdict.NO_CODE


def test_deep_nesting_is_only_a_broken_program() -> None:
    found = extract(fence("def add(a, b):\n    return " + "(" * 5000 + ")" * 5000 + "\n"), ADD)
    assert found.program is not None


KERNEL = '#include <cuda.h>\nextern "C" void solve(float *x, int n) {\n  x[0] = n;\n}\n'

CUDA_CASES = {
    "one block": fence(KERNEL, "cuda"),
    "C++ label": fence(KERNEL, "C++"),
    "cu label": fence(KERNEL, "cu"),
    "no label": fence(KERNEL, ""),
    "unclosed": "```cuda\n" + KERNEL,
    "build line after": fence(KERNEL, "cuda") + fence("nvcc solve.cu -o solve\n", "bash"),
    "call after": fence(KERNEL, "cuda") + fence("solve(x, 3);\n", "cpp"),
    "last wins": fence(KERNEL.replace("= n", "= 0"), "cuda") + fence(KERNEL, "cuda"),
    "no fence": "Here:\n" + KERNEL,
}


@pytest.mark.parametrize("reply", CUDA_CASES.values(), ids=CUDA_CASES.keys())
def test_cuda_source(reply: str) -> None:
    found = extract(reply, CUDA)
    assert found.verdict is None
    assert found.program is not None
    assert found.program.rstrip("\n") == KERNEL.rstrip("\n")


def test_cuda_that_names_the_entry_in_a_macro_is_left_to_the_compiler() -> None:
    code = "#define ENTRY solve\nvoid ENTRY(float *x);\n"
    assert extract(fence(code, "cuda"), CUDA).program == code


@pytest.mark.parametrize(
    ("reply", "stop", "verdict", "reason"),
    [
        (fence("void other() {}\n", "cuda"), "end_turn", Verdict.ERROR, "the code does not define `solve`"),
        ("No.", "end_turn", Verdict.NO_CODE, "the reply holds no program"),
        ("```cuda\nvoid solve(float *x) {\n  x[0]", "max_tokens", Verdict.NO_CODE, "cut off at max_tokens"),
        ("#include <a.h>\nvoid solve(float *x) {\n  x[0]", "max_tokens", Verdict.NO_CODE, "cut off at max_tokens"),
    ],
)
def test_cuda_without_a_program(reply: str, stop: str, verdict: Verdict, reason: str) -> None:
    found = extract(reply, CUDA, stop)
    assert (found.program, found.verdict) == (None, verdict)
    assert found.reason.startswith(reason)


def test_completion_is_appended_to_the_prompt() -> None:
    found = complete("    return a + b\n", ADD)
    assert found.program == PROMPT + "    return a + b\n"
    assert value(found, 2, 3) == 5
    assert value(complete("    return a + b\r\n", ADD), 2, 3) == 5


def test_completion_that_repeats_the_function() -> None:
    assert value(complete("\n" + GOOD, ADD), 2, 3) == 5


@pytest.mark.parametrize("completion", ["", "\n", "    pass\n", "    # nothing yet\n", "\n\nx = 1\n"])
def test_completion_that_leaves_the_stub_empty(completion: str) -> None:
    found = complete(completion, ADD)
    assert found.program is None
    assert found.verdict in {Verdict.NO_CODE, Verdict.ERROR}


def test_broken_completion_is_left_to_the_executor() -> None:
    assert complete("  return a + b", ADD).program == PROMPT + "  return a + b"


def test_whole_solution_is_taken_as_it_is() -> None:
    assert whole(GOOD, ADD) == Extraction(GOOD, None, "")
    assert whole("def add(a, b) return", ADD).program == "def add(a, b) return"
    assert whole("\ufeff" + GOOD.replace("\n", "\r\n"), ADD) == Extraction(GOOD, None, "")


@pytest.mark.parametrize(
    ("solution", "verdict"),
    [("", Verdict.NO_CODE), ("x = 1\n", Verdict.ERROR), (PROMPT, Verdict.ERROR)],
)
def test_whole_solution_without_the_entry_point(solution: str, verdict: Verdict) -> None:
    found = whole(solution, ADD)
    assert found.program is None
    assert found.verdict is verdict


def test_programs_that_parse_keep_parsing() -> None:
    """Putting helpers in front never breaks a program."""
    for reply in FINDS_FIVE.values():
        program = extract(reply, ADD).program
        assert program is not None
        ast.parse(program)


def entry_function_alone(program: str, name: str) -> str:
    """The entry point without the imports and helpers around it."""
    tree = ast.parse(program)
    return next(ast.unparse(n) for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name) + "\n"


@pytest.mark.parametrize("form", ["whole program", "function alone", "body", "body unfenced", "body dedented"])
def test_every_reference_of_humaneval_survives(form: str) -> None:
    """References as models would send them, read out again, pass the suite's tests."""
    for problem in humaneval.load().problems:
        public = problem.public
        body = problem.reference.removeprefix(public.prompt)
        reply = {
            "whole program": fence(problem.reference),
            "function alone": fence(entry_function_alone(problem.reference, public.entry_point)),
            "body": fence(body),
            "body unfenced": body,
            "body dedented": fence(textwrap.dedent(body)),
        }[form]
        space: dict[str, Any] = {"__name__": "candidate"}
        found = extract(reply, public)
        assert found.program is not None, (public.id, found.reason)
        exec(compile(found.program, "candidate.py", "exec", dont_inherit=True), space)
        tests: dict[str, Any] = {}
        assert isinstance(problem.scoring, PythonTests)
        exec(problem.scoring.setup, tests)
        exec(problem.scoring.source, tests)
        tests[public.entry_point] = space[public.entry_point]
        tests["check"](space[public.entry_point])


PIECES = [
    "```",
    "```python",
    "~~~",
    "````markdown",
    "def add(a, b):",
    "    return a + b",
    "    pass",
    "return a",
    '"""',
    "'",
    "from __future__ import annotations",
    "import math",
    "Here it is:",
    ">>> def add(a, b):",
    "\t",
    "\x00",
    "\u2028",
    "(",
    "class Solution:",
    "<think>",
    "</think>",
    "\r",
    "",
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=12).map("\n".join),
    st.sampled_from(["python", "cuda"]),
    st.sampled_from(["end_turn", "max_tokens", "refusal"]),
)
def test_any_text_gets_a_program_or_a_reason(reply: str, dialect: Any, stop: str) -> None:
    for problem in (ADD, PROSE):
        found = extract(reply, dataclasses.replace(problem, dialect=dialect), stop)
        assert (found.program is None) == (found.verdict is not None) == bool(found.reason)
        assert found.verdict in {None, Verdict.NO_CODE, Verdict.ERROR}
        assert "\n" not in found.reason
