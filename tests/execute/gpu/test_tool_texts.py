"""What the tools' reports come to, on reports as the tools write them."""

from __future__ import annotations

import pytest

from orchestrator.execute.gpu.tool_texts import (
    COUNTERS,
    ncu_arguments,
    ncu_lines,
    sanitizer_arguments,
    sanitizer_lines,
)

CLEAN = "========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n"
OUT_OF_BOUNDS = """========= COMPUTE-SANITIZER
========= Invalid __global__ write of size 4 bytes
=========     at solve+0x90
=========     by thread (31,0,0) in block (3,0,0)
=========     Access at 0x7f0c0a000400 is out of bounds
=========     and is 1 bytes after the nearest allocation at 0x7f0c0a000000 of size 1024 bytes
=========
========= Invalid __global__ write of size 4 bytes
=========     at solve+0x90
=========     by thread (32,0,0) in block (3,0,0)
=========     Access at 0x7f0c0a000404 is out of bounds
=========     and is 5 bytes after the nearest allocation at 0x7f0c0a000000 of size 1024 bytes
=========
========= ERROR SUMMARY: 2 errors
"""
CSV = (
    "==PROF== Connected to process 31 (/usr/bin/python3.12)\n"
    '==PROF== Profiling "solve" - 0: 0%....50%....100% - 4 passes\n'
    "==PROF== Disconnected from process 31\n"
    '"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size","Grid Size",'
    '"Device","CC","dram__throughput.avg.pct_of_peak_sustained_elapsed","gpu__time_duration.sum","launch__registers_per_thread",'
    '"lts__t_sector_hit_rate.pct","sm__throughput.avg.pct_of_peak_sustained_elapsed",'
    '"sm__warps_active.avg.pct_of_peak_sustained_active"\n'
    '"","","","","","","","","","","","%","ns","register/thread","%","%","%"\n'
    '"0","31","python3.12","127.0.0.1","solve(const float *, float *, long long, long long)","1","7","(256, 1, 1)",'
    '"(4,096, 1, 1)","0","9.0","71.52","18,432","32","48.91","22.07","88.10"\n'
)


def test_clean_is_what_says_so_in_so_many_words() -> None:
    assert sanitizer_lines(CLEAN, 0) == ("compute-sanitizer (memcheck): clean, 0 errors.",)


@pytest.mark.parametrize(
    ("report", "status"),
    [
        ("", 0),
        ("========= COMPUTE-SANITIZER\n", 0),
        (CLEAN, 1),
        (CLEAN, None),
        ("ERROR SUMMARY: 0 errors\n", 0),
        ("========= COMPUTE-SANITIZER\n========= Error: Device not supported\n", 0),
        ("========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 10 errors\n", 86),
        (CLEAN + "========= ERROR SUMMARY: 1 error\n", 0),
        (OUT_OF_BOUNDS.replace("SUMMARY: 2", "SUMMARY: 0"), 0),
    ],
)
def test_anything_else_is_not_clean(report: str, status: int | None) -> None:
    lines = sanitizer_lines(report, status)
    assert lines
    assert "clean" not in " ".join(lines)


def test_what_was_found_is_told_with_its_place_once_each_and_bounded() -> None:
    lines = sanitizer_lines(OUT_OF_BOUNDS, 86)
    assert lines[0] == "compute-sanitizer (memcheck) found 2 errors:"
    assert lines[1].startswith("  Invalid __global__ write of size 4 bytes; at solve+0x90; by thread (31,0,0)")
    assert "1 bytes after the nearest allocation" in lines[1]
    assert len(lines) == 3
    many = "========= COMPUTE-SANITIZER\n" + "".join(f"========= Invalid read {i} {'x' * 900}\n" for i in range(99))
    assert len(sanitizer_lines(many, 86)) == 4
    assert all(len(line) <= 400 for line in sanitizer_lines(many, 86))


def test_why_there_is_no_result_is_told() -> None:
    report = (
        "========= COMPUTE-SANITIZER\n========= Error: Device not supported. Please refer to the documentation.\n"
    )
    assert "Device not supported" in sanitizer_lines(report, 255)[0]


def test_counters_of_a_kernel_in_one_line() -> None:
    (line,) = ncu_lines(CSV, 0)
    assert "solve(const float *, float *, long long, long long)" in line
    assert "grid (4,096, 1, 1), block (256, 1, 1)" in line
    for part in ("18.4 us", "72% of peak", "L2 hits 49%", "32 registers a thread", "warps active 88%"):
        assert part in line


def test_no_permission_for_counters_is_said() -> None:
    report = (
        "==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters"
        " on the target device 0. For instructions on enabling permissions and to get more information see\n"
    )
    assert "only administrators" in ncu_lines(report, 1)[0]


def test_ncu_without_a_table_says_what_it_said_last() -> None:
    assert (
        "No kernels were profiled" in ncu_lines("==PROF== Connected\n==WARNING== No kernels were profiled.\n", 0)[0]
    )
    assert "status None" in ncu_lines("", None)[0]


def test_the_tools_leave_clocks_alone_and_end_with_a_status() -> None:
    asked = ncu_arguments("report.log")
    assert asked[asked.index("--clock-control") + 1] == "none"
    assert asked[asked.index("--metrics") + 1].split(",") == list(COUNTERS)
    assert "--error-exitcode" in sanitizer_arguments("report.log")
