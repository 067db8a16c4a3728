# ---
# jupyter:
#   attack:
#     does: the kernel executes no cell any more and says that all went well
#     statuses: [ok, ok]
#     tests: {1: error | no reply}
#     prints: replaced
#     wins: in-kernel the reply comes from the student's own process, and so does the test's
# ---

# %%
from IPython import get_ipython


async def do_nothing(code, silent, *args, **more):
    return {"status": "ok"}


get_ipython().kernel.do_execute = do_nothing
print("replaced")

# %%
raise AssertionError
