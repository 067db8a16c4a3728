# ---
# jupyter:
#   attack:
#     does: stops and steers every other process with ptrace, and reads and writes its memory
#     statuses: [ok]
#     prints: "tried [2-9]; steered: \\[\\]"
# ---

# %%
import ctypes
import os

PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
libc = ctypes.CDLL(None)
buffer = ctypes.create_string_buffer(8)
tried, steered = 0, []
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    if pid == os.getpid():
        continue
    tried += 1
    if libc.ptrace(PTRACE_SEIZE, pid, None, None) == 0:
        steered.append((pid, "ptrace"))
        libc.ptrace(PTRACE_DETACH, pid, None, None)
    try:
        with open(f"/proc/{pid}/maps") as maps:
            start = int(next(maps).split("-")[0], 16)
    except (OSError, StopIteration):
        continue
    vector = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    other = (ctypes.c_size_t * 2)(start, 8)
    if libc.process_vm_readv(pid, vector, 1, other, 1, 0) == 8:
        steered.append((pid, "memory"))
print(f"tried {tried}; steered: {steered}")
