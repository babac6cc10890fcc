"""What a candidate (and the referee) may reach: the sandbox's mechanisms, set for programs that use a card.

Three tiers, the strongest that the machine gives: ``root`` (namespaces with a private file tree), ``spaces``
(namespaces, the machine's file tree), ``bare``. Landlock, seccomp, no-new-privileges, no capabilities and resource
limits are there in each.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import sys
from dataclasses import dataclass
from typing import Final

from orchestrator.execute.sandbox import capabilities, landlock, namespaces, rlimits, seccomp
from orchestrator.execute.sandbox.process import die_with_parent, no_new_privileges

__all__ = ["TIERS", "Bounds", "card_nodes", "close_doors", "confine", "enter", "missing", "probe", "seal"]

TIERS: Final = ("root", "spaces", "bare")
_SPACES: Final = namespaces.USER | namespaces.PID | namespaces.IPC | namespaces.NETWORK | namespaces.UTS
_SYSTEM: Final = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/sbin",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/sys",
    "/opt",
)
_NODES: Final = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_CARD_NODES: Final = "/dev/nvidia*"
_ONE_CARD: Final = re.compile(r"/dev/nvidia[0-9]+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where one process may go."""

    folder: str
    """Its scratch folder, an empty one."""
    root_at: str
    """An empty folder on which a private file tree is built."""
    read: tuple[str, ...] = ()
    """Files and folders to read beside the system's and the interpreter's."""
    nodes: tuple[str, ...] = ()
    """Device nodes of the leased card and its driver; other cards' are not among them."""
    hidden: tuple[str, ...] = ()
    """Folders beneath readable ones that are not."""
    file_bytes: int = 1 << 30
    open_files: int = 4096
    data_bytes: int | None = None
    scratch_bytes: int = 1 << 30
    tools: bool = False
    """Room for compute-sanitizer and ncu, whose parts talk to each other: loopback in a network namespace of its
    own, named sockets, shared memory files. Not in the tier ``bare``, where the network is the machine's."""


def card_nodes(minor: int | None) -> list[str]:
    """Device nodes that a program on the card of this minor number needs; none without a card.

    Those of other cards are left out: a program must not reach its neighbours, nor wait for their start.
    """
    if minor is None:
        return []
    return sorted(n for n in glob.glob(_CARD_NODES) if n == f"/dev/nvidia{minor}" or not _ONE_CARD.fullmatch(n))


def missing() -> list[str]:
    """What this kernel lacks of the layers that every tier has."""
    lacking = [] if landlock.abi() else ["Landlock"]
    with open("/proc/self/status", encoding="ascii") as status:
        if not any(line.startswith("Seccomp:") for line in status):
            lacking.append("seccomp")
    return lacking


def probe(tier: str, bounds: Bounds) -> str:
    """Try the tier in a throwaway child; empty if it works, or what was refused."""
    read, write = os.pipe()
    try:
        pid = enter(tier)
    except OSError as error:
        os.close(read)
        os.close(write)
        return f"namespaces refused: {error.strerror or error}"
    if pid == 0:
        os.close(read)
        reason = ""
        try:
            confine(tier, bounds)
            close_doors()
            seal()
        except OSError as error:
            reason = f"{error.strerror or error}"
        os.write(write, reason.encode()[:200] or b"ok")
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as file:
        answer = file.read().decode()
    os.waitpid(pid, 0)
    return "" if answer == "ok" else answer or "the trial child died"


def enter(tier: str) -> int:
    """Fork into the tier's namespaces: 0 in the child, the child's id in the parent.

    In a PID namespace the caller's child is its first process, which waits for a second fork and passes its exit
    status on: the C library only keeps straight which thread is which across a fork of its own, and CUDA asks it.
    Killing the first process ends everything in the namespace.

    Raises:
        OSError: the kernel refused.
    """
    if tier == "bare":
        return os.fork()
    pid = namespaces.enter(_SPACES | namespaces.MOUNT, os.getuid(), os.getgid())
    if pid:
        return pid
    die_with_parent()
    # A session is also a share of the processors, which its members may lower: not that of the zygote.
    os.setsid()
    worker = os.fork()
    if worker == 0:
        return 0
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == worker:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def confine(tier: str, bounds: Bounds) -> None:
    """Put the calling process under everything that its tier has, for good. Call it right after :func:`enter`.

    Raises:
        OSError: the kernel refused a part.
    """
    if bounds.tools:
        if tier == "bare":
            raise OSError(errno.EPERM, "these tools need a network namespace of their own")
        namespaces.loopback_up()
    devices = [*bounds.nodes, *_NODES]
    readable = _readable(bounds)
    if tier == "root":
        namespaces.private_root(
            namespaces.Root(
                at=bounds.root_at,
                read=_roots(bounds),
                hidden=bounds.hidden,
                devices=devices,
                scratch=bounds.folder,
                scratch_bytes=bounds.scratch_bytes,
                uid=os.getuid(),
                gid=os.getgid(),
                shared_memory=True,
            )
        )
    elif tier == "spaces":
        namespaces.mount(None, "/", None, _MS_REC | _MS_PRIVATE)
        namespaces.mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    if bounds.tools:
        namespaces.read_only_proc()
    os.chdir(bounds.folder)
    rlimits.apply(
        rlimits.ResourceLimits(
            data_bytes=bounds.data_bytes, file_bytes=bounds.file_bytes, open_files=bounds.open_files
        )
    )
    no_new_privileges()
    if landlock.abi():
        rules = landlock.ruleset(
            read=[*readable, "/proc"],
            write=[bounds.folder, *_named(bounds), *(["/dev/shm"] if bounds.tools and tier == "root" else [])],
            devices=[*devices, "/dev/shm"],
            sockets=[bounds.folder] if bounds.tools else [],
            tcp=bounds.tools,
            # A process of its own PID and network namespaces has nobody to signal or call.
            scoped=tier == "bare",
        )
        landlock.restrict_self(rules)
        os.close(rules)
    capabilities.drop_all()
    policy = seccomp.SyscallPolicy(
        landlock_abi=landlock.abi(),
        own_pid_namespace=tier != "bare",
        unix_sockets=True,
        internet_sockets=bounds.tools,
        memory_files=True,
        named_pipes=bounds.tools,
        filters_everywhere=True,
    )
    seccomp.install(seccomp.base_filter(policy))
    seccomp.install(seccomp.delta_filter(policy))


def close_doors() -> None:
    """Take from every thread of this process what only the driver needs while a context is made.

    Named sockets lead to others of the same user where the file tree is shared, and memory files that are mapped
    nowhere count against nobody's limit. The driver has had threads of its own since the context was made.

    Raises:
        OSError: the kernel refused.
    """
    rules = seccomp.FilterBuilder()
    rules.deny([*seccomp.SOCKETS, *seccomp.MEMORY_FILES], errno.EACCES)
    seccomp.install_everywhere(rules.build())


def seal() -> None:
    """Take the right to start processes from every thread of this process.

    Raises:
        OSError: the kernel refused, or a thread put itself under a filter of its own.
    """
    rules = seccomp.FilterBuilder()
    rules.deny_execution()
    rules.deny_processes()
    seccomp.install_everywhere(rules.build())


_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 16384, 1 << 18


def _named(bounds: Bounds) -> list[str]:
    """Where the driver names its threads: of this process, or of those that a tool is going to start."""
    return ["/proc"] if bounds.tools else ["/proc/self/task"]


def _roots(bounds: Bounds) -> list[str]:
    """Files and folders to show, outermost ones only."""
    prefixes = {sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)}
    found: list[str] = []
    for path in [*_SYSTEM, *sorted({*prefixes, *bounds.read}, key=len)]:
        if os.path.exists(path) and not any(path == f or path.startswith(f + os.sep) for f in found):
            found.append(path)
    return found


def _readable(bounds: Bounds) -> list[str]:
    """The same without what is hidden, as Landlock must be told."""
    return landlock.expand(_roots(bounds), bounds.hidden)
