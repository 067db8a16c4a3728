# ---
# jupyter:
#   attack:
#     does: sends output, errors, ends and replies that belong to no cell, or are no messages at all
#     statuses: [ok, error, ok]
#     prints: all are sent
#     never: forged
# ---

# %%
from IPython import get_ipython

kernel = get_ipython().kernel
public, shell = kernel.iopub_socket, kernel.shell_stream.socket
ident = kernel._shell_parent_ident.get()
text = {"name": "stdout", "text": "forged"}
for parent in (None, {}, {"header": {"msg_id": "x"}}, {"header": {}}, {"header": {"msg_id": [1]}}):
    kernel.session.send(public, "stream", text, parent=parent)
    kernel.session.send(public, "status", {"execution_state": "idle"}, parent=parent)
    kernel.session.send(shell, "execute_reply", {"status": "ok"}, parent=parent, ident=ident)
mine = kernel.get_parent()
for content in ({}, {"name": 1, "text": "forged"}, {"name": "stdout", "text": {"forged": 1}}):
    kernel.session.send(public, "stream", content, parent=mine)
for kind in ("error", "display_data", "execute_result", "update_display_data", "clear_output", "x"):
    kernel.session.send(public, kind, {"traceback": 5, "data": "forged"}, parent=mine)
for parts in ([b""], [b"x", b"<IDS|MSG>"], [b"<IDS|MSG>", b"", b"{", b"}", b"[", b"]"]):
    public.send_multipart(parts)
    shell.send_multipart([*ident, *parts])
print("all are sent")

# %%
raise AssertionError

# %%
pass
