# ---
# jupyter:
#   attack:
#     does: takes the sockets that other processes of its room hold, to answer in the zygote's place
#     statuses: [ok]
#     prints: "tried [1-9]\\d*; taken: \\[\\]"
# ---

# %%
import ctypes
import os
import socket

PIDFD_GETFD = 438
libc = ctypes.CDLL(None)
tried, taken = 0, []
for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
    if pid == os.getpid():
        continue
    tried += 1
    try:
        process = os.pidfd_open(pid)
    except OSError:
        continue
    for number in range(256):
        descriptor = libc.syscall(PIDFD_GETFD, process, number, 0)
        if descriptor < 0:
            continue
        try:
            with socket.socket(fileno=descriptor) as one:
                taken.append((pid, number, one.getsockname()))
        except OSError:
            os.close(descriptor)
print(f"tried {tried}; taken: {taken}")
