# ---
# jupyter:
#   attack:
#     does: asks the sockets that were opened outside for the machine's network interfaces
#     statuses: [ok]
#     prints: "interfaces: \\[(b'lo')?\\] in [1-9]"
# ---

# %%
import ctypes
import fcntl
import os
import socket
import struct

SIOCGIFCONF = 0x8912
found, asked = set(), 0
for fd in os.listdir("/proc/self/fd"):
    try:
        one = socket.socket(fileno=os.dup(int(fd)))
    except OSError:
        continue
    asked += 1
    room = ctypes.create_string_buffer(4000)
    try:
        told = fcntl.ioctl(one, SIOCGIFCONF, struct.pack("iP", 4000, ctypes.addressof(room)))
    except OSError:
        continue
    for at in range(0, struct.unpack("iP", told)[0], 40):
        found.add(room.raw[at : at + 16].rstrip(b"\0"))
print("interfaces:", sorted(found), "in", asked)
