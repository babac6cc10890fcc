import os
import signal
import time

from orchestrator.execute.sandbox import capabilities, process, rlimits
from orchestrator.execute.sandbox.usage import family_usage
from tests.execute.sandbox.confined import in_child


def until(condition: object, seconds: float = 20.0) -> bool:
    """Wait for something that another process is about to do."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.01)
    return False


def test_kill_children_ends_whole_families_and_counts_their_time() -> None:
    def family() -> str:
        process.subreaper()
        for _ in range(3):
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    os.setsid()
                    end = time.process_time() + 0.05
                    while time.process_time() < end:
                        pass
                    signal.pause()
                signal.pause()
        until(lambda: len(process.descendants(os.getpid())) == 6)
        until(lambda: family_usage(process.descendants(os.getpid())).cpu_s > 0.1)
        used = process.kill_children()
        return f"{process.descendants(os.getpid())} {used > 0.1}"

    assert in_child(family) == "[] True"


def test_a_fork_bomb_is_ended() -> None:
    def bomb() -> str:
        process.subreaper()
        if os.fork() == 0:
            rlimits.apply(rlimits.ResourceLimits())
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if len(process.descendants(os.getpid())) < 20 and os.fork() == 0:
                    continue
                time.sleep(0.001)
            os._exit(0)
        until(lambda: len(process.descendants(os.getpid())) > 20)
        process.kill_children()
        return str(process.descendants(os.getpid()))

    assert in_child(bomb) == "[]"


def test_a_group_that_forks_on_is_ended_by_one_signal() -> None:
    def bomb() -> str:
        process.subreaper()
        leader = os.fork()
        if leader == 0:
            os.setsid()
            rlimits.apply(rlimits.ResourceLimits())
            end = time.monotonic() + 5
            while time.monotonic() < end:
                if len(process.descendants(os.getppid(), 40)) < 40:
                    os.fork()
            os._exit(0)
        until(lambda: len(process.descendants(os.getpid())) >= 40)
        pidfd = os.pidfd_open(leader)
        process.kill_group(pidfd)
        ended = []
        while True:
            try:
                ended.append(os.waitpid(-1, 0)[1])
            except ChildProcessError:
                break
        # Nobody is there any more, and it is no error.
        process.kill_group(pidfd)
        return f"{len(ended) >= 40} {set(ended)}"

    assert in_child(bomb) == f"True {{{signal.SIGKILL.value}}}"


def test_descendants_are_looked_for_up_to_a_number() -> None:
    def family() -> str:
        for _ in range(3):
            if os.fork() == 0:
                if os.fork() == 0:
                    signal.pause()
                signal.pause()
        until(lambda: len(process.descendants(os.getpid())) == 6)
        few, all_ = process.descendants(os.getpid(), 3), process.descendants(os.getpid(), 7)
        process.subreaper()
        process.kill_children()
        return f"{len(few)} {len(all_)}"

    assert in_child(family) == "3 6"


def test_a_child_dies_with_its_parent() -> None:
    read, write = os.pipe()
    middle = os.fork()
    if middle == 0:
        child = os.fork()
        if child == 0:
            process.die_with_parent(os.getppid())
            os.write(write, b"x")
            signal.pause()
        os.read(read, 1)
        os.write(write, str(child).encode())
        signal.pause()
    until(lambda: len(process.descendants(middle)) == 1)
    child = process.descendants(middle)[0]
    began = process.start_time(child)
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    os.close(read)
    os.close(write)
    assert until(lambda: process.start_time(child) != began or _dead(child))


def _dead(pid: int) -> bool:
    usage = family_usage([pid])
    return usage.tasks == 0 or usage.resident_bytes == 0


def test_clocks_and_sizes_of_another_process() -> None:
    pid = os.fork()
    if pid == 0:
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        held = bytearray(32 << 20)
        held[::4096] = b"x" * len(held[::4096])
        signal.pause()
    try:
        assert until(lambda: (process.cpu_seconds(pid) or 0) >= 0.1)
        assert until(lambda: (process.resident_bytes(pid) or 0) > 32 << 20)
        usage = family_usage([pid])
        assert usage.tasks == 1
        assert usage.resident_bytes > 32 << 20
        assert family_usage([pid], 1 << 40).resident_bytes == 0
        pidfd = os.pidfd_open(pid)
        assert process.host_pid(pidfd) == pid
        os.close(pidfd)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert process.cpu_seconds(pid) is None
    assert process.resident_bytes(pid) is None
    assert process.start_time(pid) is None


def test_limits_are_soft_and_hard_and_never_above_the_present() -> None:
    def limited() -> str:
        import resource

        rlimits.apply(rlimits.ResourceLimits(open_files=40, file_bytes=1 << 20))
        rlimits.apply(rlimits.ResourceLimits(open_files=50))
        return f"{resource.getrlimit(resource.RLIMIT_NOFILE)} {resource.getrlimit(resource.RLIMIT_CORE)}"

    assert in_child(limited) == "(40, 40) (0, 0)"


def test_no_capability_is_left() -> None:
    def dropped() -> str:
        capabilities.drop_all()
        return str(capabilities.effective())

    assert in_child(dropped) == "0"


def test_a_thread_that_runs_first_forks_ordinary_ones_and_is_ordinary_again() -> None:
    before = os.sched_getscheduler(0)
    with process.running_first():
        first = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        child = os.fork()
        if child == 0:
            os._exit(os.sched_getscheduler(0))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == os.SCHED_OTHER
    assert os.sched_getscheduler(0) == before
    assert first in (os.SCHED_RR, before)
    if os.geteuid() == 0 and process.run_first(os.getpid()):
        os.sched_setscheduler(0, before, os.sched_param(0))
        assert first == os.SCHED_RR
