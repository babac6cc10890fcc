import ctypes
import errno
import fcntl
import os
import socket
import stat
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.execute.sandbox import seccomp
from orchestrator.execute.sandbox.process import no_new_privileges
from orchestrator.execute.sandbox.syscalls import AUDIT_ARCH, LAST_KNOWN, NUMBERS, number, syscall
from tests.execute.sandbox.confined import in_child

MACHINES = ["x86_64", "aarch64"]
CONTAINED = seccomp.SyscallPolicy(landlock_abi=6, own_pid_namespace=True)


def decide(program: bytes, machine: str, nr: int, *args: int) -> int:
    """Run a filter as the kernel would: a classic BPF machine over seccomp_data."""
    data = struct.pack("=IIQ6Q", nr, AUDIT_ARCH[machine], 0, *[*args, *[0] * 6][:6])
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        operation, yes, no, k = code[at]
        at += 1
        if operation == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif operation == 0x54:
            accumulator &= k
        elif operation == 0x06:
            return k
        else:
            hit = {
                0x15: accumulator == k,
                0x35: accumulator >= k,
                0x45: bool(accumulator & k),
            }[operation]
            at += yes if hit else no


def refused(result: int) -> int | None:
    """The errno of a refusal, None for a call that is let through."""
    return None if result == seccomp.ALLOW else result & 0xFFFF


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["ptrace", "mount", "bpf", "keyctl", "shmget", "setns", "process_vm_readv"])
def test_base_refuses(machine: str, name: str) -> None:
    base = seccomp.base_filter(CONTAINED, machine)
    assert refused(decide(base, machine, number(name, machine) or 0)) == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_both_filters_let_ordinary_calls_through(machine: str) -> None:
    read = 0 if machine == "x86_64" else 63
    for program in (seccomp.base_filter(CONTAINED, machine), seccomp.delta_filter(CONTAINED, 1, machine)):
        assert decide(program, machine, read) == seccomp.ALLOW
        assert decide(program, machine, number("clone", machine) or 0, 0x11) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_no_call_is_both_listed_and_forgotten(machine: str) -> None:
    # Whatever the table names is refused by one of the filters, in some form, or is one the sandbox itself needs.
    ours = {"clone", "execve", "execveat", "fork", "vfork", "open", "openat", "openat2", "creat", "prctl", "kill"}
    ours |= {"tgkill", "truncate", "landlock_add_rule", "landlock_restrict_self", "pidfd_open", "socketpair"}
    ours |= {
        "fcntl",
        "ioctl",
        "prlimit64",
        "sched_setaffinity",
        "mbind",
        "set_mempolicy",
        "set_mempolicy_home_node",
    }
    base, delta = seccomp.base_filter(CONTAINED, machine), seccomp.delta_filter(CONTAINED, 1, machine)
    without = seccomp.delta_filter(CONTAINED._replace(own_pid_namespace=False), 1, machine)
    for name in NUMBERS:
        nr = number(name, machine)
        if nr is None or name in ours:
            continue
        results = [decide(program, machine, nr) for program in (base, delta, without)]
        assert any(result != seccomp.ALLOW for result in results), name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", ["setsid", "setpgid"])
def test_a_family_stays_one_group_where_no_namespace_holds_it(machine: str, name: str) -> None:
    without = seccomp.delta_filter(CONTAINED._replace(own_pid_namespace=False), 1, machine)
    nr = number(name, machine) or 0
    # Success is pretended.
    assert refused(decide(without, machine, nr)) == 0
    assert decide(seccomp.delta_filter(CONTAINED, 1, machine), machine, nr) == seccomp.ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_numbers_above_the_last_known_are_unknown(machine: str) -> None:
    base = seccomp.base_filter(CONTAINED, machine)
    for nr in (LAST_KNOWN + 1, 0x40000000, 0x40000000 + 59):
        assert refused(decide(base, machine, nr)) == errno.ENOSYS


def test_another_calling_convention_kills() -> None:
    program = seccomp.base_filter(CONTAINED, "aarch64")
    assert decide(program, "x86_64", 0) == seccomp.KILL


def test_namespaces_cannot_be_made_through_clone() -> None:
    clone = number("clone", "x86_64") or 0
    base = seccomp.base_filter(CONTAINED, "x86_64")
    for flag in (0x20000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert refused(decide(base, "x86_64", clone, flag | 17)) == errno.EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("command", ["F_SETOWN", "F_SETSIG", "F_SETLEASE"])
def test_nobody_else_is_signalled_or_held_up_through_fcntl(machine: str, command: str) -> None:
    base, nr = seccomp.base_filter(CONTAINED, machine), number("fcntl", machine) or 0
    assert refused(decide(base, machine, nr, 3, getattr(fcntl, command))) == errno.EPERM
    assert refused(decide(base, machine, nr, 3, fcntl.F_SETFL)) is None


def test_pid_namespaces_are_for_the_zygote_only() -> None:
    policy = CONTAINED._replace(pid_namespaces=True)
    clone = number("clone", "x86_64") or 0
    assert decide(seccomp.base_filter(policy, "x86_64"), "x86_64", clone, 0x20000011) == seccomp.ALLOW
    assert refused(decide(seccomp.delta_filter(policy, 1, "x86_64"), "x86_64", clone, 0x20000011)) == errno.EPERM


def test_signals_are_filtered_only_where_nothing_else_contains_them() -> None:
    kill = number("kill", "x86_64") or 0
    loose = seccomp.delta_filter(seccomp.SyscallPolicy(landlock_abi=4), 77, "x86_64")
    assert decide(loose, "x86_64", kill, 77, 9) == seccomp.ALLOW
    assert decide(loose, "x86_64", kill, 0, 9) == seccomp.ALLOW
    assert refused(decide(loose, "x86_64", kill, 78, 9)) == errno.EPERM
    # -1, everybody that it may signal.
    assert refused(decide(loose, "x86_64", kill, 0xFFFFFFFF, 9)) == errno.EPERM
    assert decide(seccomp.delta_filter(CONTAINED, 77, "x86_64"), "x86_64", kill, 78, 9) == seccomp.ALLOW


def test_an_old_landlock_has_truncation_closed_here() -> None:
    openat = number("openat", "x86_64") or 0
    old = seccomp.base_filter(seccomp.SyscallPolicy(landlock_abi=2), "x86_64")
    assert refused(decide(old, "x86_64", openat, 0, 0, os.O_RDONLY | os.O_TRUNC)) == errno.EPERM
    assert decide(old, "x86_64", openat, 0, 0, os.O_WRONLY | os.O_TRUNC) == seccomp.ALLOW
    assert decide(seccomp.base_filter(CONTAINED, "x86_64"), "x86_64", openat, 0, 0, os.O_TRUNC) == seccomp.ALLOW


@pytest.mark.parametrize(("name", "before"), [("mknod", 1), ("mknodat", 2)])
def test_named_pipes_are_the_only_nodes_that_can_be_let_through(name: str, before: int) -> None:
    nr = number(name, "x86_64") or 0
    plain = seccomp.base_filter(CONTAINED, "x86_64")
    pipes = seccomp.base_filter(CONTAINED._replace(named_pipes=True), "x86_64")
    for kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFREG, 0):
        arguments = [0] * before + [kind | 0o666]
        assert refused(decide(plain, "x86_64", nr, *arguments)) == errno.EPERM
        wanted = None if kind == stat.S_IFIFO else errno.EPERM
        assert refused(decide(pipes, "x86_64", nr, *arguments)) == wanted


def test_processes_and_exec_can_be_taken_away() -> None:
    policy = CONTAINED._replace(processes=False, execute=False)
    delta = seccomp.delta_filter(policy, 1, "x86_64")
    for name in ("fork", "vfork", "execve", "execveat"):
        assert refused(decide(delta, "x86_64", number(name, "x86_64") or 0)) == errno.EPERM
    clone = number("clone", "x86_64") or 0
    assert refused(decide(delta, "x86_64", clone, 17)) == errno.EPERM
    assert decide(delta, "x86_64", clone, 0x10000) == seccomp.ALLOW


def test_the_kernel_takes_both_filters() -> None:
    def confined() -> list[object]:
        no_new_privileges()
        seccomp.install(seccomp.base_filter(CONTAINED))
        seccomp.install(seccomp.delta_filter(CONTAINED))
        found: list[object] = []
        for attempt in (
            lambda: socket.socket(socket.AF_INET),
            lambda: syscall("keyctl", 0, -3, 1),
            lambda: syscall("memfd_create", ctypes.c_char_p(b"x"), 0),
        ):
            try:
                attempt()
            except OSError as error:
                found.append(errno.errorcode[error.errno or 0])
        ours, theirs = socket.socketpair()
        ours.close()
        theirs.close()
        pid = os.fork()
        if pid == 0:
            os._exit(3)
        found.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        return found

    assert in_child(confined) == "['EACCES', 'EPERM', 'ENOSYS', 3]"


def test_later_filters_for_every_thread_can_be_left_open_and_nothing_beside_them() -> None:
    nr = number("seccomp", "x86_64") or 0
    delta = seccomp.delta_filter(CONTAINED._replace(filters_everywhere=True), 1, "x86_64")
    assert decide(delta, "x86_64", nr, 1, 1) == seccomp.ALLOW
    # Strict mode, questions, no flag, logging, without the mitigations, and a listener, alone and with the rest.
    for operation, flags in ((0, 0), (2, 0), (3, 0), (1, 0), (1, 2), (1, 4), (1, 8), (1, 9), (1, 1 | 8 | 16)):
        assert refused(decide(delta, "x86_64", nr, operation, flags)) == errno.EPERM
    plain = seccomp.delta_filter(CONTAINED, 1, "x86_64")
    assert refused(decide(plain, "x86_64", nr, 1, 1)) == errno.EPERM


def no_sockets() -> bytes:
    rules = seccomp.FilterBuilder()
    rules.deny(["socket"], errno.EACCES)
    return rules.build()


def opens_a_socket() -> str:
    try:
        socket.socket(socket.AF_UNIX).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "opened"


@pytest.mark.parametrize(("everywhere", "found"), [(True, "EACCES"), (False, "opened")])
def test_a_filter_reaches_the_threads_that_are_there_already(everywhere: bool, found: str) -> None:
    def confined() -> list[str]:
        no_new_privileges()
        seccomp.install(seccomp.delta_filter(CONTAINED._replace(filters_everywhere=True)))
        with ThreadPoolExecutor(1) as pool:
            before = pool.submit(opens_a_socket).result()
            (seccomp.install_everywhere if everywhere else seccomp.install)(no_sockets())
            return [before, opens_a_socket(), pool.submit(opens_a_socket).result()]

    assert in_child(confined) == str(["opened", "EACCES", found])


def test_a_thread_under_a_filter_of_its_own_is_no_exception_but_a_refusal() -> None:
    def confined() -> list[str]:
        no_new_privileges()
        harmless = seccomp.FilterBuilder().build()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(seccomp.install, harmless).result()
            try:
                seccomp.install_everywhere(no_sockets())
            except OSError as error:
                return [errno.errorcode[error.errno or 0], opens_a_socket(), pool.submit(opens_a_socket).result()]
        return ["was taken"]

    assert in_child(confined) == str(["EBUSY", "opened", "opened"])
