"""A receiver of cadmill's webhooks to start from: it verifies, acts once on each message, and answers at once.

    pip install standardwebhooks
    WEBHOOK_SECRETS="whsec_..." python docs/webhook_receiver.py 8787 seen.db

While a secret is rotated put both into WEBHOOK_SECRETS, separated by a space. Behind it belongs a proxy that speaks https.
"""

import json
import os
import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

LONGEST_BODY = 1_000_000


def verified(secrets, headers, body):
    """The message, if one of the secrets has signed it within the last five minutes; else None."""
    for secret in secrets:
        try:
            return Webhook(secret).verify(body, headers)
        except WebhookVerificationError:
            continue
    return None


def act(message):
    """Put your own work here, or better: write it down for somebody who does it, for cadmill waits 15 seconds at most."""
    sys.stdout.write(f"{message['type']} {message.get('seq')} {json.dumps(message['data'])[:200]}\n")
    sys.stdout.flush()


def act_once(seen, message_id, message):
    """A message comes at least once, always under the same webhook-id. What it leads to and the note that it came are one transaction."""
    with closing(sqlite3.connect(seen)) as store, store:
        store.execute("CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY)")
        if store.execute("INSERT OR IGNORE INTO seen VALUES (?)", (message_id,)).rowcount:
            act(message)


class Door(BaseHTTPRequestHandler):
    secrets: tuple[str, ...] = ()
    seen = "seen.db"

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size <= LONGEST_BODY else b""
        message = verified(self.secrets, {name.lower(): value for name, value in self.headers.items()}, body)
        if message is None:
            self.answer(401)  # cadmill tries again later, so a wrong secret here loses nothing for a day
            return
        act_once(self.seen, self.headers["webhook-id"], message)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format, *args):
        """Quiet: `act` tells what came."""


if __name__ == "__main__":
    Door.secrets = tuple(os.environ["WEBHOOK_SECRETS"].split())
    Door.seen = sys.argv[2] if len(sys.argv) > 2 else "seen.db"
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
