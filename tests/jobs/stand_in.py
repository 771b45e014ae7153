"""Stands in for the embedded server: its command line, its one line on stdout, its files; nothing more.

``python stand_in.py --root DIR --port 0 [--idle S] [key=value ...]``; ``die=words`` ends with these words,
``slow=S`` waits so long first, ``mute=1`` never says where it is. It ends by itself after a minute.
"""

import fcntl
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    words = sys.argv[1:]
    root = Path(words[words.index("--root") + 1])
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    (root / "started").open("a").write(f"{os.getpid()}\n")
    (root / "words").write_text(json.dumps([words, sorted(os.environ)]))
    lock = (root / "lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(f"error: {root} is served already")
    time.sleep(float(settings.get("slow", 0)))
    if "die" in settings:
        sys.exit(f"error: {settings['die']}")
    if "mute" in settings:
        time.sleep(60)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Timer(60, os._exit, [3]).start()
    address = f"http://127.0.0.1:{server.server_port}"
    (root / "key.json").write_text(json.dumps({"access_key_id": "AKIAROOT", "secret_access_key": "secret"}))
    told = {"pid": os.getpid(), "started": time.time(), "endpoint_url": address}
    (root / "server.json").write_text(json.dumps(told))
    line = {
        "root": str(root),
        "endpoint_url": address,
        "s3_endpoint_url": address,
        "key_file": str(root / "key.json"),
    }
    print(json.dumps(line), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
