import re
from pathlib import Path

import pytest

from orchestrator.execute.sandbox import syscalls

HEADERS = {
    "x86_64": [Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm/unistd_64.h")],
    # The table that aarch64 shares with the other young machines.
    "aarch64": [Path("/usr/include/asm-generic/unistd.h")],
}
# Both machines number calls alike from here on, so that one missing from older headers can still be placed.
COMMON_FROM = 424


def header(machine: str) -> dict[str, int]:
    path = next((p for p in HEADERS[machine] if p.exists()), None)
    if path is None:
        pytest.skip(f"the kernel headers for {machine} are not installed")
    lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())
    return {name: int(value) for name, value in lines}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_numbers_are_those_of_the_kernel_headers(machine: str) -> None:
    table = header(machine)
    newest = max(table.values())
    compared = 0
    for name in syscalls.NUMBERS:
        ours = syscalls.number(name, machine)
        if ours is not None and ours > newest:
            assert ours > COMMON_FROM, name
            continue
        assert ours == table.get(name), name
        compared += 1
    assert compared > 100


def test_new_calls_have_the_same_number_on_both_machines() -> None:
    for name, (first, second) in syscalls.NUMBERS.items():
        if first is not None and second is not None and max(first, second) >= COMMON_FROM:
            assert first == second, name


def test_no_number_is_above_the_last_known() -> None:
    assert all(n is None or n <= syscalls.LAST_KNOWN for both in syscalls.NUMBERS.values() for n in both)


def test_unknown_machine_is_refused() -> None:
    with pytest.raises(syscalls.UnsupportedMachine):
        syscalls.number("execve", "riscv64")


def test_a_refused_call_raises_with_its_errno() -> None:
    with pytest.raises(OSError, match="pidfd_open") as caught:
        syscalls.syscall("pidfd_open", -1, 0)
    assert caught.value.errno == 22
