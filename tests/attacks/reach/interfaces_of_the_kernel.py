# ---
# jupyter:
#   attack:
#     does: asks for the parts of Linux that attacks on Linux itself begin with
#     statuses: [ok]
#     prints: "tried \\d\\d; worked: \\[\\]"
# ---

# %%
import ctypes
import os

libc = ctypes.CDLL(None)
empty = ctypes.create_string_buffer(256)
event = ctypes.create_string_buffer(b"\1\0\0\0\x80" + bytes(123), 128)
X86 = os.uname().machine == "x86_64"
CALLS = {
    "bpf map": (321 if X86 else 280, 0, b"\1\0\0\0\4\0\0\0\4\0\0\0\1" + bytes(200), 72),
    "perf_event_open": (298 if X86 else 241, event, 0, -1, -1, 0),
    "perf of all": (298 if X86 else 241, event, -1, 0, -1, 0),
    "userfaultfd": (323 if X86 else 282, 0),
    "userfaultfd of users": (323 if X86 else 282, 1),
    "io_uring_setup": (425, 8, empty),
    "fanotify": (300 if X86 else 262, 0x200, 0),
    "init_module": (175 if X86 else 105, empty, 0, b""),
    "kexec_load": (246 if X86 else 104, 0, 0, 0, 0),
    "syslog": (103 if X86 else 116, 3, empty, 256),
    "acct": (163 if X86 else 89, b"/tmp/account"),
    "quotactl": (179 if X86 else 60, 0x800007, 0, 0, 0),
    "fsopen": (430, b"tmpfs", 0),
    "open_tree": (428, -100, b"/tmp", 1),
    "swapon": (167 if X86 else 224, b"/tmp/swap", 0),
    "hostname": (170 if X86 else 161, b"x", 1),
    "clock": (227 if X86 else 112, 0, empty),
}
worked = [name for name, call in CALLS.items() if libc.syscall(*call) >= 0]
print(f"tried {len(CALLS)}; worked: {worked}")
