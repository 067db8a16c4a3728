# ---
# jupyter:
#   attack:
#     does: answers the grader's request itself, before the cell has failed
#     statuses: [ok]
#     prints: "a reply was sent"
#     wins: the reply comes from the student's process, where the tests still run
# ---

# %%
kernel = get_ipython().kernel
ident = kernel._shell_parent_ident.get()
reply = {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
kernel.session.send(
    kernel.shell_stream.socket, "execute_reply", reply, parent=kernel.get_parent(), ident=ident
)
print("a reply was sent", flush=True)
raise ValueError("and this is not known any more")
