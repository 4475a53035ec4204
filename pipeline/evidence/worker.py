"""A process that makes pictures: told by its parent what to do, it tells what it has made and how far it is.

Messages are JSON: a recording may be what brought this process down, and nothing of it is trusted with a pickle.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import cv2

from pipeline.audit_folder import AuditFolder
from pipeline.errors import StoreError
from pipeline.evidence.of_source import SourcePictures
from pipeline.memory_limit import limit_memory
from pipeline.orphans import end_with_parent
from pipeline.report_settings import ReportSettings
from pipeline.without_pandas import spare_pandas

HEARTBEAT_S = 0.5


class Worker:
    """The child's side of the pipe.

    Args:
        pipe: to the parent.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        about = json.loads(pipe.recv_bytes())
        self._audit = AuditFolder(about["folder"])
        self._records = {record["source_id"]: record for record in self._audit.judged_sources()}
        self._settings = ReportSettings(**about["settings"])
        self._present: SourcePictures | None = None
        if self._audit.settings.memory_limit is not None:
            limit_memory(self._audit.settings.memory_limit)

    def serve(self) -> None:
        """Make pictures until the parent has gone."""
        self._tell({"ready": True})
        threading.Thread(target=self._tell_steps, daemon=True).start()
        while True:
            try:
                task = json.loads(self._pipe.recv_bytes())
            except EOFError:
                return
            self._tell(self._answer(task))

    def _answer(self, task: dict[str, Any]) -> dict[str, Any]:
        """What the last message of a task says: why pictures are missing, if some are."""
        record = self._records[task["source_id"]]
        settings = self._audit.settings.for_camera(record["camera"])
        self._present = SourcePictures(self._audit, record, self._settings, settings)
        try:
            failure = self._present.make(
                task["incidents"], lambda number, names: self._tell({"incident": number, "names": names})
            )
        except StoreError as error:
            return {"store_error": error.cause, "path": str(error.path)}
        except MemoryError:
            return {"done": True, "failure": "out of memory"}
        return {"done": True, "failure": failure}

    def _tell_steps(self) -> None:
        """Tell how far the work is whenever it has moved on; silence is what a hang sounds like."""
        told, pause = -1, threading.Event()
        while not pause.wait(HEARTBEAT_S):
            n_steps = self._present.n_steps if self._present is not None else 0
            if n_steps != told:
                told = n_steps
                self._tell({"steps": n_steps})

    def _tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._pipe.send_bytes(json.dumps(message).encode())


def main() -> None:
    """Serve at the file descriptor that the command line names."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, who ends this process
    end_with_parent()
    cv2.setNumThreads(1)
    spare_pandas()
    try:
        Worker(Connection(int(sys.argv[1]))).serve()
    except BrokenPipeError:  # the parent has gone
        sys.exit(1)


if __name__ == "__main__":
    main()
