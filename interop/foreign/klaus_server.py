"""klaus as a server with smart HTTP: serve ROOT PORT."""

import sys
from wsgiref.simple_server import make_server

from klaus import make_app

_, root, port = sys.argv[1:]
application = make_app([f"{root}/repo.git"], "tried", use_smarthttp=True)
make_server("127.0.0.1", int(port), application).serve_forever()
