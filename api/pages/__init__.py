"""The page for people: server-rendered, on the same tasks and ledger verbs as the API routes.

`session` says who looks, `rendering` makes the answer, `cards` collects what is shown of parts, `routes/` has one file a page.
"""
