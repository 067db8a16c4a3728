# ---
# jupyter:
#   attack:
#     does: the shell's results have no errors any more
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: replaced
#     wins: in-kernel the reply comes from the student's own process, and so does the test's
# ---

# %%
from IPython.core.interactiveshell import ExecutionResult

ExecutionResult.success = property(lambda result: True)
print("replaced")

# %%
raise AssertionError
