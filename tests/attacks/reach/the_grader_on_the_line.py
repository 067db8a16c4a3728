# ---
# jupyter:
#   attack:
#     does: takes a handle of the process at the other end of its channels, to signal and to open it
#     statuses: [ok]
#     prints: "asked [1-9]\\d*; reached: \\[\\]"
# ---

# %%
import ctypes
import os
import socket
import struct

SO_PEERPIDFD, PIDFD_SEND_SIGNAL, PIDFD_GETFD = 77, 424, 438
libc = ctypes.CDLL(None)
asked, reached = 0, []
for fd in os.listdir("/proc/self/fd"):
    try:
        one = socket.socket(fileno=os.dup(int(fd)))
        if not one.getsockname():
            continue  # its own pairs
        asked += 1
        (peer,) = struct.unpack("i", one.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD, 4))
    except OSError:
        continue
    if libc.syscall(PIDFD_SEND_SIGNAL, peer, 0, None, 0) == 0:
        reached.append("signal")
    for number in range(8):
        if libc.syscall(PIDFD_GETFD, peer, number, 0) >= 0:
            reached.append(f"descriptor {number}")
    if any(libc.setns(peer, kind) == 0 for kind in (0x20000, 0x10000000, 0x40000000)):
        reached.append("namespace")
print(f"asked {asked}; reached:", reached)
