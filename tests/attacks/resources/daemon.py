# ---
# jupyter:
#   attack:
#     does: leaves a process behind that is nobody's child
#     statuses: [ok, ok]
#     prints: "b'daemon'\\n[\\s\\S]*after"
# ---

# %%
import os
import time

near, far = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.write(far, b"daemon")
        while True:
            time.sleep(60)
    os._exit(0)
os.wait()
print(os.read(near, 10))

# %%
print("after")
