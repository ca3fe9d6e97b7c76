"""The command and the check of ``link_server``, as somebody with a server of their own would write them.

``python tell_link_server.py load|check PORT``.
"""

import sys
import urllib.error
import urllib.request

verb, port = sys.argv[1], sys.argv[2]
url = f"http://127.0.0.1:{port}/{'reload' if verb == 'load' else 'loaded'}"
try:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST" if verb == "load" else "GET")) as answer:
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    if error.code == 404:
        sys.exit(0)  # it serves nothing
    print(error.read().decode(), file=sys.stderr)
    sys.exit({422: 65, 415: 78}.get(error.code, 1))
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(75)
