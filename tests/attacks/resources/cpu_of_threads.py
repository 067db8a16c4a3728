# ---
# jupyter:
#   attack:
#     does: computes in four threads at a time, which go on
#     statuses: [CPU time limit, ok | not run]
#     limits: {cell_seconds: 30, cell_cpu_seconds: 1}
# ---

# %%
import hashlib
import threading
import time


def work():
    while True:
        hashlib.pbkdf2_hmac("sha1", b"x", b"y", 10**5)


for _ in range(4):
    threading.Thread(target=work, daemon=True).start()
time.sleep(60)

# %%
print("after")
