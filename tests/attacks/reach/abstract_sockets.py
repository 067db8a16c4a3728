# ---
# jupyter:
#   attack:
#     does: looks for Unix sockets that need no file, and calls those that desktops and servers have
#     statuses: [ok]
#     prints: "names: \\[\\] reached: \\[\\]"
# ---

# %%
import socket

with open("/proc/net/unix") as table:
    names = [line.split()[-1] for line in table if "@" in line]
reached = []
for name in ("/tmp/.X11-unix/X0", "/tmp/.ICE-unix/1", "/tmp/dbus-session", "ISCSIADM_ABSTRACT"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with socket.socket(socket.AF_UNIX, kind) as one:
            if one.connect_ex("\0" + name) == 0:
                reached.append(name)
print("names:", names, "reached:", reached)
