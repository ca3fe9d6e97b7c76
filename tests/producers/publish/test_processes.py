"""Publishing from processes as frameworks have them: forked, ending, without a home, interrupted."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.kafka.admin import create_topics
from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.settings import KafkaSettings, Settings, StoreSettings
from modelcast.infra.stores import open_store
from modelcast.schemas.log.fold import ModelLog
from tests.support.any_format import ANY_FORMAT
from tests.support.servers.stores import S3ForTests

pytestmark = pytest.mark.integration

LARGE_BYTES = 20_000_000  # in parts


class Trainer:
    """A folder with files to publish, where scripts run as processes of their own."""

    def __init__(self, folder: Path, settings: Settings, s3: S3ForTests) -> None:
        self.folder = folder
        origin = settings.store("origin")
        self.env = {
            **s3.env,
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MODELCAST_KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
            "MODELCAST_STORES__ORIGIN__URL": origin.url,
            "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": str(origin.endpoint_url),
            **ANY_FORMAT,
        }
        self._reader = RegistryReader(open_store(origin.url, endpoint_url=origin.endpoint_url))
        for name in ("a", "b", "c"):
            (folder / f"{name}.bin").write_bytes(name.encode() + os.urandom(LARGE_BYTES if name == "b" else 1_000))

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "train.py").write_text(textwrap.dedent(script))
        return subprocess.run(
            [sys.executable, "train.py"],
            cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip

    def log(self) -> ModelLog:
        return self._reader.tail("fraud").log


@pytest.fixture
def trainer(kafka: str, s3: S3ForTests, aws_env: Callable[[S3ForTests], None], tmp_path: Path) -> Trainer:
    aws_env(s3)
    settings = Settings(
        kafka=KafkaSettings(bootstrap_servers=kafka),
        stores={"origin": StoreSettings(url=f"s3://{s3.bucket()}", endpoint_url=s3.endpoint_url)},
    )
    create_topics(settings)
    return Trainer(tmp_path, settings, s3)


FORK = """
import os, sys
from modelcast.producers import Publisher

publisher = Publisher.from_env()
assert publisher.publish("fraud", "a.bin").announced
child = os.fork()
if child:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, status
    assert publisher.publish("fraud", "c.bin").announced
else:
    {child}
publisher.close()
"""


def test_a_forked_child_publishes_by_connections_of_its_own(trainer: Trainer) -> None:
    done = trainer.run(FORK.format(child='assert publisher.publish("fraud", "b.bin").announced'))
    assert done.returncode == 0, done.stderr
    assert trainer.log().latest_version == 3


def test_a_forked_child_that_publishes_nothing_ends(trainer: Trainer) -> None:
    done = trainer.run(FORK.format(child="del publisher; sys.exit()"))
    assert done.returncode == 0, done.stderr


@pytest.mark.soak
def test_children_forked_while_the_parent_publishes_publish(trainer: Trainer) -> None:
    done = trainer.run(
        """
        import os, threading
        from modelcast.producers import Publisher

        with Publisher.from_env() as publisher:
            publisher.publish("fraud", "a.bin")
            thread = threading.Thread(target=publisher.publish, args=("fraud", "b.bin"))
            thread.start()
            children = []
            while thread.is_alive() and len(children) < 5:
                children.append(os.fork())
                if not children[-1]:
                    with open(f"of-{os.getpid()}", "wb") as file:
                        file.write(os.urandom(1000))
                    assert publisher.publish(f"m{os.getpid()}", f"of-{os.getpid()}").announced
                    os._exit(0)
                thread.join(0.02)
            for child in children:
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            thread.join()
        """
    )
    assert done.returncode == 0, done.stderr
    assert trainer.log().latest_version == 2


@pytest.mark.soak
def test_the_pool_of_a_framework_publishes(trainer: Trainer) -> None:
    done = trainer.run(
        """
        import multiprocessing
        from modelcast.producers import Publisher

        publisher = Publisher.from_env()

        def train(name):
            return publisher.publish(name, f"{name}.bin").announced

        if __name__ == "__main__":
            publisher.publish("fraud", "a.bin")
            with multiprocessing.get_context("fork").Pool(2) as pool:
                assert pool.map(train, ["a", "b", "c"]) == [True] * 3
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("before", ["", 'publisher.publish("fraud", "a.bin")'])
def test_publishing_while_the_interpreter_ends_works(trainer: Trainer, before: str) -> None:
    done = trainer.run(
        f"""
        import atexit
        from modelcast.producers import Publisher

        publisher = Publisher.from_env()
        {before}

        def last():
            print(publisher.publish("fraud", "b.bin").announced)
            publisher.close()

        atexit.register(last)
        """
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert trainer.log().latest_version == (2 if before else 1)


@pytest.mark.soak
def test_a_thread_that_outlives_the_main_one_publishes(trainer: Trainer) -> None:
    done = trainer.run(
        """
        import threading
        from modelcast.producers import Publisher

        def train():
            threading.main_thread().join()
            with Publisher.from_env() as publisher:
                print(publisher.publish("fraud", ".").announced)

        threading.Thread(target=train).start()
        """
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    assert trainer.log().latest_version == 1


def test_a_user_without_a_name_and_a_home_publishes(trainer: Trainer) -> None:
    del trainer.env["HOME"]
    done = trainer.run(
        """
        import os
        os.getuid = lambda: 54321

        from modelcast.producers import Publisher

        with Publisher.from_env() as publisher:
            for name in ("a.bin", "b.bin"):
                print(publisher.publish("fraud", name).announced)
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\nTrue\n", "")
    assert trainer.log().updates[2].publisher


LONG = """
import os, signal, sys, time
from modelcast.cli.main import run
from modelcast.infra.stores.s3.store import S3Store

def upload(self, key, path, *, size_bytes, digest, progress=None, ready=None):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(3_000):
        time.sleep(0.1)
        progress(1)

S3Store.upload = upload
sys.argv[1:] = ["publish", "fraud", "."]
run()
"""


def test_a_person_who_interrupts_need_not_wait_for_the_upload(trainer: Trainer) -> None:
    done = trainer.run(LONG)  # which would take longer than it is given
    assert done.returncode == 130, done.stderr
    assert trainer.log().head == 0


INTERRUPTED = """
import os, signal, sys
from modelcast.cli.main import run
from modelcast.infra.stores.s3.store import S3Store

calls = []
def interrupting(call):
    def wrapped(*args, **kwargs):
        calls.append(call)
        if len(calls) == {step}:
            os.kill(os.getpid(), signal.SIGINT)
        return call(*args, **kwargs)
    return wrapped

for name in ("head", "get", "put", "upload", "list"):
    setattr(S3Store, name, interrupting(getattr(S3Store, name)))
sys.argv[1:] = ["publish", "fraud", "b.bin"]
run()
"""


@pytest.mark.soak
def test_interrupted_by_a_person_and_run_again_it_completes(trainer: Trainer) -> None:
    for step in (1, 4, 7, 10):
        done = trainer.run(INTERRUPTED.format(step=step))
        assert done.returncode == 130, done.stderr
        assert "Traceback" not in done.stderr
    done = trainer.run(INTERRUPTED.format(step=0))
    assert done.returncode == 0, done.stderr
    assert trainer.log().head == 1
