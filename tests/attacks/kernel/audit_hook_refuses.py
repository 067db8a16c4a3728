# ---
# jupyter:
#   attack:
#     does: an audit hook lets nothing be compiled any more
#     statuses: [ok, no reply, not run]
#     prints: refused
# ---

# %%
import sys


def refuse(event, args):
    if event == "compile":
        print("refused", flush=True)
        raise RuntimeError("no")


sys.addaudithook(refuse)

# %%
assert True

# %%
pass
