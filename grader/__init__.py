"""The course's grader.

Nothing is imported here: a lesson's `from grader import check` must cost a student NumPy only.
"""

import sys

# nbformat's jsonschema would build the grammar of an address format that no notebook uses: 0.9 s
# in every process. It does without where this cannot be imported.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
