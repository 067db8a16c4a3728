# ---
# jupyter:
#   attack:
#     does: raises an error whose text never ends
#     statuses: [ok, time limit, not run]
#     limits: {cell_seconds: 2}
#     prints: could not be interrupted|its kernel was ended
# ---

# %%
class Odd(Exception):
    def __str__(self):
        while True:
            pass


# %%
raise Odd

# %%
pass
