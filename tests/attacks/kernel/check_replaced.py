# ---
# jupyter:
#   attack:
#     does: puts a module of its own in the place of the course's
#     statuses: [ok, ok]
#     tests: {1: error}
#     prints: replaced
#     wins: in-kernel the test runs in the student's own process
# ---

# %%
import sys
import types

import grader

fake = types.ModuleType("grader.check")
fake.close = lambda *args, **more: None
sys.modules["grader.check"] = grader.check = fake
print("replaced")

# %%
from grader import check  # noqa: E402

check.close(1.0, 2.0)
