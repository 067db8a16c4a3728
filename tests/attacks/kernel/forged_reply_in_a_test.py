# ---
# jupyter:
#   attack:
#     does: a function that a test calls answers the grader's request, and then fails
#     statuses: [ok, ok]
#     prints: "a reply was sent"
#     wins: the reply comes from the student's process, where the tests still run
# ---

# %%
def add(a, b):
    kernel = get_ipython().kernel
    ident = kernel._shell_parent_ident.get()
    reply = {"status": "ok", "execution_count": 1, "user_expressions": {}, "payload": []}
    kernel.session.send(
        kernel.shell_stream.socket, "execute_reply", reply, parent=kernel.get_parent(), ident=ident
    )
    print("a reply was sent", flush=True)

# %%
assert add(1, 2) == 3
