# ---
# jupyter:
#   attack:
#     does: takes back the rights that were taken from it
#     statuses: [ok]
#     prints: "tried \\d+; worked: \\[\\]; rights: \\['0000000000000000'\\]"
# ---

# %%
import ctypes
import os
import struct

libc = ctypes.CDLL(None)
wanted = struct.pack("6I", *(0xFFFFFFFF,) * 6)
WAYS = {
    "capset": lambda: libc.capset(struct.pack("Ii", 0x20080522, 0), wanted),
    "new privileges": lambda: libc.prctl(38, 0, 0, 0, 0),
    "keep rights": lambda: libc.prctl(28, 1 << 4, 0, 0, 0),
    "ambient": lambda: libc.prctl(47, 2, 21, 0, 0),
    "user": lambda: libc.setuid(0),
    "real user": lambda: libc.setresuid(0, 0, 0),
    "nobody": lambda: libc.setuid(65534),
    "group": lambda: libc.setgid(0),
    "groups": lambda: libc.setgroups(1, struct.pack("I", 0)),
    "file user": lambda: min(libc.setfsuid(0), 0) or libc.setfsuid(-1) - 0,
}
worked = [name for name, way in WAYS.items() if way() == 0]
rights = set()
for pid in ("self", "1", "2"):
    if os.path.exists(f"/proc/{pid}/status"):
        with open(f"/proc/{pid}/status") as status:
            lines = [line.split() for line in status]
        rights |= {line[1] for line in lines if line[0] in ("CapInh:", "CapPrm:", "CapEff:")}
print(f"tried {len(WAYS)}; worked: {worked}; rights: {sorted(rights)}")
