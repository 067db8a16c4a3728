# ---
# jupyter:
#   attack:
#     does: "the grader's requests are numbered: answers the next one before it has come"
#     statuses: [ok, ok, error]
#     prints: "a reply to .*_\\d+ will be sent"
#     wins: the reply comes from the student's process, where the tests still run
# ---

# %%
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
print("a reply to", later["header"]["msg_id"], "will be sent")

# %%
assert False

# %%
assert False
