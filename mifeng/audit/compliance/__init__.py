"""Which evidence a log holds for which control item: evidence for assessors, never a verdict.

`signals` counts what a verified pack holds, `items` says what of it bears on which item and what
is missing, `page` writes HTML and JSON. Assessments under 密评 and 等级保护 are done by licensed
bodies; the first page says so. Wording and numbering of items come from secondary sources and
general knowledge, each marked with a footnote to verify it against the standard's text.

Source: docs/auditing.md.
"""
