"""A web page to read what runs did: python launch/view.py runs/a [runs/b ...] [--port=8765] [--out=FOLDER]

Serves it on this machine (http://127.0.0.1:8765) until Ctrl-C; a run that goes on is followed. With --out the page is
written as files, which open in a browser without a server (FOLDER/index.html). A path may also be a transcript of
launch/chat.py. docs/report.md explains the page.
"""

import signal
import sys
from pathlib import Path

from absl import app, flags

from m2jax.report.view import bundle, library, server

_PORT = flags.DEFINE_integer("port", 8765, "Port on 127.0.0.1; 0: one that is free.")
_OUT = flags.DEFINE_string("out", None, "Folder to write the page to, in place of serving it.")


def main(argv: list[str]) -> None:
    if len(argv) < 2:
        sys.exit("error: name at least one run's folder, as in: python launch/view.py runs/demo")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
    try:
        show([Path(path) for path in argv[1:]])
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print()


def show(paths: list[Path]) -> None:
    """Writes the page, or serves it until it is interrupted."""
    shelves = library.open_shelves(paths)
    print(", ".join(f"{shelf.name}: {len(shelf.entries)} dialogues" for shelf in shelves))
    if _OUT.value is not None:
        print(bundle.write(shelves, Path(_OUT.value)))
        return
    with server.make_server(shelves, _PORT.value) as serving:
        print(f"http://{server.HOST}:{serving.server_port}  (Ctrl-C ends it)", flush=True)
        serving.serve_forever()


if __name__ == "__main__":
    app.run(main)
