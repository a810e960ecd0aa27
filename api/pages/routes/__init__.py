"""One file a page. None of them is in the OpenAPI document: they are for people, and change with the page."""

from api.pages.routes import account, duplicates, errors, home, jobs, parts, queues, similar

ROUTERS = tuple(page.router for page in (account, home, parts, similar, jobs, duplicates, queues, errors))
UPLOADS = home.UPLOADS
