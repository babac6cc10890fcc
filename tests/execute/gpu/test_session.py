"""What is watched from outside, with a driver that a test speaks for: memory, throttling, energy, quarantine."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from orchestrator.core.execution import Job
from orchestrator.core.problems import GpuTests, Problem
from orchestrator.execute.gpu import rest
from orchestrator.execute.gpu.follow import Follower, Watched
from orchestrator.execute.gpu.judging import WARM_ROUNDS
from orchestrator.execute.gpu.measures import throttle_names
from orchestrator.execute.gpu.nvml import COUNTER_LAG_S, CardWatch, EnergyMeter, Sample
from orchestrator.execute.gpu.report import measures_of
from orchestrator.execute.gpu.rest import CardQuarantined
from orchestrator.execute.gpu.session import Session
from orchestrator.execute.gpu.settings import GpuExecutorSettings
from orchestrator.execute.gpu.turns import Turn
from tasks.gpu.catalog import get

# Works long for one softmax; with MEMO only when it finds other inputs, or an output that it has not filled.
LONG = """import torch

MEMO = {memo}
seen = []

def solve(x, out):
    key = x.reshape(-1)[:3].tolist()
    if MEMO and seen == [key] and abs(float(out[0].sum()) - 1.0) < 1e-3:
        return
    for _ in range(600):
        torch.softmax(x, -1, out=out)
    seen[:] = [key]
"""
RIGHT = "import torch\n\ndef solve(x, out):\n    torch.softmax(x, -1, out=out)\n"
# Says when it is called, and for how many rows.
TOLD = """import time
import torch

def solve(x, out):
    print(time.monotonic(), len(x), flush=True)
    time.sleep(0.005)
    torch.softmax(x, -1, out=out)
"""
WATTS = 300.0
CAP = 8 * 10**9


class FakeDriver:
    """Answers like a card of 16 GB that draws 300 W all the time."""

    uuid, name, minor, total_bytes, best_clock_mhz = "GPU-test", "Test card", 0, 16 * 10**9, 1980

    def __init__(self) -> None:
        self.of_process: int | None = 500 << 20
        self.taken = 0
        self.left = 0
        self.throttle = 0
        self.read_at: list[float] = []

    def used(self) -> int:
        return (2 << 30) + self.taken

    def used_by(self, pid: int) -> int | None:
        # A process that is gone has nothing, unless the test says that the card keeps it.
        alive = _alive(pid)
        return None if self.of_process is None else self.of_process + self.taken if alive else self.left

    def sample(self) -> Sample:
        return Sample(time.monotonic(), 1980, 45, WATTS, self.throttle)

    def energy_j(self) -> float:
        self.read_at.append(time.monotonic())
        return WATTS * time.monotonic()


class WarmDriver(FakeDriver):
    """Like the other, but its counter shows what ran before only now: 60 J in the first tenth of a second."""

    def __init__(self) -> None:
        super().__init__()
        self.since = time.monotonic()

    def energy_j(self) -> float:
        return super().energy_j() + 600.0 * min(time.monotonic() - self.since, 0.1)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.fixture(scope="module")
def driver() -> FakeDriver:
    return FakeDriver()


@pytest.fixture(scope="module")
def session(driver: FakeDriver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    settings = GpuExecutorSettings(
        device="cpu",
        isolation="none",
        spares=1,
        memory_cap_bytes=CAP,
        timing_budget_s=0.05,
        min_rounds=4,
        max_rounds=4,
        energy_window_s=0.3,
        scratch_dir=str(tmp_path_factory.mktemp("watched")),
    )
    made = Session(settings, cast(CardWatch, driver))
    yield made
    made.close()


def held_by(problem: Problem) -> int:
    """Bytes of the inputs and outputs of its largest call."""
    tests = cast(GpuTests, problem.scoring)
    known = get(tests.name)
    return max(known.footprint(shape, tests.dtype) for shape in known.shapes(1 << 30, 1 / 256))


def judge(session: Session, problem: Problem, source: str, wall_s: float = 60.0) -> Watched:
    tests = cast(GpuTests, problem.scoring)
    reference = problem.reference
    assert session.open(tests, "torch", reference, 1 << 30, 1 / 256) is None
    job = Job(problem.id, source, "scoring", 0, replace(problem.limits, wall_s=wall_s))
    return session.judge(problem, tests, job, timing=True)


def test_energy_is_what_is_drawn_over_idle(session: Session, driver: FakeDriver, problem: Problem) -> None:
    watched = judge(session, problem, RIGHT)
    assert watched.found["outcome"] == "passed", watched
    assert watched.found["burst"]["calls"] > 0
    # The card draws the same whether anything runs or not: nothing is left when idle is subtracted.
    assert watched.joules == pytest.approx(0.0, abs=0.2 * WATTS)
    measures = measures_of(watched, cast(CardWatch, driver), {"cpu_reference_s": 1.0}, {})
    assert measures.cpu_reference_time_s == 1.0
    assert (measures.sm_clock_mhz, measures.temperature_c, measures.power_w) == (1980, 45, WATTS)
    assert measures.peak_memory_bytes == watched.found["footprint"]


@pytest.mark.parametrize("memo", [False, True])
def test_energy_of_calls_that_did_less_than_the_timed_ones_is_not_told(
    session: Session, driver: FakeDriver, problem: Problem, memo: bool
) -> None:
    told = []
    # On a busy machine the timed calls of an honest program may have been the slower ones, now and then.
    while len(told) < (1 if memo else 5) and not any(told):
        watched = judge(session, problem, LONG.format(memo=memo))
        assert watched.found["outcome"] == "passed", watched
        assert watched.joules is not None
        measures = measures_of(watched, cast(CardWatch, driver), {}, {})
        assert measures.time_s is not None
        assert (measures.joules is None) == (measures.joules_per_call is None)
        told.append(measures.joules is not None)
    assert any(told) is not memo


def test_idle_power_is_measured_once() -> None:
    meter = EnergyMeter(cast(CardWatch, FakeDriver()))
    first = meter.idle_w()
    began = time.monotonic()
    assert meter.idle_w() == first == pytest.approx(WATTS, rel=0.05)
    assert time.monotonic() - began < 1.0


def test_idle_power_is_free_of_what_ran_before() -> None:
    meter = EnergyMeter(cast(CardWatch, WarmDriver()))
    assert meter.idle_w() == pytest.approx(WATTS, rel=0.05)


def test_energy_is_first_read_when_calls_have_gone_on_for_as_long_as_the_counter_is_late(
    session: Session, driver: FakeDriver, problem: Problem
) -> None:
    watched = judge(session, problem, TOLD)
    assert watched.found["outcome"] == "passed", watched
    calls = [line.split() for line in watched.output.splitlines()]
    timed_at = [float(at) for at, rows in calls if int(rows) == watched.found["shape"]["rows"]]
    lead_began = timed_at[WARM_ROUNDS + len(watched.found["rounds"])]
    # A busy machine may let the first call of the lead begin late.
    assert driver.read_at[-2] - lead_began > COUNTER_LAG_S / 2


def test_a_program_over_the_cap_is_killed_and_named(session: Session, driver: FakeDriver, problem: Problem) -> None:
    slow = RIGHT.replace("def solve(x, out):\n", "import time\ndef solve(x, out):\n    time.sleep(20)\n")
    ready = threading.Timer(1.5, lambda: setattr(driver, "taken", CAP + (1 << 20)))
    ready.start()
    try:
        watched = judge(session, problem, slow)
    finally:
        ready.join()
        driver.taken = 0
    buffers = held_by(problem)
    assert buffers > 0
    over = (CAP + (1 << 20) + buffers) >> 20
    assert watched.killed == f"memory: {over} MiB of card memory, over {CAP >> 20} MiB"
    assert watched.found["outcome"] == "gone"


def test_its_inputs_and_outputs_count_toward_the_cap(
    session: Session, driver: FakeDriver, problem: Problem
) -> None:
    slow = RIGHT.replace("def solve(x, out):\n", "import time\ndef solve(x, out):\n    time.sleep(20)\n")
    ready = threading.Timer(1.5, lambda: setattr(driver, "taken", CAP - held_by(problem) // 2))
    ready.start()
    try:
        watched = judge(session, problem, slow)
    finally:
        ready.join()
        driver.taken = 0
    assert watched.killed.startswith("memory: ")


def test_the_driver_is_asked_at_the_same_pace_however_much_a_program_says(
    session: Session, driver: FakeDriver, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    answer = driver.used_by

    def used_by(pid: int) -> int | None:
        asked.append(time.monotonic())
        return answer(pid)

    monkeypatch.setattr(driver, "used_by", used_by)
    chatty = (
        "import time\nuntil = time.monotonic() + 1\nwhile time.monotonic() < until:\n    print(0, flush=True)\n"
    )
    watched = judge(session, problem, chatty + RIGHT)
    assert watched.found["outcome"] == "passed"
    looks = [at for at in asked if at - asked[0] < watched.phases["judged"]]
    # One each 15 ms at most, besides those before and after the program.
    assert 10 < len(looks) < watched.phases["judged"] / 0.015 + 5


def test_without_numbers_by_process_the_whole_card_is_looked_at(
    session: Session, driver: FakeDriver, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "of_process", None)
    watched = judge(session, problem, RIGHT)
    assert watched.found["outcome"] == "passed"
    assert watched.peak_device is not None


def test_throttling_is_seen_and_named(session: Session, driver: FakeDriver, problem: Problem) -> None:
    driver.throttle = 0x20
    try:
        watched = judge(session, problem, RIGHT)
    finally:
        driver.throttle = 0
    assert throttle_names(watched.samples) == "thermal (software)"


def test_memory_that_does_not_come_back_quarantines_the_card(
    session: Session, driver: FakeDriver, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "_PATIENCE_S", 0.2)
    driver.left = 1 << 30
    try:
        with pytest.raises(CardQuarantined, match="1024 MiB"):
            judge(session, problem, RIGHT)
    finally:
        driver.left = 0
    assert judge(session, problem, RIGHT).found["outcome"] == "passed"


@pytest.fixture
def waiting(session: Session, problem: Problem, monkeypatch: pytest.MonkeyPatch) -> Iterator[Turn]:
    """Somebody else's turn: of two spares one is armed, one waits, and only following a program tends them."""
    spares = session._spares
    assert spares is not None
    monkeypatch.setattr(spares, "_count", 2)
    spares.fill()
    name = "test-" + secrets.token_hex(8)
    other = Turn(name)
    assert other.take()
    monkeypatch.setattr(spares, "_turn", Turn(name))
    judge(session, problem, RIGHT)
    spares.settle()
    assert (spares.armed, spares.arming) == (1, 0)
    monkeypatch.setattr(session, "_restock", lambda: None)
    yield other
    other.leave()
    # Back to one for the others' tests.
    while spares.armed:
        session.family.end(spares.take(), "the test is over")


def released(other: Turn, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the other's turn end when the referee asks for this."""
    before = Follower._on_event

    def on_event(self: Follower, event: str) -> None:
        before(self, event)
        if event == at:
            other.leave()

    monkeypatch.setattr(Follower, "_on_event", on_event)


def test_a_spare_arms_while_a_program_is_checked(session: Session, problem: Problem, waiting: Turn) -> None:
    waiting.leave()
    watched = judge(session, problem, RIGHT)
    assert watched.found["rounds"]
    assert session._spares is not None
    # The one that waited, and perhaps one for that which was taken. Timing waited until they were armed.
    assert session._spares.armed >= 1
    assert session._spares.arming == 0


def test_no_spare_arms_while_a_program_is_timed(
    session: Session, problem: Problem, waiting: Turn, monkeypatch: pytest.MonkeyPatch
) -> None:
    released(waiting, "timing", monkeypatch)
    watched = judge(session, problem, RIGHT)
    assert watched.found["rounds"]
    assert not waiting.fds
    assert session._spares is not None
    assert (session._spares.armed, session._spares.arming) == (0, 0)
