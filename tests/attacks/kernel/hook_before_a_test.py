# ---
# jupyter:
#   attack:
#     does: a hook puts right what a test is about to look at, and only then
#     statuses: [ok, ok, ok]
#     tests: {2: error}
#     prints: put right
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
from IPython import get_ipython


def look(info):
    if "assert" in info.raw_cell:
        print("put right")
        get_ipython().user_ns["answer"] = 3


answer = 0
get_ipython().events.register("pre_run_cell", look)

# %%
print(answer)

# %%
assert answer == 3
