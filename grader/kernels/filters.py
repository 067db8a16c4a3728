"""System calls that no lesson needs: a filter (seccomp) that refuses them in a room.

Namespaces do not cover all of Linux. Keys, vsock and watchers of the machine are shared by all
rooms; ptrace and kin reach the room's own first processes; a process can be born as a child of the
zygote, where nobody counts it. Stands on the standard library alone.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FAMILIES = (1, 2, 10, 16)  # Unix, IPv4, IPv6, netlink: those that a network namespace holds

# By x86_64, aarch64; from 424 on all architectures have the same numbers.
CLONE, SOCKET, IOCTL = (56, 220), (41, 198), (16, 29)
REFUSED = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "fanotify_init": (300, 262),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "mount_setattr": (442, 442),
}
CLONE3 = 435  # its flags are in memory, where no filter looks: libc falls back to clone
X32 = 0x40000000  # x86_64's second set of numbers
NEW_OR_BROTHER = 0x7E020000 | 0x8000  # CLONE_NEW*, CLONE_PARENT
SOCKET_REQUESTS = 0x8900  # ioctl: interfaces, routes; also of sockets that were opened outside

# From <linux/bpf_common.h>, <linux/seccomp.h>.
LOAD, EQUAL, NOT_LESS, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, ARCHITECTURE, FIRST, SECOND = 0, 4, 16, 24  # in struct seccomp_data


def program() -> bytes:
    """Return the filter for this machine, as struct sock_filter; empty where it is unknown."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        return b""
    column = list(ARCHITECTURES).index(machine)
    code = [(LOAD, 0, 0, ARCHITECTURE), (EQUAL, 1, 0, ARCHITECTURES[machine]), (RETURN, 0, 0, KILL)]
    code += [(LOAD, 0, 0, NUMBER)]
    code += [(NOT_LESS, 0, 1, X32), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    code += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    for numbers in REFUSED.values():
        code += [(EQUAL, 0, 1, numbers[column]), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    code += [(EQUAL, 0, 4, CLONE[column]), (LOAD, 0, 0, FIRST)]
    code += [(ANY_BIT, 0, 1, NEW_OR_BROTHER), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    code += [(RETURN, 0, 0, ALLOW)]
    code += [(EQUAL, 0, 5, IOCTL[column]), (LOAD, 0, 0, SECOND), (AND, 0, 0, 0xFFFFFF00)]
    code += [(EQUAL, 0, 1, SOCKET_REQUESTS), (RETURN, 0, 0, REFUSE | errno.EPERM)]
    code += [(RETURN, 0, 0, ALLOW)]
    code += [(EQUAL, 1, 0, SOCKET[column]), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, FIRST)]
    for family in FAMILIES:
        code += [(EQUAL, 0, 1, family), (RETURN, 0, 0, ALLOW)]
    code += [(RETURN, 0, 0, REFUSE | errno.EAFNOSUPPORT)]
    return b"".join(struct.pack("HBBI", *one) for one in code)


def apply() -> None:
    """Put this process and its children under the filter, for good; needs no_new_privs."""
    code = program()
    if not code:
        return
    buffer = ctypes.create_string_buffer(code, len(code))
    given = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, 2, given, 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "seccomp")
