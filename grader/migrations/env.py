"""Alembic's entry: `grader.journal` hands over an open connection."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="grader_alembic_version",  # nbgrader keeps its own beside it
    render_as_batch=True,  # SQLite alters no column
)
with context.begin_transaction():
    context.run_migrations()
