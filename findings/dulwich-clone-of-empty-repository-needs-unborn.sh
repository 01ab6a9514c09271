#!/usr/bin/env bash
# dulwich 1.2.21: cloning an empty repository is a ValueError ("neither origin_head nor branch are
# provided") unless the server speaks protocol v2 and answers `unborn`; stock git clones it under every
# protocol, with a warning. A server that wants dulwich to make a first push has to answer `unborn`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check dulwich==1.2.21
git init --quiet --bare "$folder/r.git"
git clone --quiet "$folder/r.git" "$folder/by-git" 2>/dev/null && echo "git: cloned"
"$folder/venv/bin/python" - "$folder" <<'PY'
import os, subprocess, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from dulwich import porcelain

folder = sys.argv[1]

class Handler(BaseHTTPRequestHandler):
    """git http-backend."""
    def do_GET(self):
        path, _, query = self.path.partition("?")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": folder, "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", "") if self.server.v2 else "",
        }
        out = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        self.send_response(200)
        for line in head.decode().split("\r\n"):
            name, _, value = line.partition(": ")
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)
    do_POST = do_GET
    def log_message(self, *arguments):
        pass

def outcome(v2):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.v2 = v2
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/r.git"
    try:
        porcelain.clone(url, f"{folder}/by-dulwich-{v2}", errstream=porcelain.NoneStream()).close()
        return "cloned"
    except ValueError as error:
        return f"ValueError: {error}"
    finally:
        server.shutdown()

without, with_unborn = outcome(False), outcome(True)
print("dulwich, a server of protocol v0:", without)
print("dulwich, a server of protocol v2 with unborn:", with_unborn)
assert without.startswith("ValueError: neither origin_head"), "this changed"
assert with_unborn == "cloned", "this changed"
PY
