# ---
# jupyter:
#   attack:
#     does: a trace function jumps from the first line of a test to its last
#     statuses: [ok, ok]
#     prints: "jumps"
#     wins: the test runs in the student's own process
# ---

# %%
import sys


def trace(frame, event, value):
    code = frame.f_code
    if "never_equal" in code.co_names and event == "line" and frame.f_lineno == 1:
        print("jumps")
        frame.f_lineno = 4
    return trace


sys.settrace(trace)

# %%
never_equal = 3
assert never_equal == 4
assert never_equal == 5
del sys
