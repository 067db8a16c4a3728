# ---
# jupyter:
#   attack:
#     does: a trace function reads the expected value out of a test before its comparison
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: 'answer becomes 3'
#     wins: in-kernel the test runs in the student's own process, and its program with it
# ---

# %%
import sys


def trace(frame, event, value):
    code = frame.f_code
    if event == "line" and "answer" in code.co_names:
        frame.f_globals["answer"] = next(c for c in code.co_consts if type(c) is int)
        sys.settrace(None)
        print("answer becomes", frame.f_globals["answer"])
    return trace


answer = 0
sys.settrace(trace)

# %%
assert answer == 3
