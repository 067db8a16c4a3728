# ---
# jupyter:
#   attack:
#     does: leaves a key where another submission finds it, and lists the keys of whoever grades
#     statuses: [ok]
#     prints: "worked: \\[\\] keys: \\[\\]"
# ---

# %%
import ctypes
import os

libc = ctypes.CDLL(None)
ADD_KEY, REQUEST_KEY, KEYCTL = (
    (248, 249, 250) if os.uname().machine == "x86_64" else (217, 218, 219)
)
SESSION, USER, USER_SESSION = -3, -4, -5
worked = []
for ring in (SESSION, USER, USER_SESSION):
    key = libc.syscall(ADD_KEY, b"user", b"letter", b"the tests are ...", 17, ring)
    if key > 0:
        worked.append(("add", ring))
    if key > 0 and libc.syscall(KEYCTL, 5, key, 0x3F3F3F3F) == 0:
        worked.append(("show to all", ring))
    if libc.syscall(KEYCTL, 0, ring, 0) > 0:
        worked.append(("find", ring))
if libc.syscall(REQUEST_KEY, b"user", b"letter", None, 0) > 0:
    worked.append("request")
try:
    with open("/proc/keys") as table:
        keys = [line.split(maxsplit=8)[-1].strip() for line in table]
except OSError:
    keys = []
print("worked:", worked, "keys:", keys)
