# ---
# jupyter:
#   attack:
#     does: raises what is no Exception
#     statuses: [error, error, error, error, error, error, ok]
#     prints: 'Odd: x[\s\S]*after them'
# ---

# %%
import asyncio


class Odd(BaseException):
    pass


raise Odd("x")

# %%
raise KeyboardInterrupt

# %%
raise GeneratorExit

# %%
raise asyncio.CancelledError

# %%
raise BaseExceptionGroup("many", [ValueError(1), SystemExit(2)])

# %%
first, second = ValueError("x"), KeyError("y")
first.__context__, second.__context__ = second, first
raise first

# %%
print("after them")
