# ---
# jupyter:
#   attack:
#     does: forks on and on and ends behind itself, so that no signal finds it
#     statuses: [ok, ok]
#     prints: "b'hopping'\\n[\\s\\S]*after"
# ---

# %%
import os
import signal

near, far = os.pipe()
if os.fork() == 0:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    for hop in range(10**9):
        if hop == 20:
            os.write(far, b"hopping")
        if os.fork():
            os._exit(0)
print(os.read(near, 10))

# %%
print("after")
