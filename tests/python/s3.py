"""An S3 server for the tests."""

import os
import subprocess
from pathlib import Path

from harness import ROOT, free_port

KEYS = ("test-access-key", "test-secret-key-0123456789")


def s3_binary():
    """RHIZOME_S3SERVER, else what a dev build leaves behind."""
    if os.environ.get("RHIZOME_S3SERVER"):
        return os.environ["RHIZOME_S3SERVER"]
    target = os.environ.get("CARGO_TARGET_DIR") or ROOT / "target"
    return str(Path(target) / "debug" / "s3server")


class S3:
    """An S3 server that verifies signatures; it can be stopped and started again."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        folder.mkdir()

    def start(self):
        self.process = subprocess.Popen([s3_binary(), str(self.folder), str(self.port)],
                                        stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline().startswith("http://")

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def args(self):
        return ("--enable-s3", f"--endpoint-url=http://127.0.0.1:{self.port}",
                f"--access-key-id={KEYS[0]}", f"--secret-access-key={KEYS[1]}")

    def parts_left(self):
        """Parts that uploads have left in the bucket. (An upload that got none is left when the server dies before it
        has noted it. Storages list such uploads, this one cannot.)"""
        return [path.name for path in self.folder.rglob(".upload_id-*")]
