# ---
# jupyter:
#   attack:
#     does: the grader's requests are numbered, so it answers the next one before it has come
#     statuses: [ok, ok, error]
#     tests: {1: error, 2: error}
#     prints: to .+_\d+
#     wins: in-kernel the reply comes from the student's own process, and so does the test's
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel
send, parent = kernel.session.send, kernel.get_parent()
begin, _, number = parent["header"]["msg_id"].rpartition("_")
later = {**parent, "header": {**parent["header"], "msg_id": f"{begin}_{int(number) + 1}"}}


def send_two(stream, kind, content=None, parent=None, **more):
    sent = send(stream, kind, content, parent, **more)
    if kind == "execute_reply":
        kernel.session.send = send
        send(stream, kind, {"status": "ok"}, later, **more)
    return sent


kernel.session.send = send_two
print("to", later["header"]["msg_id"])

# %%
raise AssertionError

# %%
raise AssertionError
