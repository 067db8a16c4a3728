# ---
# jupyter:
#   attack:
#     does: fills the buffers of as many pipes as it may open
#     statuses: [open files limit | memory limit | time limit, ok | not run]
# ---

# %%
import os

hoard = []
while True:
    near, far = os.pipe()
    hoard.append(near)
    os.set_blocking(far, False)
    try:
        while True:
            os.write(far, bytes(4096))
    except BlockingIOError:
        pass

# %%
print(len(hoard) > 100, "after")
