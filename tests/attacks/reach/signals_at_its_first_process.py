# ---
# jupyter:
#   attack:
#     does: sends every signal to the room's first process and to its own parent
#     statuses: [ok, ok]
#     prints: "(?s)parent: 0 sent: \\d+.*still here"
# ---

# %%
import os
import signal
import time

sent = 0
for number in signal.valid_signals() - {signal.SIGCHLD}:
    try:
        os.kill(1, number)
        sent += 1
    except OSError:
        pass
print("parent:", os.getppid(), "sent:", sent)

# %%
time.sleep(0.5)
print("still here")
