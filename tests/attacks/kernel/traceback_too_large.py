# ---
# jupyter:
#   attack:
#     does: shows a traceback of 40 million characters
#     statuses: [time limit | output limit | no reply | memory limit, not run | ok]
#     limits: {cell_seconds: 1}
#     never: x{300000}
# ---

# %%
class Odd(Exception):
    def _render_traceback_(self):
        return ["x" * 1000] * 40_000


raise Odd

# %%
pass
